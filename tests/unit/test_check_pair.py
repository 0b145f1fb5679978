"""What shows only when both nodes are looked at: through the facts that one gives the other."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from check_world import AUTHKEYS, UUID, Change, World, compare, with_status
from failover_kit.check import nodefacts, pair_rules
from failover_kit.check.findings import Severity, exit_code, in_order
from failover_kit.check.nodefacts import NoFacts
from failover_kit.check.probes import Disk
from failover_kit.manager.records import LinkView, ProofState, ProofView
from status_examples import HEALTHY, status_of

CLEAN = {"one-fence-way", "no-daemon"}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[World, World]:
    return World(tmp_path / "pete"), World(tmp_path / "mclaws", mclaws=True)


def other_disk(world: World) -> None:
    world.probes.disk_answer = Disk(fstype="xfs", uuid=UUID.replace("4d6b", "0000"), bytes=1 << 40)


def smaller_disk(world: World) -> None:
    world.probes.disk_answer = dataclasses.replace(world.probes.disk_answer, bytes=1 << 39)


def exports(text: str) -> Change:
    return lambda world: world.write("/etc/exports", text)


EXPORT = "/mnt/e0.0/home 192.0.2.0/24(rw,sync,fsid=7,mp=/mnt/e0.0)\n"

DIFFERENT: list[tuple[str, Change, str]] = [
    ("files-differ", lambda w: w.edit("/etc/ha.d/ha.cf", "deadtime 10", "deadtime 12"), "ha.cf:3"),
    (
        "files-differ",
        lambda w: w.edit("/etc/ha.d/haresources", "no_subtree_check", "subtree_check"),
        "haresources:3",
    ),
    (
        "authkeys-differ",
        lambda w: w.write("/etc/ha.d/authkeys", AUTHKEYS.replace("0123", "3210"), 0o600),
        "authkeys",
    ),
    ("disk-differs", other_disk, "haresources:1:6"),
    ("disk-differs", smaller_disk, "haresources:1:6"),
    ("exports-differ", exports(""), "/etc/exports:1"),
    ("exports-differ", exports(EXPORT.replace("rw", "ro")), "/etc/exports:1"),
    ("fsid-differs", exports(EXPORT.replace("fsid=7", "fsid=8")), "/etc/exports:1"),
    ("clock-differs", lambda w: setattr(w.probes, "wall", w.probes.wall + 3_000), ""),
    ("clock-differs", lambda w: setattr(w.probes, "wall", w.probes.wall - 60_000), ""),
    ("link-address", lambda w: w.probes.interfaces.update(eth1=("192.168.1.6/30",)), "ha.cf:9"),
]


def test_two_alike_nodes_have_nothing_but_advice(pair: tuple[World, World]) -> None:
    for world in pair:
        world.write("/etc/exports", EXPORT)
    assert {finding.id for finding in compare(*pair)} == CLEAN


@pytest.mark.parametrize(
    ("rule", "change", "place"), DIFFERENT, ids=[f"{n}-{c[0]}" for n, c in enumerate(DIFFERENT)]
)
def test_a_difference_is_found_at_its_line(
    pair: tuple[World, World], rule: str, change: Change, place: str
) -> None:
    for world in pair:
        world.write("/etc/exports", EXPORT)
    change(pair[1])
    found = [finding for finding in compare(*pair) if finding.id not in CLEAN]
    assert {finding.id for finding in found} == {rule}
    assert place in [finding.place for finding in found]


def test_what_may_differ_is_no_difference(pair: tuple[World, World]) -> None:
    """The serial port's name, comments, blanks, and each node leaving out its own ucast line."""
    pete, mclaws = pair
    mclaws.tree.devices.add("/dev/ttyS1")
    mclaws.edit("/etc/ha.d/ha.cf", "serial /dev/ttyS0", "serial   /dev/ttyS1  # the other port")
    mclaws.edit("/etc/ha.d/ha.cf", "ucast eth1 192.168.1.2\n", "")
    assert {finding.id for finding in compare(pete, mclaws)} == CLEAN


def test_only_the_line_that_matters_is_named_among_those_that_may_differ(pair: tuple[World, World]) -> None:
    pete, mclaws = pair
    mclaws.tree.devices.add("/dev/ttyS1")
    mclaws.edit("/etc/ha.d/ha.cf", "serial /dev/ttyS0", "serial /dev/ttyS1")
    mclaws.edit("/etc/ha.d/ha.cf", "keepalive 1\n", "keepalive 1.5\n")
    found = [f for f in compare(pete, mclaws) if f.id == "files-differ"]
    assert {(f.node, f.place) for f in found} == {("pete", "ha.cf:2"), ("mclaws", "ha.cf:2")}


def test_old_facts_from_a_file_say_nothing_about_the_clock(pair: tuple[World, World]) -> None:
    pair[1].probes.wall -= 86_400_000
    assert "clock-differs" not in {f.id for f in compare(*pair, piped=False)}


def heard(world: World, up: bool, name: str = "eth1", one_way: str = "") -> None:
    proof = ProofView(state=ProofState.PROVED, wall_ms=1)
    other = LinkView(name=name, up=up, heard_ago_ms=30_000, one_way=one_way)
    links = (LinkView(name="ttyS0", up=True, heard_ago_ms=1), other)
    with_status(world, status_of(HEALTHY), links=links, proof=proof)


@pytest.mark.parametrize("deaf", [0, 1])
def test_a_link_that_one_node_hears_and_the_other_does_not(pair: tuple[World, World], deaf: int) -> None:
    for number, world in enumerate(pair):
        heard(world, up=number != deaf)
    found = [f for f in compare(*pair) if f.id == "link-one-way"]
    names = ("pete", "mclaws") if deaf == 0 else ("mclaws", "pete")
    fact = f"{names[0]} does not hear {names[1]} on eth1, and {names[1]} hears {names[0]}"
    assert [f.fact for f in found] == [fact]
    for number, world in enumerate(pair):  # each node's failoverd knows it, too, and it is said once
        heard(world, up=number != deaf, one_way="in words")
    (found,) = [f for f in compare(*pair) if f.id.startswith("link-")]
    assert (found.id, found.fact) == ("link-one-way", fact)
    for world in pair:
        heard(world, up=True)
    assert "link-one-way" not in {f.id for f in compare(*pair)}


def test_the_only_serial_lines_are_each_other_s_by_whatever_name(pair: tuple[World, World]) -> None:
    pete, mclaws = pair
    mclaws.tree.devices.add("/dev/ttyUSB0")
    mclaws.edit("/etc/ha.d/ha.cf", "/dev/ttyS0", "/dev/ttyUSB0")
    proof = ProofView(state=ProofState.PROVED, wall_ms=1)
    for world, name, up in ((pete, "ttyS0", False), (mclaws, "ttyUSB0", True)):
        links = (LinkView(name=name, up=up, heard_ago_ms=20_000), LinkView(name="eth1", up=True, heard_ago_ms=1))
        with_status(world, status_of(HEALTHY), links=links, proof=proof)
    (found,) = [f for f in compare(pete, mclaws) if f.id == "link-one-way"]
    assert found.fact == "pete does not hear mclaws on ttyS0, and mclaws hears pete"


def test_another_version(pair: tuple[World, World]) -> None:
    subject, own, peer = pair[0].subject(), pair[0].facts(), pair[1].facts()
    peer = dataclasses.replace(peer, version="0.0.1")
    found = list(pair_rules.findings(subject, own, peer, piped=True))
    assert [f.id for f in found] == ["version-differs"]


def test_without_the_other_node_the_command_is_named(pair: tuple[World, World]) -> None:
    finding = pair_rules.not_compared(pair[0].subject())
    assert finding.fix == "run: failoverctl check --ssh"
    assert finding.severity is Severity.ADVICE


def test_facts_survive_their_way(pair: tuple[World, World]) -> None:
    facts = pair[1].facts()
    assert nodefacts.read(nodefacts.write(facts)) == facts


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"format": 2}', "[" * 100_000, "x" * (nodefacts.LIMIT_BYTES + 1)]
)
def test_what_is_no_facts_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(NoFacts) as caught:
        nodefacts.read(text)
    assert str(caught.value)


def test_facts_of_another_format_are_refused(pair: tuple[World, World]) -> None:
    plain = json.loads(nodefacts.write(pair[1].facts())) | {"format": 2}
    with pytest.raises(NoFacts, match="same version"):
        nodefacts.read(json.dumps(plain))


def test_the_worst_comes_first_and_lines_count_as_numbers(pair: tuple[World, World]) -> None:
    pete = pair[0]
    pete.edit("/etc/ha.d/ha.cf", "initdead 60", "initdead 20")
    pete.remove("/etc/ha.d/benjamin.password")
    pete.probes.synchronised = False
    found = in_order(reversed(pete.findings()))
    ranks = [list(Severity).index(f.severity) for f in found]
    assert ranks == sorted(ranks)
    places = [f.place for f in found if f.place.startswith("ha.cf:") and f.severity is Severity.ADVICE]
    assert places == sorted(places, key=lambda place: int(place.partition(":")[2]))
    assert exit_code(found) == 1
    assert exit_code([f for f in found if f.severity is Severity.ADVICE]) == 0
