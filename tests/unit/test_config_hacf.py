"""ha.cf: what is understood, and the sentence for everything that is not."""

from __future__ import annotations

import pytest

from failover_kit.manager import hacf
from failover_kit.manager.config import (
    BcastLink,
    ClusterConfig,
    FenceAction,
    FenceLevel,
    McastLink,
    SerialLink,
    Timing,
    UcastLink,
    in_beat_order,
)

SOUND = """\
node pete mclaws
serial /dev/ttyS0
"""


def sound(text: str) -> ClusterConfig:
    parsed = hacf.parse(text)
    assert [str(problem) for problem in parsed.problems] == []
    assert parsed.value is not None
    return parsed.value


def problems(text: str) -> list[str]:
    parsed = hacf.parse(text)
    assert parsed.value is None
    return [str(problem) for problem in parsed.problems]


def notes(text: str) -> list[str]:
    return [str(note) for note in hacf.parse(text).notes]


def test_least_file_gets_the_documented_defaults() -> None:
    config = sound(SOUND)
    assert config.nodes == ("pete", "mclaws")
    assert config.links == (SerialLink(device="/dev/ttyS0", baud=19200),)
    assert config.timing == Timing(
        keepalive_ms=1000, warntime_ms=15_000, deadtime_ms=30_000, initdead_ms=30_000
    )
    assert config.auto_failback is False
    assert (config.failback_delay_ms, config.monitor_failures) == (60_000, 2)
    assert config.boot_alone is False
    assert config.fence_action is FenceAction.REBOOT
    assert config.fence_delay_ms == 30_000 + 1_000 + 5_000
    assert (config.op_timeout_ms, config.monitor_interval_ms, config.udpport) == (60_000, 10_000, 694)
    assert config.devices_for("pete") == ()
    assert not config.can_fence("pete")


def test_when_a_group_moves_by_itself_can_be_said() -> None:
    config = sound(f"{SOUND}auto_failback on\nauto_failback_delay 5\nmonitor_failures 1\n")
    assert (config.auto_failback, config.failback_delay_ms, config.monitor_failures) == (True, 5_000, 1)


@pytest.mark.parametrize(
    ("deadtime", "initdead_ms"), [("5", 12_000), ("6", 12_000), ("10", 20_000), ("11", 11_000)]
)
def test_initdead_default_is_heartbeats(deadtime: str, initdead_ms: int) -> None:
    assert sound(f"{SOUND}deadtime {deadtime}").timing.initdead_ms == initdead_ms


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [("10", 10_000), ("10s", 10_000), ("1.5", 1_500), (".5s", 500), ("500ms", 500), ("20000us", 20), ("1us", 1)],
)
def test_times_are_seconds_unless_a_unit_follows(written: str, milliseconds: int) -> None:
    assert sound(f"{SOUND}keepalive {written}\n").timing.keepalive_ms == milliseconds


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("soon", "soon is no time; write seconds as 10 or 10s, or use 500ms, 200000us"),
        ("1m", "1m is no time; write seconds as 10 or 10s, or use 500ms, 200000us"),
        ("-1", "-1 is no time; write seconds as 10 or 10s, or use 500ms, 200000us"),
        ("ms", "ms is no time; write seconds as 10 or 10s, or use 500ms, 200000us"),
        ("0", "0 is no time to wait; write more than 0"),
        ("100000", "100000 is more than a day; a bare number means seconds, for others add ms"),
        ("9" * 5000, f"{'9' * 57}... is no time; write seconds as 10 or 10s, or use 500ms, 200000us"),
        ("١", "١ is no time; write seconds as 10 or 10s, or use 500ms, 200000us"),
    ],
)
def test_bad_time(written: str, reason: str) -> None:
    assert problems(f"{SOUND}keepalive {written}\n") == [f"ha.cf:3:11: keepalive: {reason}"]


# One row for every sentence: the lines after a sound file, and what is said about them.
BAD_LINES = [
    ("keepaliv 1", "3:1: unknown directive keepaliv; did you mean keepalive?"),
    ("keepalive=1", "3:1: unknown directive keepalive=1; did you mean keepalive?"),
    ("zzz 1", "3:1: unknown directive zzz; remove the line or put # before it"),
    (",", "3:1: no directive; begin the line with one, or with # for a comment"),
    ("keepalive", "3:1: keepalive has no value; write keepalive 10s"),
    ("keepalive # 1", "3:1: keepalive has no value; write keepalive 10s"),
    ("keepalive 1 2", "3:13: keepalive has one value; remove what follows it"),
    ("keepalive 1\nkeepalive 1", "4:1: keepalive is given twice, first in line 3; keep one"),
    (
        "keepalive 1\ndeadtime 2s",
        "4:10: deadtime 2s must be more than twice keepalive (2s); use at least 5s",
    ),
    (
        "keepalive 20",
        "3:11: deadtime 30s must be more than twice keepalive (40s); use at least 100s",
    ),
    ("warntime 40", "3:10: warntime 40s must be less than deadtime (30s); use 15s"),
    ("deadtime 10\nwarntime 10", "4:10: warntime 10s must be less than deadtime (10s); use 5s"),
    ("deadtime 10\ninitdead 5", "4:10: initdead 5s must not be less than deadtime (10s); use 20s"),
    (
        "monitor_failures 0",
        "3:18: monitor_failures: 0 is no number of failures; write 2: one restart, then a hand-over",
    ),
    (
        "auto_failback legacy",
        "3:15: auto_failback: legacy is refused, a returning node would take its resources without asking; "
        "write off or on",
    ),
    ("auto_failback maybe", "3:15: auto_failback: maybe is neither yes nor no; write yes or no"),
    (
        "nice_failback off",
        "3:15: nice_failback: off is auto_failback legacy, which is refused; write auto_failback off or on",
    ),
    ("boot_alone perhaps", "3:12: boot_alone: perhaps is neither yes nor no; write yes or no"),
    ("fence_action cycle", "3:14: fence_action: cycle is neither; write reboot or off"),
    (
        "deadtime 10\nfence_delay 13",
        "4:13: fence_delay 13s must be more than deadtime + keepalive + the time of a shot "
        "(10s + 1s + 2s = 13s); use 16s or remove the line",
    ),
    ("watchdog softdog", "3:10: watchdog: softdog is no absolute path; write /dev/watchdog"),
    ("autojoin any", "3:10: autojoin: any is refused, the two nodes of ha.cf are all; write none"),
    (
        "crm on",
        "3:5: crm: another resource manager is asked for; remove the line, haresources is read here",
    ),
    (
        "pacemaker respawn",
        "3:11: pacemaker: another resource manager is asked for; remove the line, haresources is read here",
    ),
    ("baud 9600", "3:1: baud after serial (line 2) has no effect on it; put it before serial"),
    (
        "ucast eth1 192.0.2.1\nudpport 1",
        "4:1: udpport after ucast (line 3) has no effect on it; put it before ucast",
    ),
    ("udpport 0", "3:9: udpport: 0 is no UDP port; write 1 to 65535, or nothing for 694"),
    ("udpport 65536", "3:9: udpport: 65536 is no UDP port; write 1 to 65535, or nothing for 694"),
    ("serial", "3:1: serial has no device; write serial /dev/ttyS0"),
    ("serial ttyS1", "3:8: ttyS1 is no absolute path; write serial /dev/ttyS0"),
    ("serial /dev/ttyS0", "3:8: serial /dev/ttyS0 is given twice; name each line once"),
    (
        "serial /x/ttyS0",
        "3:8: a second link named ttyS0, first in line 2; use another path to the device, such as a symbolic link",
    ),
    (
        "ucast ttyS0 192.0.2.1",
        "3:7: a second link named ttyS0, first in line 2; use another path to the device, such as a symbolic link",
    ),
    ("ucast", "3:1: ucast has no interface; write ucast eth1 ADDRESS, the peer's address on it"),
    ("ucast /dev/eth1", "3:7: /dev/eth1 is no network interface; write ucast eth1 ADDRESS"),
    ("ucast eth1 mclaws", "3:12: mclaws is no IPv4 address; write ucast eth1 ADDRESS"),
    ("ucast eth1 fe80::1", "3:12: fe80::1 is no IPv4 address (ucast6 takes those); write ucast eth1 ADDRESS"),
    (
        "ucast eth1 192.0.2.1 192.0.2.2",
        "3:22: ucast has one interface and one address; write a line for each address",
    ),
    ("ucast eth1 192.0.2.1\nucast eth1 192.0.2.1", "4:1: ucast eth1 192.0.2.1 is given twice; keep one"),
    ("bcast", "3:1: bcast has no interface; write bcast eth1"),
    ("bcast eth1 /dev/eth2", "3:12: /dev/eth2 is no network interface; write bcast eth1"),
    ("udp eth1\nbcast eth1", "4:7: bcast eth1 is given twice, first in line 3; keep one, the cable is the same"),
    (
        "ucast eth1 192.0.2.1\nbcast eth0 eth1",
        "4:12: bcast eth1: ucast in line 3 has port 694 of eth1 already; keep one of the two, they fail together",
    ),
    (
        "mcast eth1 239.0.0.43\nucast eth1 192.0.2.1",
        "4:7: ucast eth1: mcast in line 3 has port 694 of eth1 already; keep one of the two, they fail together",
    ),
    ("bcast eth1\nudpport 1", "4:1: udpport after bcast (line 3) has no effect on it; put it before bcast"),
    (
        "mcast eth1 239.0.0.43\nudpport 1",
        "4:1: udpport after mcast (line 3) has no effect on it; put it before mcast",
    ),
    ("mcast", "3:1: mcast has no interface; write mcast eth1 239.0.0.43 694 1 0"),
    ("mcast6 eth1", "3:1: mcast6 has no group; write mcast6 eth1 ff12::43 694 1 0"),
    (
        "mcast eth1 239.0.0.43 694 1 0 7",
        "3:31: mcast is interface, group, port, ttl and loop; write mcast eth1 239.0.0.43 694 1 0",
    ),
    ("mcast /dev/x 239.0.0.43", "3:7: /dev/x is no network interface; write mcast eth1 239.0.0.43 694 1 0"),
    ("mcast eth1 192.0.2.1", "3:12: mcast eth1: 192.0.2.1 is no multicast group; use 239.0.0.43"),
    ("mcast eth1 ff12::43", "3:12: mcast eth1: ff12::43 is no multicast group; use 239.0.0.43"),
    ("mcast6 eth1 fe80::1", "3:13: mcast6 eth1: fe80::1 is no IPv6 multicast group; use ff12::43"),
    ("mcast6 eth1 239.0.0.43", "3:13: mcast6 eth1: 239.0.0.43 is no IPv6 multicast group; use ff12::43"),
    ("mcast6 eth1 ff12::43%eth1", "3:13: mcast6 eth1: ff12::43%eth1 is no IPv6 multicast group; use ff12::43"),
    (
        "mcast6 eth1 ff01::43",
        "3:13: mcast6 eth1: ff01::43 stays on the node that sends it (RFC 4291 section 2.7); use ff12::43",
    ),
    ("mcast eth1 239.0.0.43 0", "3:23: mcast eth1: 0 is no UDP port; write 1 to 65535, such as 694"),
    ("mcast eth1 239.0.0.43 694 0", "3:27: mcast eth1: ttl 0 reaches nobody; write 1, or at most 255"),
    ("mcast eth1 239.0.0.43 694 256", "3:27: mcast eth1: ttl 256 reaches nobody; write 1, or at most 255"),
    ("mcast eth1 239.0.0.43 694 1 no", "3:29: mcast eth1: loop no is neither 0 nor 1; write 0"),
    (
        "mcast eth1 239.0.0.43\nmcast eth1 239.0.0.44 695 1 0",
        "4:7: mcast eth1 is given twice, first in line 3; keep one, the cable is the same",
    ),
    (
        "ucast6 eth1",
        "3:1: ucast6 eth1 has no address; write ucast6 eth1 ADDRESS, the peer's on it, such as its fe80:: address",
    ),
    ("ucast6 eth1 192.0.2.1", "3:13: 192.0.2.1 is no IPv6 address (ucast takes those); write ucast6 eth1 ADDRESS"),
    ("ucast6 eth1 fe80::1%eth2", "3:13: fe80::1%eth2 is no IPv6 address; write ucast6 eth1 ADDRESS"),
    ("ucast6 eth1 ff02::1", "3:13: ff02::1 is no IPv6 address; write ucast6 eth1 ADDRESS"),
    (
        "serial " + " ".join(f"/dev/ttyUSB{n}" for n in range(16)),
        "3:208: more than 16 links, of which a beat cannot tell; take out those on a shared cable",
    ),
    ("node", "3:1: node has no name; write node and what uname -n prints"),
    ("node PETE", "3:6: node pete is given twice; name each node once"),
    ("node a_b!", "3:6: a_b! is no node name; write what uname -n prints: letters, digits, dots and dashes"),
    ("node a b", "3:6: 4 nodes (pete, mclaws, a, b); a pair has exactly two, remove the others"),
    (
        "stonith wti_nps /etc/ha.d/stonith.conf",
        "3:1: stonith TYPE FILE is not supported; write fence_device NAME AGENT name=value with the values "
        "of that file",
    ),
    (
        "stonith_host pete",
        "3:1: stonith_host is incomplete; write stonith_host NODE wti_nps ADDRESS PASSWORD",
    ),
    (
        "stonith_host * apcmaster 192.0.2.9 apc apc",
        "3:16: stonith_host apcmaster is not supported; write fence_device NAME AGENT name=value with a fence "
        "agent for that device",
    ),
    (
        "stonith_host * wti_nps ben two words",
        "3:1: wti_nps has an address and a password; write both, or for a password with blanks "
        'fence_device NAME fence_wti_ips800 ip=ADDRESS password="PASS WORD"',
    ),
    (
        "stonith_host * external/failover-kit-wti-file ben",
        "3:1: external/failover-kit-wti-file has an address and a password file; write both, or for a password "
        'file with blanks fence_device NAME fence_wti_ips800 ip=ADDRESS password_file="/A FILE"',
    ),
    (
        "stonith_host * wti_nps ben pa#ss",
        "3:30: # inside a word; put a blank before a comment, or use fence_device with the value in double quotes",
    ),
    ("stonith_host jim wti_nps ben pw", "3:14: jim is no node of this file; use pete or mclaws"),
    ("stonith_host pet wti_nps ben pw", "3:14: pet is no node of this file; did you mean pete?"),
    (
        "stonith_host * wti_nps :ben pw",
        "3:24: no address; write the name or address of the switch, then its password",
    ),
    (
        "stonith_host pete wti_nps ben one\nstonith_host mclaws wti_nps ben two",
        "4:33: not the password that line 3 has for this switch; correct one",
    ),
    ("fence_device a", "3:1: name or agent is missing; write fence_device NAME AGENT key=value"),
    ("fence_device -a fence_x", "3:14: -a is no device name; use letters, digits, dots and dashes"),
    ("fence_device a ip=1", "3:16: key=value is no agent; write fence_device a AGENT key=value"),
    ("fence_device a /bin/", "3:16: /bin/ is no agent; write fence_device a AGENT key=value"),
    ("fence_device a ../fence_x", "3:16: ../fence_x is no agent; write fence_device a AGENT key=value"),
    (
        "fence_device a fence_x ip",
        "3:24: not key=value; write the agent's parameter names as its metadata has them",
    ),
    ("fence_device a fence_x ip=1 ip=2", "3:29: ip is given twice; keep one"),
    ("fence_device a fence_x plug.pete=1 plug.PETE=2", "3:36: plug.PETE is given twice; keep one"),
    ("fence_device a fence_x ip=", "3:24: ip is empty; write its value or remove it"),
    (
        'fence_device a fence_x password="x\x07"',
        "3:24: the value of password has an invisible character; type it again",
    ),
    ("fence_device a fence_x action=off", "3:24: action is set by failoverd for each call; remove it"),
    (
        'fence_device a fence_x password="x',
        "3:33: double quote without an end; add the second one",
    ),
    (
        "fence_device a fence_x password=x#y",
        "3:34: # inside a word; put a blank before a comment, or the value in double quotes",
    ),
    (
        "fence_device a fence_x plug=1 plug.pete=1 plug.mclaws=2",
        "3:14: plug and plug.NODE are both given; keep the plug.NODE of each node",
    ),
    ("fence_device a fence_x plug.jim=1", "3:24: jim is no node of this file; use pete or mclaws"),
    (
        "fence_device a fence_x\nfence_device a fence_x",
        "4:14: fence device a is given twice, first in line 3; keep one",
    ),
    (
        "fence_device a fence_x plug=3",
        "3:14: plug 3 of a feeds pete and mclaws; give each its own with plug.pete=PLUG plug.mclaws=PLUG",
    ),
    (
        "fence_device a fence_x ip=9 plug.pete=1,2 plug.mclaws=2,3",
        "3:14: plug 2 of a feeds pete and mclaws; give each its own with plug.pete=PLUG plug.mclaws=PLUG",
    ),
    (
        "fence_device a fence_x ip=9 plug.pete=1\nfence_device b fence_x ip=9 plug.mclaws=1",
        "4:14: plug 1 of b feeds pete and mclaws; give each its own with plug.pete=PLUG plug.mclaws=PLUG",
    ),
    ("fence_device a fence_x plug.pete=1", "3:14: no fence device for mclaws; write fence_level mclaws 1 DEVICE"),
    ("fence_level pete 1", "3:1: fence_level is incomplete; write fence_level NODE 1 DEVICE..."),
    ("fence_level pete 0999 a", "3:18: 0999 is no level; write 1 to 9, 1 is tried first"),
    (
        "fence_device a fence_x\nfence_level pete 1 a\nfence_level mclaws 1 a\nfence_level pete 1 a",
        "6:1: level 1 of pete is given twice, first in line 4; join them",
    ),
    ("fence_level jim 1 a\nfence_device a fence_x", "3:13: jim is no node of this file; use pete or mclaws"),
    (
        "fence_device abc fence_x\nfence_level pete 1 abc\nfence_level mclaws 1 abd",
        "5:22: abd is no fence device; did you mean abc?",
    ),
    ("fence_trust", "3:1: fence_trust names no device; write fence_trust DEVICE"),
    ("fence_trust a", "3:13: a is no fence device; add a line fence_device"),
    (
        "fence_device a fence_x plug.pete=1\nfence_level pete 1 a\nfence_level mclaws 1 a",
        "5:22: a has no plug for mclaws; add plug.mclaws=PLUG to its line",
    ),
    ("keepalive 1\r", "3:12: carriage return at the end of the line; save the file with Unix line ends"),
]


@pytest.mark.parametrize(("lines", "said"), BAD_LINES, ids=[said[:60] for _, said in BAD_LINES])
def test_each_error_has_place_fact_and_remedy(lines: str, said: str) -> None:
    assert problems(SOUND + lines + "\n") == [f"ha.cf:{said}"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "node pete\nserial /dev/ttyS0",
            "ha.cf:1:6: only one node (pete); write node and the name of each of the two machines",
        ),
        ("serial /dev/ttyS0", "ha.cf: no nodes; write node and the name of each of the two machines"),
        ("node a b", "ha.cf: no link to the peer; write serial /dev/ttyS0, or ucast eth1 ADDRESS"),
        (
            "baud 1200\nnode a b\nserial /dev/ttyS0",
            "ha.cf:1:6: baud: 1200 is no baud rate; use one of 9600, 19200, 38400, 57600, 115200, 230400, 460800",
        ),
    ],
)
def test_what_must_be_there(text: str, said: str) -> None:
    assert problems(text) == [said]


def test_all_problems_are_reported_together_in_the_order_of_the_file() -> None:
    found = problems("keepaliv 1\nnode pete\nserial ttyS0\nauto_failback legacy\n")
    assert [line.partition(": ")[0] for line in found] == ["ha.cf:1:1", "ha.cf:2:6", "ha.cf:3:8", "ha.cf:4:15"]


def test_every_heartbeat_directive_without_meaning_gets_one_note() -> None:
    for name in hacf.WITHOUT_MEANING:
        text = f"{SOUND}{name} some thing\n{name} other\n"
        sound(text)
        assert notes(text) == [f"ha.cf:3:1: {name} has no meaning here: {hacf.WITHOUT_MEANING[name]}"]


def test_every_directive_of_the_reference_is_known() -> None:
    """The table of Heartbeat 3.0.6's directives; none of them may be an unknown one."""
    names = """
        node keepalive deadtime warntime initdead deadping baud serial udpport bcast udp mcast ucast ucast6 mcast6
        ping6 ping ping_group hbaping auto_failback nice_failback stonith stonith_host watchdog respawn failfast
        apiauth hopfudge hbgenmethod realtime rtprio memreserve use_logd conn_logd_time logfile debugfile
        logfacility syslogmsgfmt debug log_badpack coredumps coreroot msgfmt compression compression_threshold
        traditional_compression max_rexmit_delay autojoin uuidfrom cluster quorum_server env use_apphbd crm
        pacemaker crm_daemon_dir crmd_spawns_pengine record_config_changes record_pengine_inputs
        enable_config_writes
    """
    unknown = [name for name in names.split() if "unknown directive" in str(hacf.parse(name).problems)]
    assert unknown == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nice_failback on", "nice_failback on is the old name of auto_failback off, and read as that"),
        ("autojoin none", "autojoin none has no meaning here: it is always so"),
        ("crm off", "crm off has no meaning here: it is always so"),
    ],
)
def test_harmless_settings_are_noted(line: str, said: str) -> None:
    assert notes(f"{SOUND}{line}\n") == [f"ha.cf:3:1: {said}"]


def test_comments_commas_and_blanks_as_in_heartbeat() -> None:
    config = sound("\n \t# nothing\n\tnode  pete,mclaws#both\nserial\t/dev/ttyS0,/dev/ttyS1 # cable\n")
    assert config.nodes == ("pete", "mclaws")
    assert [link.name for link in config.links] == ["ttyS0", "ttyS1"]


def test_nodes_are_lower_case_and_know_each_other() -> None:
    config = sound("node Pete MCLAWS\nserial /dev/ttyS0\n")
    assert config.peer_of("pete") == "mclaws"
    assert config.peer_of("mclaws") == "pete"
    with pytest.raises(ValueError, match=r"jim is no node of this cluster \(pete and mclaws\)"):
        config.peer_of("jim")


def test_ucast_lines_of_both_nodes_may_stand_in_one_file() -> None:
    config = sound("node pete mclaws\nudpport 10694\nucast eth1 192.168.1.1\nucast eth1 192.168.1.2\n")
    assert config.links == (
        UcastLink(interface="eth1", peer_address="192.168.1.1", port=10694),
        UcastLink(interface="eth1", peer_address="192.168.1.2", port=10694),
    )


def test_two_stonith_host_lines_are_one_device_that_serves_both_nodes() -> None:
    text = f"{SOUND}stonith_host pete wti_nps ben secret\nstonith_host * wti_nps ben secret # switch\n"
    config = sound(text)
    (device,) = config.fence_devices
    assert (device.name, device.agent) == ("ben", "fence_wti_ips800")
    assert config.devices_for("pete") == config.devices_for("mclaws") == ((device,),)
    assert device.parameters == (("ip", "ben"), ("password", "secret"))
    assert device.plugs_for("mclaws") == ("mclaws",)
    assert notes(text) == [
        "ha.cf:3:1: stonith_host: the switch is asked for a plug named like the node, so it serves both nodes; "
        "NODE in these lines limits nothing"
    ]


@pytest.mark.parametrize(
    ("kind", "secret"),
    [("external/failover-kit-wti", "password"), ("external/failover-kit-wti-file", "password_file")],
)
def test_our_plugins_for_heartbeat_are_our_own_agent(kind: str, secret: str) -> None:
    """A pair that ran under Heartbeat with them comes over with the same ha.cf."""
    config = sound(f"{SOUND}stonith_host * {kind} ben /etc/ha.d/ben\n")
    (device,) = config.fence_devices
    assert (device.name, device.agent) == ("ben", "fence_wti_ips800")
    assert device.parameters == (("ip", "ben"), (secret, "/etc/ha.d/ben"))
    assert config.devices_for("pete") == config.devices_for("mclaws") == ((device,),)


def test_our_plugin_for_any_agent_is_a_fence_device_here() -> None:
    (problem,) = problems(f"{SOUND}stonith_host * external/failover-kit-agent fence_x ip=192.0.2.9\n")
    assert "write fence_device NAME AGENT name=value" in problem


def test_two_supplies_are_one_level_and_a_management_board_is_the_next() -> None:
    config = sound(
        SOUND
        + 'fence_device left fence_wti_ips800 ip=192.0.2.1 password="a # b" plug.pete=1 plug.mclaws=5\n'
        + "fence_device right fence_wti_ips800 ip=192.0.2.2 password_file=/x plug.pete=1 plug.mclaws=5\n"
        + "fence_device bmc fence_ipmilan ip=192.0.2.3\n"
        + "fence_level pete 2 bmc\nfence_level pete 1 left right\nfence_level mclaws 1 left right\n"
        + "fence_trust bmc\n"
    )
    left, right, bmc = config.fence_devices
    assert config.devices_for("pete") == ((left, right), (bmc,))
    assert config.devices_for("mclaws") == ((left, right),)
    assert left.plug_for("mclaws") == "5"
    assert dict(left.parameters)["password"] == "a # b"
    assert [device.trusted for device in config.fence_devices] == [False, False, True]


def test_two_switches_without_levels_are_not_guessed_about() -> None:
    """Two supplies or two ways: taking the second for the first would call a running node OFF."""
    text = f"{SOUND}stonith_host pete wti_nps ben one\nstonith_host mclaws wti_nps jim two\n"
    assert problems(text) == [
        f"ha.cf:4:29: several fence devices for {node}; write fence_level {node} 1 ben jim if only all of them "
        f"cut its power, or a level for each, fence_level {node} 1 ben and so on, if one is enough"
        for node in ("pete", "mclaws")
    ]


def test_one_device_per_node_needs_no_levels() -> None:
    config = sound(
        f"{SOUND}fence_device a fence_x ip=1 plug.pete=1\nfence_device b fence_x ip=2 plug.mclaws=1\n"
    )
    assert config.fence_levels == (
        FenceLevel(node="pete", level=1, devices=("a",)),
        FenceLevel(node="mclaws", level=1, devices=("b",)),
    )


def test_a_node_without_levels_gets_the_device_that_is_not_the_other_ones() -> None:
    config = sound(f"{SOUND}fence_device a fence_x ip=1\nfence_device b fence_x ip=2\nfence_level pete 1 a\n")
    assert [[device.name for device in level] for level in config.devices_for("mclaws")] == [["b"]]


def test_a_list_of_plugs_is_several_plugs_of_one_node() -> None:
    (device,) = sound(f"{SOUND}fence_device a fence_x ip=1 plug.pete=1,2 plug.mclaws=3\n").fence_devices
    assert (device.plugs_for("pete"), device.plugs_for("mclaws")) == (("1", "2"), ("3",))
    (device,) = sound(
        f"{SOUND}fence_device a fence_x ip=1 plug_separator=; plug.pete=1;2 plug.mclaws=3,4\n"
    ).fence_devices
    assert (device.plugs_for("pete"), device.plugs_for("mclaws")) == (("1", "2"), ("3,4",))


@pytest.mark.parametrize(
    ("plugs", "told"),
    [
        ("plug.pete=1,,2 plug.mclaws=3", "ha.cf:3:24: plug.pete has an empty place in its list of plugs"),
        ("plug.pete=1,2, plug.mclaws=3", "ha.cf:3:24: plug.pete has an empty place in its list of plugs"),
        ("plug.pete=1,1 plug.mclaws=3", "ha.cf:3:24: plug.pete names a plug twice; a second supply has a plug"),
        ("plug.pete=1,2 plug.mclaws=2,3", "ha.cf:3:14: plug 2 of a feeds pete and mclaws"),
    ],
)
def test_a_slip_in_a_list_of_plugs_is_told_with_its_place(plugs: str, told: str) -> None:
    (problem,) = problems(f"{SOUND}fence_device a fence_x {plugs}\n")
    assert problem.startswith(told)


@pytest.mark.parametrize("agent", ["external/ipmi", "stonith:wti_nps"])
def test_a_plugin_of_cluster_glue_counts_only_with_fence_trust(agent: str) -> None:
    assert problems(f"{SOUND}fence_device a {agent} hostname=x\n") == [
        f"ha.cf:3:14: {agent} cannot tell whether a plug is off, so its off would never count; add fence_trust a "
        "if its exit code is to be believed"
    ]
    (device,) = sound(f"{SOUND}fence_device a {agent} hostname=x\nfence_trust a\n").fence_devices
    assert device.stonith_type == agent.removeprefix("stonith:")
    assert device.trusted


def test_a_device_in_no_level_is_noted() -> None:
    text = (
        f"{SOUND}fence_device a fence_x ip=1\nfence_device b fence_x ip=2\n"
        "fence_level pete 1 a\nfence_level mclaws 1 a\n"
    )
    assert notes(text) == ["ha.cf:4:14: fence device b is in no fence_level: it is never used"]


def test_fence_delay_has_room_for_every_plug_of_a_node() -> None:
    """Rule 10: D exceeds the time of a shot, and two supplies are two offs and two readings."""
    one = sound(f"{SOUND}fence_device a fence_x plug.pete=1 plug.mclaws=2\n").fence_delay_ms
    two = f"{SOUND}fence_device a fence_x plug.pete=1,3 plug.mclaws=2\n"
    assert sound(two).fence_delay_ms == one + 2_000
    assert "(30s + 1s + 4s = 35s); use 38s" in problems(f"{two}fence_delay 34\n")[0]


def test_the_patience_of_a_drill() -> None:
    assert sound(SOUND).prove_timeout_ms == 600_000
    assert sound(f"{SOUND}fence_prove_timeout 90\n").prove_timeout_ms == 90_000
    assert problems(f"{SOUND}fence_prove_timeout 7200\n") == [
        "ha.cf:3:21: fence_prove_timeout 7200s is longer than anybody waits; use 1800s or less"
    ]


@pytest.mark.parametrize("agent", ["fence_wti_ips800", "external/ipmi", "/usr/lib/x/fence_y", "/opt/fence-1.2/a_b"])
def test_agents_by_name_or_absolute_path(agent: str) -> None:
    assert sound(f"{SOUND}fence_device a {agent}\nfence_trust a\n").fence_devices[0].agent == agent


def test_secrets_are_in_no_repr_and_in_no_error() -> None:
    text = f"{SOUND}fence_device a fence_x ip=1 password=Tr0ub4dor passwd=Tr0ub4dor password_file=/etc/pw\n"
    shown = repr(sound(text))
    assert "Tr0ub4dor" not in shown
    assert "password_file=/etc/pw" in shown
    for line in (
        "fence_device a fence_x password=Tr0ub4dor password=Tr0ub4dor",
        "fence_device a fence_x Tr0ub4dor",
        'fence_device a fence_x password="Tr0ub4dor',
        "fence_device a password=Tr0ub4dor",
        "stonith_host * wti_nps ben Tr0ub4dor more",
        "stonith_host * wti_nps ben Tr0ub4dor#",
        "stonith_host * wti_nps Tr0ub4dor! ben",
    ):
        assert "Tr0ub4dor" not in " ".join(problems(f"{SOUND}{line}\n"))


def test_nodes_of_a_broken_file_are_still_known() -> None:
    assert hacf.nodes_of("keepaliv\nnode pete, mclaws # both\n") == ("pete", "mclaws")
    assert hacf.nodes_of("node pete") is None
    assert hacf.nodes_of("node pete m!") is None


def test_each_medium_is_read_and_has_a_name_of_its_own() -> None:
    config = sound(
        "node pete mclaws\nudpport 10694\nserial /dev/ttyS0, /dev/ttyS1 /dev/ttyUSB0\nucast eth1 192.0.2.2\n"
        "ucast6 eth1 FE80::2%eth1\nbcast eth2,eth3\nmcast eth4 239.0.0.43\nmcast eth1 225.0.0.1 695 2 0\n"
        "mcast6 eth4 ff12:0::43 696 3\n"
    )
    assert [link.name for link in config.links] == [
        "ttyS0", "ttyS1", "ttyUSB0", "eth1", "eth1/ucast6", "eth2/bcast", "eth3/bcast", "eth4/mcast", "eth1/mcast",
        "eth4/mcast6",
    ]  # fmt: skip
    assert config.links[3:] == (
        UcastLink(interface="eth1", peer_address="192.0.2.2", port=10694),
        UcastLink(interface="eth1", peer_address="fe80::2", port=10694, ipv6=True),
        BcastLink(interface="eth2", port=10694),
        BcastLink(interface="eth3", port=10694),
        McastLink(interface="eth4", group="239.0.0.43", port=10694),
        McastLink(interface="eth1", group="225.0.0.1", port=695, ttl=2),
        McastLink(interface="eth4", group="ff12::43", port=696, ttl=3, ipv6=True),
    )


def test_an_mcast_port_of_its_own_is_not_udpports() -> None:
    config = sound("node pete mclaws\nmcast eth1 239.0.0.43 700 1 0\nudpport 701\nbcast eth1\n")
    assert [getattr(link, "port", 0) for link in config.links] == [700, 701]


def test_loop_has_no_meaning() -> None:
    said = notes("node pete mclaws\nmcast eth1 239.0.0.43 694 1 1\n")
    assert said == ["ha.cf:2:29: mcast eth1: loop 1 has no meaning here: a node does not listen to its own beats"]


def test_beats_tell_of_links_kind_by_kind() -> None:
    """So that both nodes mean the same link although ha.cf names another interface on each."""
    here = sound("node a b\nmcast eth1 239.0.0.43\nucast eth2 192.0.2.1\nucast eth2 192.0.2.2\nserial /dev/ttyS0\n")
    there = sound("node a b\nserial /dev/ttyUSB0\nucast enp2 192.0.2.1\nmcast enp1 239.0.0.43\n")
    assert in_beat_order(here.links) == ("ttyS0", "eth2", "eth1/mcast")
    assert in_beat_order(there.links) == ("ttyUSB0", "enp2", "enp1/mcast")
