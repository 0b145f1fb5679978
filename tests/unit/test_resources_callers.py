"""How resources are found on the host, called, and their answers read."""

from __future__ import annotations

from pathlib import Path

import pytest

from failover_kit.manager import hacf, haresources
from failover_kit.manager.callers import (
    Caller,
    CallKind,
    Finding,
    Search,
    plan_groups,
    script_finding,
)
from failover_kit.manager.children import Ended
from failover_kit.manager.config import ClusterConfig

HA_CF = "node pete mclaws\nucast eth1 10.0.0.1\nop_timeout 30\nmonitor_interval 7\n"


def config_of(resources: str) -> ClusterConfig:
    from dataclasses import replace

    config = hacf.parse(HA_CF).value
    assert config is not None
    parsed = haresources.parse(resources, config.nodes)
    assert parsed.value is not None, parsed.problems
    return replace(config, groups=parsed.value)


def program(path: Path, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


@pytest.fixture
def search(tmp_path: Path) -> Search:
    for agent in ("IPaddr", "Filesystem"):
        program(tmp_path / "own" / agent)
    return Search(
        ocf_own=(str(tmp_path / "own"), str(tmp_path / "installed")),
        ocf_root=str(tmp_path / "ocf"),
        scripts=(str(tmp_path / "resource.d"), str(tmp_path / "init.d")),
        init=str(tmp_path / "init.d"),
        units=(str(tmp_path / "units"),),
        systemctl=str(program(tmp_path / "systemctl")),
    )


def only_caller(resources: str, search: Search) -> Caller:
    plans, problems = plan_groups(config_of(resources), "pete", search)
    assert problems == ()
    return plans[0].callers[0]


def ended(code: int | None, out: str = "", err: str = "", failure: str = "") -> Ended:
    return Ended(code=code, stdout=out, stderr=err, began_ms=0, ended_ms=1, failure=failure)


def test_heartbeats_names_are_our_agents(search: Search, tmp_path: Path) -> None:
    line = "pete IPaddr::10.0.0.9/24/eth0 IPaddr2::10.0.0.8 Filesystem::/dev/etherd/e0.0::/mnt/e0.0::xfs\n"
    plans, problems = plan_groups(config_of(line), "pete", search)
    assert problems == ()
    address, second, disk = plans[0].callers
    assert (address.kind, address.program) == (CallKind.OCF, str(tmp_path / "own" / "IPaddr"))
    assert dict(address.parameters) == {"ip": "10.0.0.9", "cidr_netmask": "24", "nic": "eth0"}
    assert second.program == str(tmp_path / "own" / "IPaddr")
    assert second.instance != address.instance
    wanted = {"device": "/dev/etherd/e0.0", "directory": "/mnt/e0.0", "fstype": "xfs"}
    assert {name: dict(disk.parameters)[name] for name in wanted} == wanted
    assert disk.argv("stop") == (str(tmp_path / "own" / "Filesystem"), "stop")


def test_the_ocf_environment_is_pacemakers(search: Search, tmp_path: Path) -> None:
    program(tmp_path / "ocf" / "resource.d" / "heartbeat" / "Dummy")
    caller = only_caller("pete ocf:heartbeat:Dummy::state=/run/x::op_start_timeout=5s\n", search)
    environment = caller.environment("start")
    assert environment["OCF_RESKEY_state"] == "/run/x"
    assert environment["OCF_RESOURCE_TYPE"] == "Dummy"
    assert environment["OCF_RESOURCE_PROVIDER"] == "heartbeat"
    assert environment["OCF_ROOT"] == str(tmp_path / "ocf")
    assert environment["OCF_RA_VERSION_MAJOR"] == "1"
    assert environment["OCF_RESKEY_CRM_meta_timeout"] == "5000"
    assert environment["OCF_RESKEY_CRM_meta_interval"] == "0"
    assert caller.environment("monitor", 7000)["OCF_RESKEY_CRM_meta_interval"] == "7000"
    assert caller.timeout_ms("stop") == 30_000
    assert caller.monitor_interval_ms == 7_000


def test_a_script_gets_its_arguments_before_the_verb_and_monitor_is_status(search: Search, tmp_path: Path) -> None:
    script = program(tmp_path / "init.d" / "apache")
    caller = only_caller("pete apache::a::b\n", search)
    assert caller.kind is CallKind.SCRIPT
    assert caller.argv("start") == (str(script), "a", "b", "start")
    assert caller.argv("monitor") == (str(script), "a", "b", "status")


def test_resource_d_comes_before_init_d(search: Search, tmp_path: Path) -> None:
    program(tmp_path / "init.d" / "apache")
    first = program(tmp_path / "resource.d" / "apache")
    assert only_caller("pete apache\n", search).program == str(first)


def test_a_unit_stands_in_where_no_script_is(search: Search, tmp_path: Path) -> None:
    program(tmp_path / "units" / "nginx.service", 0o644)
    program(tmp_path / "units" / "app@.service", 0o644)
    caller = only_caller("pete nginx\n", search)
    assert caller.kind is CallKind.UNIT
    assert caller.argv("start") == (str(tmp_path / "systemctl"), "start", "nginx.service")
    assert caller.argv("monitor")[1] == "show"
    assert caller.argv("monitor")[-1] == "nginx.service"
    assert only_caller("pete app@one\n", search).args == ("app@one.service",)


def test_a_unit_spelled_out_is_meant_even_where_a_script_is(search: Search, tmp_path: Path) -> None:
    program(tmp_path / "init.d" / "nginx")
    program(tmp_path / "units" / "nginx.service", 0o644)
    caller = only_caller("pete systemd:nginx\n", search)
    assert (caller.kind, caller.args) == (CallKind.UNIT, ("nginx.service",))
    assert only_caller("pete nginx\n", search).kind is CallKind.SCRIPT


@pytest.mark.parametrize(
    ("code", "found"),
    [(0, Finding.RUNNING), (3, Finding.STOPPED), *((code, Finding.DOUBT) for code in (1, 2, 4, 7, 127, -9))],
)
def test_an_init_script_spelled_out_is_judged_by_its_code(
    search: Search, tmp_path: Path, code: int, found: Finding
) -> None:
    script = program(tmp_path / "init.d" / "quota")
    program(tmp_path / "resource.d" / "quota")
    caller = only_caller("pete lsb:quota\n", search)
    assert caller.argv("monitor") == (str(script), "status")
    assert caller.finding(ended(code, out="quota is not running"))[0] is found


def test_heartbeats_names_are_clusterlabs_agents_where_no_script_is(search: Search, tmp_path: Path) -> None:
    agent = program(tmp_path / "ocf" / "resource.d" / "heartbeat" / "Raid1")
    program(tmp_path / "units" / "Raid1.service", 0o644)
    line = "pete Raid1::/etc/mdadm.conf::/dev/md0::op_stop_timeout=90\n"
    caller = only_caller(line, search)
    assert (caller.kind, caller.program, caller.provider) == (CallKind.OCF, str(agent), "heartbeat")
    assert dict(caller.parameters) == {"raidconf": "/etc/mdadm.conf", "raiddev": "/dev/md0"}
    assert caller.timeout_ms("stop") == 90_000
    script = program(tmp_path / "resource.d" / "Raid1")
    assert only_caller(line, search).argv("start") == (str(script), "/etc/mdadm.conf", "/dev/md0", "start")


def test_of_heartbeats_names_what_lacks_or_does_not_fit_is_said(search: Search, tmp_path: Path) -> None:
    program(tmp_path / "ocf" / "resource.d" / "heartbeat" / "LVM")
    _, problems = plan_groups(config_of("pete Raid1::a::b LVM drbddisk::r0 systemd:no lsb:no\n"), "pete", search)
    raid, lvm, drbd, unit, init = problems
    assert f"no agent {tmp_path}/ocf/resource.d/heartbeat/Raid1, and there is no systemd unit Raid1.service" in raid
    assert lvm.endswith("LVM: the arguments do not fit; write LVM::VOLGRPNAME")
    assert "it comes with drbd-utils" in drbd
    assert unit.endswith("there is no systemd unit no.service; install it or correct the name")
    assert f"no init script 'no': {tmp_path}/init.d/no does not exist" in init


def test_the_depth_is_for_the_recurring_monitor_alone(search: Search, tmp_path: Path) -> None:
    program(tmp_path / "resource.d" / "Xinetd")
    line = "pete Filesystem::/dev/x::/y::op_monitor_depth=20 Xinetd::tftp::op_monitor_depth=10\n"
    plans, problems = plan_groups(config_of(line), "pete", search)
    assert problems == ()
    disk, script = plans[0].callers
    assert disk.environment("monitor", 10_000)["OCF_CHECK_LEVEL"] == "20"
    assert disk.environment("monitor")["OCF_CHECK_LEVEL"] == "0"
    assert disk.environment("start")["OCF_CHECK_LEVEL"] == "0"
    assert script.environment("monitor", 10_000)["OCF_CHECK_LEVEL"] == "10"
    assert "OCF_CHECK_LEVEL" not in script.environment("monitor")


def test_degraded_is_running_with_words(search: Search) -> None:
    caller = only_caller("pete 10.0.0.9\n", search)
    bad = ended(190, err="ocf-exit-reason:one path of two\n")
    assert caller.finding(bad) == (Finding.RUNNING, "")
    assert caller.degraded(bad) == "one path of two (exit 190, degraded)"
    assert caller.degraded(ended(0)) == ""
    assert caller.degraded(ended(190, failure="killed")) == ""


def test_everything_missing_is_said_at_once_with_place_and_remedy(search: Search, tmp_path: Path) -> None:
    program(tmp_path / "init.d" / "unready", 0o644)
    program(tmp_path / "units" / "nginx.service", 0o644)
    lines = "pete nosuch ocf:acme:Thing::a=b unready\nmclaws nginx::surplus\n"
    _, problems = plan_groups(config_of(lines), "pete", search)
    assert [problem.split(": ", 1)[0] for problem in problems] == [
        "haresources:1:6",
        "haresources:1:13",
        "haresources:1:33",
        "haresources:2:8",
    ]
    assert "no script 'nosuch'" in problems[0]
    assert "there is no systemd unit nosuch.service" in problems[0]
    assert problems[0].endswith("install it on this node or correct the name")
    assert "no OCF agent acme:Thing" in problems[1]
    assert "unready is not executable" in problems[2]
    assert "takes no arguments; remove surplus" in problems[3]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (0, Finding.RUNNING),
        (190, Finding.RUNNING),
        (7, Finding.STOPPED),
        *((code, Finding.DOUBT) for code in (1, 2, 3, 4, 5, 6, 8, 9, 126, 127, -9)),
    ],
)
def test_only_7_means_stopped_to_an_ocf_agent(search: Search, code: int, found: Finding) -> None:
    assert only_caller("pete 10.0.0.9\n", search).finding(ended(code))[0] is found


def test_a_killed_monitor_is_doubt(search: Search) -> None:
    caller = only_caller("pete 10.0.0.9\n", search)
    assert caller.finding(ended(None, failure="did not end within 1 s and was killed"))[0] is Finding.DOUBT


@pytest.mark.parametrize(
    ("text", "code", "found"),
    [
        ("apache is not running", 3, Finding.STOPPED),
        ("Apache is NOT Running.", 0, Finding.STOPPED),
        ("running", 0, Finding.RUNNING),
        ("INFO: Running OK", 0, Finding.RUNNING),
        ("   Active: active (running) since Mon", 0, Finding.RUNNING),
        # The exit code is not looked at where the text is clear: Heartbeat's rule, scripts rely on it.
        ("process 12 running", 1, Finding.RUNNING),
        ("INFO:  Resource is stopped", 7, Finding.STOPPED),
        ("inactive (dead)", 3, Finding.STOPPED),
        ("dead but pid file exists", 1, Finding.DOUBT),
        ("Usage: apache {start|stop}", 2, Finding.DOUBT),
        ("", 0, Finding.DOUBT),
        # Two daemons of one script: what half runs is not stopped.
        ("nfsd (pid 12) is running\nrpc.mountd is not running", 0, Finding.DOUBT),
        ("rpc.mountd is not running\nnfsd running...", 3, Finding.DOUBT),
        ("Checking for running daemons:\nnfsd is not running", 3, Finding.STOPPED),
        ("nfsd is not running\nrpc.mountd is not running", 3, Finding.STOPPED),
    ],
)
def test_the_text_of_status_tells_who_owns_a_script(text: str, code: int, found: Finding) -> None:
    assert script_finding(text, code) is found


def test_the_reason_is_the_agents_exit_reason_without_secrets(search: Search, tmp_path: Path) -> None:
    program(tmp_path / "ocf" / "resource.d" / "acme" / "Db")
    caller = only_caller("pete ocf:acme:Db::password=sesam::name=x\n", search)
    err = "noise\nocf-exit-reason:login with sesam refused\nmore noise\n"
    assert caller.failure(ended(1, err=err)) == "login with *** refused (exit 1, error)"
    assert "sesam" not in repr(caller)
    assert caller.failure(ended(0)) == ""
    assert caller.failure(ended(-11)) == "killed by signal 11"
