"""Somebody has the key, or a peer has gone mad: nothing is promised about who serves, but failoverd does not end.

What raises in ``Node.take`` or ``Node.handle`` would end failoverd with exit code 70 (a bug of ours).
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from wirepair import DEADTIME_MS, KEEPALIVE_MS, KEYS, LINKS, Node, WirePair, group_state, served

from failover_kit.manager import law, wire, wireitems
from failover_kit.manager.actions import ExitCode, Reply
from failover_kit.manager.events import ShutdownRequested, Tick, Verb
from failover_kit.manager.links_receive import DIGEST_BYTES
from failover_kit.manager.records import Beat, GroupClaim
from failover_kit.manager.states import GroupState

WALKS = 40
STEPS = 60
TOP = law.EPOCH_CEILING
EMPTY = GroupClaim(name="web", state=GroupState.STOPPED, held=False, right=0, top=0)


def hear(node: Node, counter: int, **fields: object) -> None:
    """A beat of pete's current life, answering the last one, with these fields."""
    beat = Beat(
        node="pete",
        boot_id="2cb5b36b-3b05-4d0c-9d0a-000100000001",
        nonce="0000000100000001",
        counter=counter,
        echoes=((node.core.nonce, node.core.counter),),
        hears=True,
        ready=True,
        digest="5b0f6a1d0c7e9a34",
        links=(True, True),
        minor=1,
        release="0.1.0",
        groups=(EMPTY,),
    )
    node.take(wire.encode(replace(beat, **fields), KEYS, 1))  # type: ignore[arg-type]


def replies(node: Node) -> list[tuple[ExitCode, str]]:
    return [(action.code, action.text) for action in node.actions if isinstance(action, Reply)]


# --- what no failoverd says is refused --------------------------------------------------------------------

OVER = [TOP + 1, TOP + 2, wire.EPOCH_LIMIT - 2, wire.EPOCH_LIMIT - 1]


@pytest.mark.parametrize("number", OVER)
@pytest.mark.parametrize("field", ["right", "top", "grant", "fence_me", "maintenance"])
def test_an_epoch_that_leaves_none_above_it_is_refused_with_the_reason(field: str, number: int) -> None:
    pair = served()
    node = pair.first
    before = node.state()
    if field == "maintenance":
        hear(node, 5_000, maintenance=number)
    else:
        hear(node, 5_000, groups=(replace(EMPTY, **{field: number}, grant_nonce=node.core.nonce),))  # type: ignore[arg-type]
    assert node.state() == before
    assert node.receiver.refused == {"eth1": 1}
    assert str(number) in node.notes[-1] and "change authkeys" in node.notes[-1]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("boot_id", "b" * (wire.BOOT_ID_BYTES + 1)),
        ("boot_id", "\x1b[2J"),
        ("boot_id", "a\nfailoverd alarm: nonsense"),
        ("nonce", "n" * (wire.NONCE_BYTES + 1)),
        ("nonce", "\u202e"),
        ("digest", "d" * (DIGEST_BYTES + 1)),
        ("digest", "größe"),
    ],
)
def test_a_name_that_is_too_long_or_for_terminals_is_refused(field: str, text: str) -> None:
    pair = served()
    node = pair.first
    before = node.state()
    hear(node, 5_000, **{field: text})
    assert node.state() == before
    assert node.receiver.refused == {"eth1": 1}
    assert node.notes[-1].isprintable() and text not in node.notes[-1]


def test_everything_a_failoverd_itself_may_write_is_heard() -> None:
    """The bounds refuse nothing that the other side of this code can send: at the ceiling both agree."""
    pair = served()
    node = pair.first
    highest = replace(EMPTY, right=0, top=TOP, grant=TOP, grant_nonce=node.core.nonce)
    hear(node, 5_000, groups=(highest,), maintenance=TOP)
    assert node.receiver.refused == {}
    assert node.core.wanted_groups["web"].right == TOP
    assert node.core.wanted.maintenance == TOP
    assert max(len(frame) for frame in node.sent) <= wire.max_frame_bytes(("mclaws", "pete"), ("web",))


# --- nothing is issued that could not be said -------------------------------------------------------------


@pytest.mark.parametrize("known", [TOP - 2, TOP - 1, TOP])
def test_a_group_whose_epochs_were_used_up_stays_where_it_is_and_says_why(known: int) -> None:
    """Standby, takeover by the peer, a failed peer: each needs an epoch that there is none for, sooner or later."""
    pair = served()
    node = pair.first
    hear(node, 5_000, groups=(replace(EMPTY, top=known),))
    for turn in range(6):
        node.order(Verb.STANDBY)
        hear(node, 5_001 + turn, groups=(replace(EMPTY, top=known, want=turn),))
        pair.clock.now_ms += KEEPALIVE_MS
        node.handle(Tick())
    node.order(Verb.TAKEOVER)
    hear(node, 6_000, groups=(replace(EMPTY, top=known),))
    if known == TOP:
        assert group_state(node) == "started"
        assert any(code is ExitCode.REFUSED and "used up" in text for code, text in replies(node)), replies(node)
    assert max(record.top for record in node.core.wanted_groups.values()) <= TOP
    node.handle(ShutdownRequested())
    for _ in range(2 * DEADTIME_MS // KEEPALIVE_MS):
        pair.clock.now_ms += KEEPALIVE_MS
        node.handle(Tick())
    wire.decode(node.sent[-1], KEYS)


def test_a_confirmed_takeover_without_an_epoch_is_not_taken_and_says_so() -> None:
    pair = served()
    pair.first.order(Verb.STANDBY)
    pair.pass_time(1_000)
    node = pair.first
    assert group_state(node) == "stopped"
    hear(node, 5_000, groups=(replace(EMPTY, state=GroupState.STARTED, held=True, right=TOP, top=TOP),))
    for _ in range(2 * DEADTIME_MS // KEEPALIVE_MS):
        pair.clock.now_ms += KEEPALIVE_MS
        node.handle(Tick())
    node.order(Verb.CONFIRM_DEAD, "pete")
    node.handle(Tick())
    assert node.core.wanted_groups["web"].right == 0
    assert group_state(node) == "stopped"
    assert sum("used up" in text for text in node.said) == 1, node.said


@pytest.mark.parametrize("number", [TOP - 2, TOP - 1, TOP])
def test_maintenance_whose_numbers_were_used_up_is_refused_and_always_ends(number: int) -> None:
    pair = served()
    node = pair.first
    counter = 5_000
    for _ in range(4):
        counter += 1
        hear(node, counter, maintenance=number, still=number % 2 == 1)
        node.order(Verb.MAINTENANCE_ON)
        number_here = node.core.wanted.maintenance
        hear(node, counter + 100, maintenance=number_here, still=number_here % 2 == 1)
        node.order(Verb.MAINTENANCE_OFF)
        counter += 200
        pair.clock.now_ms += KEEPALIVE_MS
        node.handle(Tick())
    assert not law.maintenance_is_on(node.core.wanted.maintenance)
    assert node.core.wanted.maintenance <= TOP
    assert any(code is ExitCode.REFUSED and "used up" in text for code, text in replies(node)), replies(node)
    wire.decode(node.sent[-1], KEYS)


# --- a mad peer -------------------------------------------------------------------------------------------

NUMBERS = (*range(10), TOP - 2, TOP - 1, TOP, TOP + 1, wire.EPOCH_LIMIT - 1)
NONCES = ("0000000100000001", "aaaa", "bbbb", "z" * 16, "z" * 90, "")


def mad_claim(rng: random.Random, name: str, nonce: str) -> GroupClaim:
    """Anything a frame can say about a group."""

    def some(chance: float) -> int:
        return rng.choice(NUMBERS) if rng.random() < chance else 0

    return GroupClaim(
        name=name,
        state=rng.choice(list(GroupState)),
        held=rng.random() < 0.5,
        right=some(0.8),
        top=some(0.9),
        grant=some(0.5),
        grant_nonce=rng.choice(("", nonce, "x")),
        failed_here=rng.random() < 0.3,
        parked=rng.random() < 0.3,
        fence_me=some(0.3),
        want=some(0.4),
    )


def mad_beat(rng: random.Random, node: Node, counter: int) -> Beat:
    """Often current; otherwise of any life, boot and number."""
    echo = node.core.counter if rng.random() < 0.9 else rng.choice((0, 10**12 - 1))
    names = [name for name in ("web", "other") if rng.random() < 0.85]
    beat = Beat(
        node="pete",
        boot_id=rng.choice((node.core.wanted.peer_boot_id or "b", "b1", "b2", "")),
        nonce=rng.choice(NONCES),
        counter=rng.choice((counter, counter, counter, counter, 10**12 - 1, 0)),
        echoes=((node.core.nonce, echo),),
        hears=rng.random() < 0.8,
        ready=rng.random() < 0.8,
        leaving=rng.random() < 0.1,
        links=rng.choice(((), (True, True), (False, True), (True,) * 16)),
        digest=rng.choice(("5b0f6a1d0c7e9a34", "5b0f6a1d0c7e9a34", "")),
        maintenance=rng.choice((0, 0, 0, *NUMBERS)),
        still=rng.random() < 0.3,
        reached=rng.choice((None, 0, 3)),
        groups=tuple(mad_claim(rng, name, node.core.nonce) for name in names),
        minor=1,
        release=rng.choice(("", "0.1.0")),
    )
    return beat if beat.maintenance else replace(beat, still=False)


def walk(seed: int) -> tuple[int, int]:
    """A mad peer, an operator and time, for STEPS steps; how many frames came in and how many were refused."""
    rng = random.Random(seed)
    pair = WirePair()
    if rng.random() < 0.5:
        pair.pass_time(1_000)
    node, counter = pair.first, 1_000
    while counter < 1_000 + STEPS and not node.core.exited:
        counter += 1
        match rng.randrange(10):
            case 0 | 1:
                pair.clock.now_ms += rng.choice((1, 100, 200, 1_000, 2_100, 5_000, 61_000))
                node.handle(Tick())
            case 2:
                node.order(rng.choice(list(Verb)), "pete")
            case 3:
                pair.pass_time(KEEPALIVE_MS)
            case _:
                node.take(wire.encode(mad_beat(rng, node, counter), KEYS, 1), rng.choice(LINKS))
        node.core.view(pair.clock.now_ms)
    if not node.core.exited:
        node.handle(ShutdownRequested())
    assert len(node.core.hearing.candidates) <= 4
    return node.turns, sum(node.receiver.refused.values())


def test_a_mad_peer_does_not_end_failoverd() -> None:
    counts = [walk(seed) for seed in range(WALKS)]
    turns, refused = (sum(column) for column in zip(*counts, strict=True))
    print(f"{WALKS} walks, {turns} beats taken in, {refused} refused")
    assert turns > 10 * WALKS
    assert refused > WALKS


def test_a_frame_of_a_newer_minor_full_of_unknown_things_is_bounded() -> None:
    """With the key, and 16 unknown lines and 16 unknown words each: no more than a frame, and read without them."""
    pair = served()
    node = pair.first
    body = pair.second.sent[-1].partition(b"auth ")[0].replace(b"1.1", b"1.999", 1)
    line = b"".join(b"unknown%d w\n" % number for number in range(wireitems.UNKNOWN_LIMIT + 1))
    before = node.state()
    for keyed in (body.replace(b"group ", line + b"group ", 1), body + b"x" * 1200 + b"\n"):
        node.take(wire._sign(keyed, KEYS[1], 1))
    assert node.state() == before
    assert node.receiver.refused == {"eth1": 2}
