"""Frames that nobody should send, on the way every frame goes: signature, sender, hearing, core, answer.

Nothing without the key changes anything: the core's whole state is compared before and after. What has the right
signature and is old changes nothing a decision is made of. What somebody with the key may say ends no failoverd.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutants import mutants
from wirepair import KEEPALIVE_MS, KEY, KEYS, LINKS, Node, WirePair, group_state, served

from failover_kit.manager import wire
from failover_kit.manager.config import Secret
from failover_kit.manager.events import Tick
from failover_kit.manager.links_base import NOTE_INTERVAL_MS
from failover_kit.manager.records import Beat, GroupClaim
from failover_kit.manager.states import GroupState

SEED = 7
MUTANTS = 10_000
CANDIDATES = 4  # lives that were heard and proved nothing; more are not remembered, whatever comes in
DIALECT = Path(__file__).parents[1] / "data" / "dialect"
PEER = "pete"


def recorded() -> list[bytes]:
    """Frames of the other dialects, as they were written when those were new; signed with the key used here."""
    return [path.read_bytes() for path in sorted(DIALECT.rglob("*.frame"))]


@pytest.fixture(scope="module")
def pair() -> WirePair:
    """Served once for the module: the tests that use it show that nothing changes it."""
    return served()


def beat_of(node: Node) -> Beat:
    """The last beat ``node`` sent."""
    return wire.decode(node.sent[-1], KEYS)


# --- without the key --------------------------------------------------------------------------------------


def test_ten_thousand_mutated_frames_change_nothing_and_say_little(pair: WirePair) -> None:
    node = pair.first
    seeds = [*pair.first.sent, *pair.second.sent, *recorded()]
    genuine = set(seeds)
    before, turns, notes = node.state(), node.turns, len(node.notes)
    count = replays = longest = 0
    for mutant in mutants(seeds, SEED, MUTANTS):
        if mutant in genuine:
            replays += 1
            continue
        count += 1
        longest = max(longest, len(mutant))
        pair.clock.now_ms += count % 2  # some frames a millisecond, for five seconds
        node.take(mutant, LINKS[count % 2])
        assert node.turns == turns, f"mutant {count} of seed {SEED} reached the core: {mutant!r}"
    print(f"{count} mutated frames of seed {SEED} (longest {longest} bytes), {replays} by chance as sent")
    assert count > 0.9 * MUTANTS
    assert node.state() == before
    assert sum(node.receiver.refused.values()) == count
    kinds = len(wire.Fault) * len(LINKS)
    assert notes < len(node.notes) <= notes + kinds, node.notes
    assert set(node.receiver.refused) == set(LINKS) and node.receiver.foreign == {}
    assert len(node.receiver._limiter._last) <= kinds
    assert all(len(note) < 400 and note.isprintable() for note in node.notes), node.notes
    for name in ("boot", "web", "auth "):
        assert not any(f" {name} " in note for note in node.notes), "a note quotes a frame"


def test_a_flood_of_ten_thousand_in_ten_minutes_is_ten_lines_a_kind(pair: WirePair) -> None:
    """The limit is in time, not once for ever: an attack that goes on is still seen."""
    node = Node("mclaws", PEER, pair.clock)
    start_ms = pair.clock.now_ms
    forged = wire.encode(beat_of(pair.second), {1: Secret(b"somebody else's")}, 1)
    for number in range(10_000):
        pair.clock.now_ms = start_ms + number * 60
        node.take(forged)
    pair.clock.now_ms = start_ms
    minutes = 10_000 * 60 // NOTE_INTERVAL_MS
    assert minutes <= len(node.notes) <= minutes + 1
    assert node.receiver.refused == {"eth1": 10_000}
    assert "more like it" in node.notes[-1]


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_bytes_come_in_change_nothing(pair: WirePair, data: st.DataObject) -> None:
    """hypothesis: raw bytes, and pieces of real frames put together anyhow."""
    node = pair.first
    frames = [*pair.first.sent[-8:], *pair.second.sent[-8:]]
    piece = st.one_of(
        st.binary(max_size=60),
        st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.sampled_from([line + b"\n" for frame in frames for line in frame.split(b"\n")]),
        st.sampled_from((wire.START, wire.END, b">>>\n", b"###\n", b"auth 1 ", b" " * 1300)),
    )
    frame = b"".join(data.draw(st.lists(piece, max_size=30)))
    turns = node.turns
    node.take(frame, data.draw(st.sampled_from(LINKS)))
    if frame not in frames:
        assert node.turns == turns


@pytest.mark.parametrize(
    "change",
    [
        {"counter": 10**12 - 1},
        {"nonce": "f" * 16},
        {"groups": ()},
        {"leaving": True},
        {"maintenance": 1, "still": True},
        {"groups": (GroupClaim(name="web", state=GroupState.STARTED, held=True, right=5, top=5),)},
    ],
    ids=lambda change: "-".join(change),
)
def test_a_forged_beat_changes_nothing(pair: WirePair, change: dict[str, object]) -> None:
    """What makes it worth to forge one, signed with a guess, with no key, and with the key of another number."""
    node = pair.first
    beat = replace(beat_of(pair.second), **change)  # type: ignore[arg-type]
    before, turns = node.state(), node.turns
    for keys, number in (
        ({1: Secret(b"a guess")}, 1), ({1: Secret(b"")}, 1), ({2: Secret(KEY)}, 2), ({1: Secret(KEY + b" ")}, 1),
        ({0: Secret(b"0")}, 0),
    ):  # fmt: skip
        node.take(wire.encode(beat, keys, number))
    assert node.turns == turns
    assert node.state() == before


# --- with a right signature, and of no use ----------------------------------------------------------------


def test_every_frame_of_the_life_so_far_replayed_changes_nothing(pair: WirePair) -> None:
    """In order, backwards, and each one many times: old counters of the current life."""
    node = pair.first
    node.handle(Tick())
    before, asked, turns = node.settled_state(), len(node.actions), node.turns
    for frames in (pair.second.sent, pair.second.sent[::-1], [pair.second.sent[-1]] * 50):
        for frame in frames:
            for link in LINKS:
                node.take(frame, link)
    assert node.turns > turns, "they are authentic and do reach the core"
    assert node.settled_state() == before
    assert len(node.actions) == asked, "no beat, no note, nothing was answered to a replay"


def test_own_frames_reflected_change_nothing(pair: WirePair) -> None:
    node = pair.first
    before, turns = node.state(), node.turns
    for frame in node.sent:
        for link in LINKS:
            node.take(frame, link)
    assert node.turns == turns
    assert node.state() == before
    assert any("a beat of this node itself came in" in note for note in node.notes)


def test_frames_of_another_cluster_and_of_no_node_of_this_pair_change_nothing(pair: WirePair) -> None:
    node = pair.first
    before, turns = node.state(), node.turns
    for name in ("kokone", "petE", "pete ", "pete\n", "", "\x1b[31mpete", "ｐｅｔｅ"):
        beat = replace(beat_of(pair.second), node=name, counter=10**6)
        node.take(wire.encode(beat, KEYS, 1))  # our key: a third machine with a copy of authkeys
        node.take(wire.encode(beat, {1: Secret(b"theirs")}, 1))
    assert node.turns == turns
    assert node.state() == before


def test_a_takeover_long_ago_replayed_to_a_restarted_node_gives_no_right(pair: WirePair) -> None:
    """All that pete ever said, grants included, to a life that never heard it: every one is a handshake."""
    fresh = Node("mclaws", PEER, pair.clock, life=9)
    fresh.handle(Tick())
    before = fresh.settled_state()
    frames = [frame for frame in pair.second.sent for _ in LINKS]
    assert any(b" grant=" in frame for frame in frames)
    for frame in frames:
        fresh.take(frame)
    assert fresh.settled_state() == before
    assert fresh.core.hearing.nonce == "" and fresh.core.hearing.beat is None
    assert group_state(fresh) == "stopped"


def test_frames_of_ended_lives_revive_nobody_and_are_remembered_in_a_bounded_place() -> None:
    """Eight lives of pete, one after the other, each proved; then all they said, while pete is silent."""
    pair = WirePair()
    spoken: list[bytes] = []
    for _ in range(8):
        pair.pass_time(1_500)
        spoken += pair.second.sent
        pair.restart(PEER)
    node = pair.first
    for _ in range(3_000 // KEEPALIVE_MS):
        pair.clock.now_ms += KEEPALIVE_MS
        node.handle(Tick())
    assert node.core.peer_state.value == "silent"
    before, asked = node.settled_state(), len(node.actions)
    for _ in range(3):
        for frame in spoken:
            node.take(frame, "ttyS0")
    assert node.settled_state() == before
    assert node.core.peer_state.value == "silent"
    assert len(node.actions) == asked
    assert len(node.core.hearing.candidates) <= CANDIDATES

    # And to one who never heard any of them: at most four are remembered, however many there were.
    fresh = Node("mclaws", PEER, pair.clock, life=9)
    for frame in random.Random(SEED).sample(spoken, len(spoken)):
        fresh.take(frame)
        assert len(fresh.core.hearing.candidates) <= CANDIDATES
    assert fresh.core.hearing.beat is None


def test_recorded_frames_of_older_and_newer_dialects_are_replays_like_any_other(pair: WirePair) -> None:
    """tests/data/dialect has frames that were signed with this key in another life of a node of the pair."""
    node = Node("pete", "mclaws", pair.clock, life=9)
    node.handle(Tick())
    before = node.settled_state()
    for frame in recorded() * 3:
        node.take(frame)
    assert node.turns > 0
    assert node.settled_state() == before


# --- serial lines -------------------------------------------------------------------------------------------


def test_a_serial_line_of_garbage_is_bounded_and_a_frame_behind_it_is_heard(pair: WirePair) -> None:
    node = pair.first
    rng = random.Random(SEED)
    before, turns = node.state(), node.turns
    stream = wire.StreamDecoder()
    good = pair.second.sent[-1]
    size = 0
    for number, mutant in enumerate(mutants([*pair.second.sent, good], SEED, 3_000)):
        for at in range(0, len(mutant), 700):
            for chunk in stream.feed(mutant[at : at + 700]):
                if chunk not in pair.second.sent:
                    node.take(chunk, "ttyS0")
            size = max(size, len(stream._buffer))
        if number % 100 == 0:
            stream.feed(rng.randbytes(700))
    assert size <= wire.FRAME_LIMIT_BYTES + 700
    assert node.turns == turns
    assert node.state() == before
    assert good in stream.feed(b"\n" + good)


@pytest.mark.parametrize("endless", [b"x", b"\x00", b"=", b"=failover-kit 1.1\nnode pete ", b"\n=end", b">>>\n"])
def test_an_endless_line_costs_no_more_than_a_frame(endless: bytes) -> None:
    """A megabyte of it: what is kept is bounded, what is handed on is bounded, and noise is counted."""
    stream = wire.StreamDecoder()
    handed = 0
    for _ in range((1 << 20) // 4096):
        found = stream.feed((endless * 4096)[:4096])
        handed += sum(len(chunk) for chunk in found)
        assert all(len(chunk) <= wire.FRAME_LIMIT_BYTES + 1 for chunk in found)
        assert len(stream._buffer) <= wire.FRAME_LIMIT_BYTES
    assert handed <= 1 << 20
    assert stream.noise_bytes > 100_000 or handed > 0
