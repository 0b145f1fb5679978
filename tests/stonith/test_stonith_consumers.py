"""Who calls us: Pacemaker's fence_legacy the command, cluster-glue our ``external/`` plugins."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from failover_kit.emulator.harness import EmulatorProcess
from stonith.commands import OURS, PATH, PATIENCE_S, PLUGINS, ROOT, THEIRS, Answer, run
from stonith.switches import ADDRESS, PARAMETERS, PASSWORD, emulator, namespace

LEGACY = "/usr/sbin/fence_legacy"
OUR_PLUGINS = ("failover-kit-wti", "failover-kit-wti-file", "failover-kit-agent")

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces"),
]
with_legacy = pytest.mark.skipif(not Path(LEGACY).exists(), reason="needs the package pacemaker")
with_glue = pytest.mark.skipif(not Path(THEIRS).exists(), reason="needs the package cluster-glue")


@pytest.fixture
def switch(tmp_path: Path) -> Iterator[EmulatorProcess]:
    with emulator(str(tmp_path)) as running:
        yield running


# --- fence_legacy, which Pacemaker runs for agents that are no fence agents -------------------------


def legacy(switch: EmulatorProcess, *lines: str, plugin: str = "wti_nps", password: str = PASSWORD) -> Answer:
    """As the fencer calls it: everything on standard input, ``stonith=`` a parameter of the device."""
    given = [
        f"plugin={plugin}",
        f"stonith={OURS}",
        f"ipaddr={ADDRESS}",
        f"ipport={switch.port}",
        f"password={password}",
        "power_timeout=1",
        "retry_on=0",
    ]
    done = subprocess.run(
        [LEGACY],
        input="".join(f"{line}\n" for line in [*given, *lines]),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={"PATH": PATH},
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@with_legacy
def test_fence_legacy_monitor_list_and_metadata(switch: EmulatorProcess) -> None:
    for action in ("monitor", "status", "stat"):
        answer = legacy(switch, f"action={action}")
        assert answer.code == 0
        assert answer.out.splitlines()[-1].startswith("success:")
    for action in ("list", "hostlist"):
        assert legacy(switch, f"action={action}") == Answer(0, "pete\nmclaws\nmclaws\n", "")
    assert 'action name="reboot"' in legacy(switch, "action=metadata").out


@with_legacy
@pytest.mark.parametrize(
    ("action", "moves"),
    [
        ("off", [(2, "off"), (5, "off")]),
        ("reboot", [(2, "off"), (5, "off"), (2, "on"), (5, "on")]),
        ("reset", [(2, "off"), (5, "off"), (2, "on"), (5, "on")]),
    ],
)
def test_fence_legacy_switches_by_node_name(switch: EmulatorProcess, action: str, moves: list[object]) -> None:
    """Pacemaker sends the node twice, as nodename and as the host argument ``port``."""
    answer = legacy(switch, f"action={action}", "nodename=mclaws", "port=mclaws")
    assert answer.code == 0
    assert answer.err == ""
    assert [(event["outlet"], event["to"]) for event in switch.events("switched")] == moves


@with_legacy
def test_fence_legacy_switches_on(switch: EmulatorProcess) -> None:
    switch.press(1, "off")
    assert legacy(switch, "action=on", "nodename=pete").code == 0
    assert switch.outlet_state(1) == "on"


@with_legacy
def test_fence_legacy_fails_when_the_plug_did_not_switch(switch: EmulatorProcess) -> None:
    """With cluster-glue's stonith in our place Pacemaker is told that the node was fenced."""
    switch.fault("stuck", 1)
    assert legacy(switch, "action=off", "nodename=pete").code == 1
    assert legacy(switch, "action=off", "nodename=kokone").code == 1
    assert legacy(switch, "action=monitor", password="wrong").code == 1
    assert switch.outlet_state(1) == "on"


@with_legacy
def test_fence_legacy_with_null_and_with_a_fence_agent(switch: EmulatorProcess) -> None:
    assert legacy(switch, "action=off", "nodename=alpha", "hostlist=alpha beta", plugin="null").code == 0
    assert legacy(switch, "action=list", "hostlist=alpha beta", plugin="null").out == "alpha\nbeta\n"
    answer = legacy(switch, "action=off", "nodename=1", "port=1", plugin="fence_wti_ips800")
    assert answer.code == 0
    assert switch.outlet_state(1) == "off"


# --- installed --------------------------------------------------------------------------------------


def test_an_installed_tree_finds_its_parts(tmp_path: Path) -> None:
    """The command in the compat directory, the plugins among cluster-glue's, the library under share."""
    shutil.copytree(
        ROOT / "lib" / "failover_kit",
        tmp_path / "share" / "failover-kit" / "failover_kit",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    compat = tmp_path / "lib" / "failover-kit" / "compat"
    external = tmp_path / "lib" / "stonith" / "plugins" / "external"
    for directory in (compat, external, tmp_path / "sbin"):
        directory.mkdir(parents=True)
    command = shutil.copy(ROOT / "stonith" / "stonith", compat)
    shutil.copy(ROOT / "stonith" / "fence_wti_ips800", tmp_path / "sbin")
    for name in OUR_PLUGINS:
        shutil.copy(ROOT / "stonith" / "external" / name, external / name)
    types = run(command, ["-L"]).out.split()
    assert {"wti_nps", "fence_wti_ips800", *(f"external/{name}" for name in OUR_PLUGINS)} <= set(types)
    assert run(command, ["-t", "external/failover-kit-agent", "-n"]).out == "agent  options  \n"
    refused = run(command, ["-t", "wti_nps", "ipaddr=127.0.0.1", "password=", "timeout=1", "-d", "-S"])
    assert "Connection refused" in refused.err  # the agent ran


# --- our plugins, as cluster-glue's stonith and Heartbeat load them ----------------------------------


@pytest.fixture
def inside() -> Iterator[list[str]]:
    with namespace() as prefix:
        yield prefix


@pytest.fixture
def classic(inside: list[str], tmp_path: Path) -> Iterator[EmulatorProcess]:
    with emulator(str(tmp_path), prefix=inside) as running:
        yield running


@pytest.fixture
def glue(inside: list[str], tmp_path: Path) -> list[str]:
    """A mount namespace in which cluster-glue finds our plugins among its own."""
    directory = tmp_path / "external"
    directory.mkdir()
    for plugin in PLUGINS.iterdir():
        (directory / plugin.name).symlink_to(PLUGINS / plugin.name)
    for name in OUR_PLUGINS:
        (directory / name).symlink_to(ROOT / "stonith" / "external" / name)
    mount = 'mount --bind "$1" /usr/lib/stonith/plugins/external && shift && exec "$@"'
    return [*inside, "unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh", str(directory)]


def stonith(glue: list[str], *arguments: str, env: dict[str, str] | None = None) -> Answer:
    """cluster-glue's command on a terminal, so that it says what it does."""
    return run(THEIRS, arguments, terminal=True, prefix=glue, env=env)


@with_glue
def test_cluster_glue_lists_and_describes_our_plugins(glue: list[str]) -> None:
    listed = stonith(glue, "-L").out.split()
    assert {f"external/{name}" for name in OUR_PLUGINS} <= set(listed)
    assert stonith(glue, "-t", "external/failover-kit-wti", "-n").out == "ipaddr  password  \n"
    assert stonith(glue, "-t", "external/failover-kit-wti-file", "-n").out == "ipaddr  password_file  \n"
    assert stonith(glue, "-t", "external/failover-kit-agent", "-n").out == "agent  options  \n"
    for name in OUR_PLUGINS:
        answer = stonith(glue, "-t", f"external/{name}", "-m")
        assert answer.code == 0
        root = etree.fromstring(answer.out.encode())
        required = [p.get("name") for p in root.iterfind("parameters/parameter") if p.get("required") == "1"]
        assert set(required) <= {"ipaddr", "password", "password_file", "agent", "options"}
        assert len(required) == 2
        assert "STONITH Device: external/" in stonith(glue, "-t", f"external/{name}", "-h").out


@with_glue
def test_cluster_glue_operates_the_switch_through_our_plugin(glue: list[str], classic: EmulatorProcess) -> None:
    device = ("-t", "external/failover-kit-wti", "-p", f"{ADDRESS} {PASSWORD}")
    assert stonith(glue, *device, "-S").code == 0
    assert stonith(glue, *device, "-l").out == "pete\nmclaws\nmclaws\n"
    assert stonith(glue, *device, "-T", "off", "mclaws").code == 0
    assert [classic.outlet_state(n) for n in (1, 2, 5)] == ["on", "off", "off"]
    assert stonith(glue, *device, "-T", "on", "mclaws").code == 0
    assert stonith(glue, *device, "-T", "reset", "pete").code == 0
    moves = [(event["outlet"], event["to"]) for event in classic.events("switched")]
    assert moves[-2:] == [(1, "off"), (1, "on")]
    assert [classic.outlet_state(n) for n in (1, 2, 5)] == ["on", "on", "on"]


@with_glue
def test_through_cluster_glue_too_a_stuck_plug_and_an_unknown_node_fail(
    glue: list[str], classic: EmulatorProcess
) -> None:
    device = ("-t", "external/failover-kit-wti", "-E")
    env = {**PARAMETERS, "power_timeout": "1", "retry_on": "0"}
    classic.fault("stuck", 1)
    answer = stonith(glue, *device, "-T", "reset", "pete", env=env)
    assert answer.code == 5  # S_RESETFAIL, the only failure cluster-glue knows of a plugin
    assert "Timed out waiting to power OFF" in answer.err
    assert stonith(glue, *device, "-T", "reset", "kokone", env=env).code == 5
    wrong = stonith(glue, *device, "-S", env={**env, "password": "no such secret"})
    assert wrong.code != 0
    assert "no such secret" not in wrong.err
    assert len(classic.events("login_refused")) == 1


@with_glue
def test_the_password_can_stay_out_of_ha_cf(glue: list[str], classic: EmulatorProcess, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    device = ("-t", "external/failover-kit-wti-file", "-p", f"{ADDRESS} {secret}")
    assert stonith(glue, *device, "-S").code == 0
    assert stonith(glue, *device, "-T", "off", "pete").code == 0
    assert classic.outlet_state(1) == "off"


@with_glue
def test_any_fence_agent_serves_cluster_glue(glue: list[str], classic: EmulatorProcess) -> None:
    """The wish of cluster-glue's issue 30: a fence agent where an external plugin is expected."""
    options = f"ip={ADDRESS} password={PASSWORD}"
    device = ("-t", "external/failover-kit-agent", "-p", f"fence_wti_ips800 {options}")
    assert stonith(glue, *device, "-S").code == 0
    assert stonith(glue, *device, "-T", "off", "1").code == 0
    assert classic.outlet_state(1) == "off"


def test_our_stonith_drives_our_own_plugins_as_any_other(inside: list[str], classic: EmulatorProcess) -> None:
    """Both sides of the protocol at once; they share the fence agents' side, not this one."""
    device = ["-t", "external/failover-kit-wti", "-p", f"{ADDRESS} {PASSWORD}"]
    assert run(OURS, [*device, "-l"], prefix=inside) == Answer(0, "pete\nmclaws\nmclaws\n", "")
    assert run(OURS, [*device, "-T", "off", "Pete"], prefix=inside).code == 0
    assert classic.outlet_state(1) == "off"
