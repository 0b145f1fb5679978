"""The ping nodes of ha.cf: what is understood, the sentence for everything that is not, and the digest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from failover_kit.manager import hacf
from failover_kit.manager.authkeys import parse as parse_keys
from failover_kit.manager.config import PING_LIMIT, ClusterConfig, PingNode, config_digest

SOUND = "node pete mclaws\nserial /dev/ttyS0\n"


def sound(text: str) -> ClusterConfig:
    parsed = hacf.parse(SOUND + text)
    assert [str(problem) for problem in parsed.problems] == []
    assert parsed.value is not None
    return parsed.value


def problem(line: str) -> str:
    parsed = hacf.parse(SOUND + line)
    assert parsed.value is None
    (found,) = map(str, parsed.problems)
    return found


def test_the_lines_of_heartbeat_and_ipv6_on_either() -> None:
    config = sound(
        "keepalive 1\ndeadtime 10\nping 192.0.2.1 192.0.2.2,2001:DB8::1\nping6 fe80::1%eth0\n"
        "ping_group switches 198.51.100.1 198.51.100.2\ndeadping 20\nping_failover on\n"
    )
    assert config.pings == (
        PingNode(name="192.0.2.1", members=("192.0.2.1",)),
        PingNode(name="192.0.2.2", members=("192.0.2.2",)),
        PingNode(name="2001:db8::1", members=("2001:db8::1",)),
        PingNode(name="fe80::1%eth0", members=("fe80::1%eth0",)),
        PingNode(name="switches", members=("198.51.100.1", "198.51.100.2")),
    )
    assert [ping.line for ping in config.pings] == [5, 5, 5, 6, 7]
    assert config.deadping_ms == 20_000 and config.ping_failover


def test_deadping_is_deadtime_unless_given_and_nothing_moves_by_itself() -> None:
    config = sound("deadtime 10\nping 192.0.2.1\n")
    assert config.deadping_ms == 10_000 and not config.ping_failover
    assert sound("").pings == ()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ping", "3:1: ping has no address; write ping 192.0.2.1, a gateway's"),
        ("ping gateway", "3:6: ping: gateway is no address; names are not looked up; write the IPv4 or IPv6 "
                         "address"),
        ("ping 239.0.0.1", "3:6: ping: 239.0.0.1 is not the address of one machine; write ping 192.0.2.1"),
        ("ping 0.0.0.0", "3:6: ping: 0.0.0.0 is not the address of one machine; write ping 192.0.2.1"),
        ("ping 255.255.255.255", "3:6: ping: 255.255.255.255 is not the address of one machine; write ping "
                                 "192.0.2.1"),
        ("ping 127.0.0.1", "3:6: ping: 127.0.0.1 is this machine itself and always answers; write the address "
                           "of a gateway"),
        ("ping ::1", "3:6: ping: ::1 is this machine itself and always answers; write the address of a "
                     "gateway"),
        ("ping6 192.0.2.1", "3:7: ping6: 192.0.2.1 is no IPv6 address; write ping 192.0.2.1"),
        ("ping fe80::1", "3:6: ping: fe80::1 is a link-local address without its interface; write "
                         "fe80::1%eth0"),
        ("ping 2001:db8::1%eth0", "3:6: ping: 2001:db8::1%eth0 has an interface, which only a link-local IPv6 "
                                  "address needs; write 2001:db8::1"),
        ("ping 192.0.2.1 192.0.2.1", "3:16: ping node 192.0.2.1 is given twice, first in line 3; keep one"),
        ("ping 192.0.2.1\nping_group g 192.0.2.1 192.0.2.2",
         "4:14: ping node 192.0.2.1 is given twice, first in line 3; keep one"),
        ("ping_group", "3:1: ping_group has no name; write ping_group gateways 192.0.2.1 192.0.2.2"),
        ("ping_group g", "3:1: ping_group has no address; write ping_group gateways 192.0.2.1 192.0.2.2"),
        ("ping_group 192.0.2.1 192.0.2.2",
         "3:12: ping_group: 192.0.2.1 is no name of a group; write ping_group gateways 192.0.2.1 192.0.2.2: "
         "the name first, letters, digits, dots and dashes"),
        ("ping_group g 192.0.2.1 192.0.2.1", "3:24: ping_group g: 192.0.2.1 is given twice; keep one"),
        ("ping_group g 192.0.2.1\nping_group g 192.0.2.2",
         "4:12: a second ping node named g; give each ping_group its own name"),
        ("ping 192.0.2.1\nkeepalive 5\ndeadping 10",
         "5:10: deadping 10s must be more than twice keepalive (10s); use 30s or remove the line"),
        ("ping_failover on",
         "3:1: ping_failover on without a ping node; write ping 192.0.2.1 with the address of a gateway"),
        ("ping_failover perhaps", "3:15: ping_failover: perhaps is neither yes nor no; write yes or no"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_remedy(line: str, said: str) -> None:
    assert problem(f"{line}\n") == f"ha.cf:{said}"


def test_there_is_a_limit_to_both() -> None:
    many = " ".join(f"192.0.2.{number}" for number in range(1, PING_LIMIT + 2))
    assert f"more than {PING_LIMIT} ping nodes; join some into a ping_group" in problem(f"ping {many}\n")
    assert f"ping_group g: more than {PING_LIMIT} addresses; drop some" in problem(f"ping_group g {many}\n")


def test_deadping_alone_is_noted() -> None:
    notes = [str(note) for note in hacf.parse(f"{SOUND}deadping 60\n").notes]
    assert notes == ["ha.cf:3:10: deadping has no meaning without a ping node"]


def test_ipfail_is_told_what_it_is_called_here() -> None:
    notes = [str(note) for note in hacf.parse(f"{SOUND}respawn hacluster /usr/lib/heartbeat/ipfail\n").notes]
    assert notes == [
        "ha.cf:3:1: respawn of ipfail has no meaning here: write ping_failover on, and moves follow ping nodes"
    ]


def test_the_digest_has_what_both_nodes_must_have_alike() -> None:
    keys = parse_keys("auth 1\n1 sha1 something-long-enough-for-a-key\n").value
    assert keys is not None

    def digest(text: str) -> str:
        assert keys is not None
        return config_digest(sound(text), keys)

    one = "ping 192.0.2.1 fe80::1%eth0\n"
    assert digest(one) == digest("ping fe80::1%eth3\nping 192.0.2.1\n")
    others = ["", "ping 192.0.2.1\n", f"{one}deadping 60\n", f"{one}ping_failover on\n", "ping_group g 192.0.2.1\n"]
    assert len({digest(text) for text in [one, *others]}) == 6
    plain = sound("")
    assert config_digest(replace(plain, deadping_ms=1), keys) == digest("")  # without ping nodes it means nothing
