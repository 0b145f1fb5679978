"""The files a rehearsed node gets, and what the machine must have."""

import os
import subprocess
import sys

import pytest

from failover_kit.manager import authkeys, hacf, haresources
from failover_kit.rehearsal import main, needs, plan, status, witness
from failover_kit.rehearsal.main import USAGE
from failover_kit.rehearsal.scenes import SCENES, by_setup
from failover_kit.rehearsal.watch import address_changes, mounted


def test_the_three_files_are_read_without_a_problem():
    parsed = hacf.parse(plan.ha_cf())
    assert parsed.problems == ()
    config = parsed.value
    assert config.nodes == ("pete", "mclaws")
    assert (config.timing.keepalive_ms, config.timing.deadtime_ms) == (200, 2_000)
    assert (config.fence_delay_ms, config.auto_failback) == (5_000, False)
    assert all(config.can_fence(node) for node in config.nodes)
    groups = haresources.parse(plan.haresources(["/dev/loop7"]), config.nodes)
    assert groups.problems == ()
    assert [resource.type for resource in groups.value[0].resources] == ["Filesystem", "recordd", "IPaddr"]
    assert authkeys.parse(plan.authkeys("0123456789abcdef")).problems == ()


@pytest.mark.parametrize("setup", [plan.STANDING, plan.TWO_SUPPLIES, plan.TWO_GROUPS])
def test_every_setup_has_files_that_can_be_read(setup):
    parsed = hacf.parse(plan.ha_cf(setup))
    assert parsed.problems == ()
    devices = [f"/dev/loop{group.number}" for group in setup.groups]
    groups = haresources.parse(plan.haresources(devices, setup), parsed.value.nodes)
    assert groups.problems == ()
    assert [group.home for group in groups.value] == [group.home for group in setup.groups]


def test_two_supplies_are_two_plugs_of_each_node():
    assert "plug.pete=1,2 plug.mclaws=5,6" in plan.ha_cf(plan.TWO_SUPPLIES)
    assert "plug." not in plan.ha_cf()
    assert [plan.TWO_SUPPLIES.plug_name(plan.PETE, outlet) for outlet in (1, 2)] == ["pete-1", "pete-2"]


def test_two_groups_share_nothing():
    one, other = plan.TWO_GROUPS.groups
    assert one.home != other.home
    assert not set(one.resources) & set(other.resources)
    for name in ("address", "port", "mount_point", "pid_file", "client", "disk", "cluster_address"):
        assert getattr(one, name) != getattr(other, name)


def test_the_scenes_are_the_fourteen_of_the_plan_and_each_setup_is_made_once():
    assert [scene.number for scene in SCENES] == list(range(1, 15))
    played = [(setup, [scene.number for scene in some]) for setup, some in by_setup(SCENES)]
    assert played == [(plan.STANDING, list(range(1, 13))), (plan.TWO_SUPPLIES, [13]), (plan.TWO_GROUPS, [14])]
    assert [setup.title for setup, _ in by_setup([SCENES[0], SCENES[13]])] == [
        plan.STANDING.title,
        plan.TWO_GROUPS.title,
    ]


def test_a_scene_that_does_not_exist_is_refused(capsys):
    assert main.main(["--scene", "15"], "/nowhere") == USAGE
    assert "no scene 15; there are 1 to 14" in capsys.readouterr().err


def test_without_root_it_says_so_and_changes_nothing(monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(main, "_Run", None)
    assert main.main([], "/nowhere") == USAGE
    assert capsys.readouterr().err.startswith("rehearsal: not root; ")


def test_every_missing_thing_is_a_line_with_its_package(monkeypatch):
    monkeypatch.setattr(needs.shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(needs.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(needs, "_filesystem", lambda _: False)
    lines = needs.missing()
    for words in ("ip is missing; apt install iproute2", "mkfs.xfs is missing; apt install xfsprogs"):
        assert words in lines
    assert any("python3-serial" in line for line in lines)
    assert sum("no xfs filesystem" in line for line in lines) == 1


def test_another_system_is_one_line(monkeypatch):
    monkeypatch.setattr(needs.platform, "system", lambda: "Darwin")
    assert needs.missing() == ["this is Darwin; the rehearsal needs Linux (namespaces, loop devices)"]


def test_the_disk_is_found_by_its_number_only():
    table = (
        "36 35 7:1 / /mnt/e0.0 rw,relatime - xfs /dev/loop1 rw\n"
        "37 35 0:21 / /run rw - tmpfs tmpfs rw\n"
    )
    assert mounted(table, "7:1")
    assert not mounted(table, "7:0")
    assert not mounted(table, "7:11")


def test_address_messages_of_rtnetlink_are_read():
    added = bytes.fromhex(
        "2000000014000000000000000000000002180000020000000800020" "00a630064"
    )
    assert address_changes(added) == [("10.99.0.100", True)]
    removed = added[:4] + b"\x15" + added[5:]
    assert address_changes(added + removed) == [("10.99.0.100", True), ("10.99.0.100", False)]
    assert address_changes(added[:10]) == []


@pytest.mark.parametrize(
    ("agent", "arguments", "environment", "name"),
    [
        ("Filesystem", ["start"], {"OCF_RESKEY_directory": "/mnt/e0.1"}, "Filesystem:/mnt/e0.1"),
        ("IPaddr", ["stop"], {"OCF_RESKEY_ip": "10.99.0.101"}, "IPaddr:10.99.0.101"),
        ("recordd", ["/mnt/e0.1", "7001", "stop"], {}, "recordd:/mnt/e0.1"),
        ("recordd", ["stop"], {}, "recordd"),
        ("Filesystem", ["start"], {}, "Filesystem"),
    ],
)
def test_the_witness_names_what_a_call_is_about(monkeypatch, agent, arguments, environment, name):
    for variable in ("OCF_RESKEY_directory", "OCF_RESKEY_ip"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert witness.about(agent, [f"/x/{agent}", *arguments]) == name


@pytest.mark.parametrize(
    ("arguments", "written"),
    [(["start"], True), (["10.0.0.1/24", "stop"], True), (["monitor"], False), (["meta-data"], False)],
)
def test_the_witness_writes_starts_and_stops_down_and_passes_the_exit_code(tmp_path, arguments, written):
    ledger, boot = tmp_path / "ledger", tmp_path / "boot"
    ledger.touch()
    boot.write_text("3")
    (tmp_path / "ocf").mkdir()
    agent = tmp_path / "ocf" / "IPaddr"
    agent.write_text("#!/bin/sh\nexit 5\n")
    agent.chmod(0o755)
    program = (
        "import sys; from failover_kit.rehearsal import witness\n"
        f"witness.KIT, witness.LEDGER, witness.BOOT = {str(tmp_path)!r}, {str(ledger)!r}, {str(boot)!r}\n"
        f"sys.exit(witness.main(['/x/ocf/IPaddr', *{arguments!r}]))"
    )
    lib = os.path.dirname(os.path.dirname(os.path.dirname(witness.__file__)))
    result = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": lib}, check=False)
    assert result.returncode == 5
    lines = [line.split()[2:] for line in ledger.read_text().splitlines()]
    verb = arguments[-1]
    expected = [["3", "IPaddr", verb, "begin", "0"], ["3", "IPaddr", verb, "end", "5"]]
    assert lines == (expected if written else [])


def test_status_is_read_where_it_stands():
    view = {
        "node": "pete", "peer_state": "up", "peer_hears_us": True, "health": "healthy", "reason": "both",
        "todo": ["repair"], "links": [{"name": "eth1", "up": None}], "fence_attempts": 2, "fence_last": "no",
        "groups": [
            {"name": "g", "home": "", "state": "started", "right": 4, "held": True, "failures": 1, "doing": "runs"},
            {"name": "h", "home": "", "state": "stopped", "right": 0, "held": False, "failures": 0, "doing": ""},
        ],
    }  # fmt: skip
    found = status.parse(view, 0)
    assert [(group.state, group.right, group.failures) for group in found.groups] == [
        ("started", 4, 1),
        ("stopped", 0, 0),
    ]
    assert (found.links, found.todo) == ({"eth1": None}, ("repair",))
    with pytest.raises(KeyError):
        status.parse({"node": "pete"}, 0)
