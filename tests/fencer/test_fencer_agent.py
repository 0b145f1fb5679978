"""Pacemaker's own fencer switches nodes through fence_wti_ips800, by node name and in every notation."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from fencer.world import OUTLETS, PASSWORD, PATIENT, WAYS, World

pytestmark = pytest.mark.root


# Looking.


def test_the_list_of_targets_is_the_switchs_own_and_clean(world: World) -> None:
    """A word that the fencer cannot take for a node name, as ``(undefined)``, is a warning for each plug."""
    mark = world.fencer.mark()
    world.register(**PATIENT)
    lines = world.fencer.admin("--list-targets", "benjamin").stdout.split("\n")
    assert [line for line in lines if line and "found" not in line] == [
        "1", "pete", "2", "kokone", "3", "4", "5", "mclaws", "6", "mclaws", "7", "8",
    ]  # fmt: skip
    assert "Could not parse" not in world.fencer.log(mark)


@pytest.mark.parametrize("node", ["pete", "mclaws"])
def test_the_fencer_finds_the_device_for_a_node_without_a_map(world: World, node: str) -> None:
    world.register(**PATIENT)
    assert "benjamin" in world.fencer.admin("--list", node).stdout.split()


def test_no_device_is_found_for_a_node_that_is_not_on_the_switch(world: World) -> None:
    world.register(**PATIENT)
    assert "benjamin" not in world.fencer.admin("--list", "stranger").stdout.split()
    assert not world.fencer.admin("--fence", "stranger").ok()
    assert world.switch.events("switched") == []


def test_the_monitor_is_right_about_a_switch_that_answers_and_one_that_does_not(world: World) -> None:
    world.register(**PATIENT)
    assert world.fencer.admin("--query", "benjamin").ok()
    world.assert_session_free()
    world.register(login_timeout=1)
    world.switch.fault("mute")
    assert not world.fencer.admin("--query", "benjamin").ok()
    world.assert_session_free()


def test_installed_agents_are_found(world: World) -> None:
    installed = world.fencer.admin("--list-installed").stdout.split()
    assert {"fence_wti", "fence_wti_ips800"} <= set(installed)


@pytest.mark.parametrize("name", ["fence_wti_ips800", "fence_wti"])
def test_the_metadata_reach_pacemaker_with_both_names_of_a_plug(world: World, name: str) -> None:
    """The fencer gives the node's plug as ``port`` (2.1) or ``plug`` (later), whichever the metadata names."""
    result = world.fencer.admin("--metadata", "--agent", name)
    assert result.ok(), result.describe()
    agent = ET.fromstring(result.stdout)
    assert agent.get("name") == name
    parameters = {entry.get("name"): entry for entry in agent.iter("parameter")}
    assert {"action", "plug", "port", "ip", "ipaddr", "password", "passwd"} <= set(parameters)
    # Pacemaker fills these in itself and says so to whoever configures.
    assert {parameters[name].get("required") for name in ("action", "plug", "port")} == {"0"}
    actions = {entry.get("name") for entry in agent.iter("action")}
    assert {"on", "off", "reboot", "status", "list", "monitor", "metadata", "validate-all"} <= actions


def test_a_good_configuration_is_valid_and_a_bad_one_is_not(world: World) -> None:
    good = world.fencer.admin("--validate", "--agent", "fence_wti_ips800", "--option", "ip=192.0.2.1")
    assert good.ok(), good.describe()
    bad = world.fencer.admin(
        "--validate", "--agent", "fence_wti_ips800", "--option", "ip=192.0.2.1", "--option", "ipport=telnet"
    )
    assert not bad.ok()
    assert "--ipport" in bad.stdout + bad.stderr


# Switching.


@pytest.mark.parametrize("agent", ["fence_wti_ips800", "fence_wti"])
@pytest.mark.parametrize("node", ["pete", "mclaws"])
def test_off_on_and_reboot_by_the_name_that_the_switch_shows(world: World, agent: str, node: str) -> None:
    """``mclaws`` has two power supplies; both must be off together."""
    world.register(agent, **PATIENT)
    for action in ("off", "on", "reboot"):
        result = world.fence(action, node)
        assert result.ok(), result.describe()
    assert {move["outlet"] for move in world.switch.events("switched")} == set(OUTLETS[node])


def test_a_reboot_has_both_supplies_off_before_one_is_on_again(world: World) -> None:
    world.register(**PATIENT)
    assert world.fence("reboot", "mclaws").ok()
    moves = [(move["outlet"], move["to"]) for move in world.switch.events("switched")]
    assert moves == [(5, "off"), (6, "off"), (5, "on"), (6, "on")]


@pytest.mark.parametrize(
    ("configured", "outlets"),
    [
        ({"pcmk_host_map": "node-a:1"}, [1]),
        ({"pcmk_host_map": "node-a:pete"}, [1]),
        ({"pcmk_host_map": "node-a:mclaws;node-b:1"}, [5, 6]),
        ({"pcmk_host_map": "node-a:1,2"}, [1, 2]),
        ({"pcmk_host_map": "node-a:pete,6;node-b:5"}, [1, 6]),
        ({"pcmk_host_map": "node-a:pete+kokone", "plug_separator": "+"}, [1, 2]),
        ({"pcmk_host_list": "node-a", "plug": "2"}, [2]),
        ({"pcmk_host_list": "node-a", "port": "pete"}, [1]),
        ({"pcmk_host_map": "node-a:2", "pcmk_host_argument": "port"}, [2]),
    ],
    ids=lambda value: " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_every_notation_of_a_nodes_plugs(world: World, configured: dict[str, str], outlets: list[int]) -> None:
    world.register(**PATIENT, **configured)
    for action in ("off", "on", "reboot"):
        result = world.fence(action, "node-a", outlets)
        assert result.ok(), result.describe()
    assert {move["outlet"] for move in world.switch.events("switched")} == set(outlets)


def test_a_plug_that_the_switch_does_not_have_fails_before_anything_is_switched(world: World) -> None:
    world.register(**PATIENT, pcmk_off_retries=1, pcmk_host_map="node-a:1,9")
    assert not world.fence("off", "node-a", [1, 9]).ok()
    assert world.switch.events("switched") == []


def test_reboot_mapped_to_off_leaves_the_node_off(world: World) -> None:
    world.register(**PATIENT, pcmk_reboot_action="off")
    assert world.fence("reboot", "pete").ok()
    assert world.states(1) == ["off"]


def test_switching_what_is_switched_already_is_a_success(world: World) -> None:
    world.register(**PATIENT)
    assert world.fence("on", "pete").ok()
    assert world.fence("off", "pete").ok()
    assert world.fence("off", "pete").ok()


def test_on_finishes_what_is_half_on(world: World) -> None:
    """fence_wti calls two supplies ON when one of them is, and leaves the other one off."""
    world.switch.press(6, "off")
    world.register(**PATIENT)
    assert world.fence("on", "mclaws").ok()
    assert world.states(5, 6) == ["on", "on"]


def test_a_rejected_password_is_offered_once_a_call(world: World) -> None:
    """Units of today lock everybody out after a few."""
    where = {"ip": world.switch.address, "ipport": world.switch.port}
    world.fencer.register(
        "benjamin", "fence_wti_ips800", password="wr0ng-Pa55", pcmk_host_map="pete:1", pcmk_off_retries=1, **where
    )
    assert not world.fence("off", "pete").ok()
    assert len(world.switch.events("login_refused")) == 1
    assert "wr0ng-Pa55" not in world.fencer.log() + world.fencer.syslog()


# The node itself is in trouble.


@pytest.mark.parametrize("way", WAYS)
def test_a_syslog_that_nobody_reads_keeps_nobody_from_fencing(world: World, way: str) -> None:
    """syslog(3) waits without end for a daemon whose disk is full. One warning before the work was enough."""
    world.register_through(way, "pete", **PATIENT, no_such_option="1")
    with world.fencer.deaf_syslog():
        assert world.fence("off", "pete").ok()
    world.register_through(way, "pete", **{**PATIENT, "power_timeout": 1}, pcmk_on_retries=1)
    world.switch.fault("stuck", 1)
    with world.fencer.deaf_syslog():
        assert not world.fence("on", "pete").ok()


@pytest.mark.parametrize("option", ["login_timeout", "power_timeout", "shell_timeout"])
def test_a_timeout_of_0_is_not_no_time_at_all(world: World, option: str) -> None:
    """fence-agents takes 0 for "no limit". Here it is the default: there is always a limit, and it is usable."""
    world.register(**{option: 0}, pcmk_off_retries=1)
    assert world.fence("off", "pete").ok()


# The cluster's view: history and levels.


def test_history_tells_what_was_done_and_what_failed(world: World) -> None:
    if world.fencer.no_cluster:
        pytest.skip(f"a fencer that stands alone keeps no history; {world.fencer.no_cluster}")
    world.register(**{**PATIENT, "power_timeout": 1}, pcmk_off_retries=1)
    assert world.fence("reboot", "pete").ok()
    history = world.fencer.admin("--history", "pete", "--verbose").stdout
    assert "reboot of pete successful" in history
    world.switch.fault("stuck", 2)
    assert not world.fence("off", "kokone").ok()
    assert "turning off of kokone failed" in world.fencer.admin("--history", "kokone", "--verbose").stdout


def test_a_silent_switch_leaves_time_for_the_next_level(world: World, silent_switch: str) -> None:
    """fence-agents #417, #431: an agent that waits for ever keeps the cluster from its next device."""
    if world.fencer.no_cluster:
        pytest.skip(f"a fencer that stands alone has no levels; {world.fencer.no_cluster}")
    mark = world.fencer.mark()
    world.register(device="silent", pcmk_host_list="pete", plug="1", ip=silent_switch, login_timeout=1)
    world.register(device="benjamin", pcmk_host_list="pete", plug="1", **PATIENT)
    for index, device in (("1", "silent"), ("2", "benjamin")):
        assert world.fencer.admin("--register-level", "pete", "--index", index, "--device", device).ok()
    try:
        assert world.fence("off", "pete").ok()
    finally:
        for index in ("1", "2"):
            world.fencer.admin("--deregister-level", "pete", "--index", index)
    assert "Connection timed out" in world.fencer.log(mark)


def test_nothing_that_was_said_contains_the_password(world: World) -> None:
    """Verbose to the utmost, a debug file, a success and a failure: fencer, syslog and file stay clean."""
    debug = world.fencer.folder / "debug"
    world.register(**PATIENT, verbose_level=3, debug_file=str(debug))
    assert world.fence("off", "pete").ok()
    assert "sent: /OFF 1,Y" in debug.read_text()
    assert PASSWORD not in debug.read_text() + world.fencer.log() + world.fencer.syslog()
