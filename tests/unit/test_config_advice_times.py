"""`failoverd --check`: the sum that decides how long clients wait, and the cables that are not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from failover_kit.manager import configfiles, hacf
from failover_kit.manager.advice import advice, meaning

FILES = {
    "ha.cf": "node pete mclaws\nkeepalive 1\ndeadtime 10\nucast eth1 192.0.2.1\nucast eth1 192.0.2.2\n"
    "fence_device benjamin fence_wti_ips800 ip=192.0.2.9 password_file=/x\n",
    "haresources": "pete IPaddr::192.0.2.220/24/eth0\n",
    "authkeys": "auth 1\n1 sha256 0123456789abcdef0123456789abcdef\n",
}


@pytest.mark.parametrize(("node", "seconds"), [("pete", 26), ("mclaws", 42)])
def test_the_wait_before_fencing_is_deadtime_and_the_turns_of_rule_10(
    tmp_path: Path, node: str, seconds: int
) -> None:
    """The home node of the first group waits fence_delay (10 + 1 + 5 s), the other twice that."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    loaded = configfiles.load(str(tmp_path))
    lines = "\n".join(meaning(loaded.config, node, loaded.config.links))
    assert re.search(rf"begins here after {seconds} s: deadtime 10 s, then {seconds - 10} s", lines)


def advised(links: str) -> list[str]:
    """Of links whose devices are there: any device will do."""
    config = hacf.parse(f"node pete mclaws\n{links}").value
    assert config is not None
    return advice(config, config.links)


@pytest.mark.parametrize(
    ("links", "said"),
    [
        ("serial /dev/null\n", "one link only"),
        ("ucast lo 192.0.2.1\nucast lo 192.0.2.2\n", "one link only"),
        ("ucast lo 192.0.2.1\nucast6 lo fe80::1\nmcast lo 239.0.0.43 700\n", "all links are on one cable (lo)"),
    ],
)
def test_media_on_one_cable_are_one_link(links: str, said: str) -> None:
    assert advised(links) == [
        f"ha.cf: {said}: its failure looks like the peer's; add a second of another kind"
    ]
    assert advised(f"{links}serial /dev/zero\n") == []


@pytest.mark.parametrize("line", ["bcast fknone0", "mcast fknone0 239.0.0.43", "mcast6 fknone0 ff12::43"])
def test_an_interface_that_is_not_there_is_told_of_every_medium(line: str) -> None:
    (told,) = advised(f"serial /dev/null\n{line}\n")
    assert told.startswith("ha.cf:3:1: there is no interface fknone0 here now")


def test_a_serial_device_that_is_not_there_is_told_and_keeps_nobody_from_starting() -> None:
    (told,) = advised("serial /dev/null\nserial /dev/fknone0\n")
    assert told.startswith("ha.cf:3:1: there is no serial device /dev/fknone0 here now: the link is down")
