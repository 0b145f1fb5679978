"""Which faults, when, for how long: drawn from a seed before anything is played, and read from a file. Pure.

A round is a few faults side by side; then everything heals and the pair must find together. Nodes are named by
what they do when the round begins, ``active`` or ``passive``: so a schedule means the same in every run.

    round 3
      +0.40 for 6.10 loss node=active medium=network percent=40
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

ROLES = ("active", "passive")
MEDIA = ("serial", "network")
ORDERS = ("standby", "takeover", "fence", "fence-test", "prove", "maintenance")
SWITCH_FAULTS = ("stuck", "slow", "mute", "refuse", "garbage", "drop", "busy")

ROUND_MS = 20_000
"""What a round takes on the average, the way back included: how many are drawn for so many minutes."""

DEADTIME_NEAR_MS = (300, 3_000)
LONG_MS = (3_000, 14_000)
TAKEOVER_MS = (9_000, 18_000)
"""Faults about deadtime (2 s), longer ones, and such in which a passive node's turn to shoot comes (rule 10)."""

OUTLAST_SHOT_MS = (25_000, 32_000)
OUTLAST_STOP_MS = (14_000, 20_000)
"""Longer than everything that waits: deadtime, a passive node's turn and a call to the switch (2 + 10 + 10 s); a
stop with its timeout (10 s). Only then it shows what is made of a shot or a stop that did not succeed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """``at_ms`` after its round begins ``kind`` begins, and it heals ``for_ms`` later."""

    at_ms: int
    for_ms: int
    kind: str
    options: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        words = [f"+{self.at_ms / 1000:.2f} for {self.for_ms / 1000:.2f} {self.kind}"]
        return " ".join([*words, *(f"{key}={value}" for key, value in self.options.items())])


Round = tuple[Fault, ...]
_Options = Callable[[random.Random], dict[str, str]]


def _node(rng: random.Random) -> dict[str, str]:
    return {"node": rng.choice(ROLES)}


def _medium(rng: random.Random) -> dict[str, str]:
    return {"medium": rng.choice(MEDIA)}


def _one_way(rng: random.Random) -> dict[str, str]:
    return {**_node(rng), "medium": rng.choice((*MEDIA, "both"))}


def _loss(rng: random.Random) -> dict[str, str]:
    node = rng.choice((*ROLES, "both"))
    return {"node": node, "medium": rng.choice((*MEDIA, "both")), "percent": str(rng.randint(1, 60))}


def _order(rng: random.Random) -> dict[str, str]:
    order = rng.choice((*ORDERS, "standby", "takeover"))
    return {**_node(rng), "order": order}


def _switch(rng: random.Random) -> dict[str, str]:
    fault = rng.choice((*SWITCH_FAULTS, "stuck", "slow", "busy"))
    seconds = {"seconds": f"{rng.uniform(0.5, 6):.1f}"} if fault == "slow" else {}
    return {"fault": fault, **seconds}


def _agents(rng: random.Random) -> dict[str, str]:
    return {**_node(rng), "percent": str(rng.choice((20, 50, 100)))}


KINDS: dict[str, tuple[int, _Options]] = {
    "kill-daemon": (5, _node),
    "pause-daemon": (5, _node),
    "end-daemon": (2, _node),
    "kill-agents": (2, _agents),
    "pause-agents": (2, _agents),
    "kill-service": (2, _node),
    "hang-stop": (2, lambda _: {"node": "active"}),
    "power": (4, _node),
    "reset": (3, _node),
    "freeze": (5, _node),
    "cut": (4, _medium),
    "cut-all": (5, lambda _: {}),
    "one-way": (5, _one_way),
    "loss": (5, _loss),
    "front": (2, _node),
    "full-disk": (4, _node),
    "switch": (2, _switch),
    "order": (6, _order),
}
"""How often each kind is drawn, and what else there is to draw."""

MOVES = ("standby", "takeover")
NEED_A_MOVE = ("hang-stop", "kill-agents", "pause-agents")
"""Faults that meet next to nothing when nothing is started or stopped."""

SHOOTING = ("power", "freeze", "cut-all", "pause-daemon", "kill-daemon", "hang-stop")
"""Faults that end in a shot when they last."""


def draw(seed: int, minutes: float) -> list[Round]:
    """The schedule of this seed: as many rounds as fit into that time on a machine that is not busy."""
    rng = random.Random(seed)
    return [_round(rng) for _ in range(max(1, round(minutes * 60_000 / ROUND_MS)))]


def _round(rng: random.Random) -> Round:
    plot = rng.random()
    if plot < 0.38:
        kinds = [_kind(rng)]
    elif plot < 0.45:
        return _outlasting_shot(rng)
    elif plot < 0.52:
        return _outlasting_stop(rng)
    elif plot < 0.64:  # the switch is ill just when it is needed
        return _sorted([_fault(rng, "switch", LONG_MS, at_ms=0), _fault(rng, rng.choice(SHOOTING), TAKEOVER_MS)])
    elif plot < 0.80:  # something happens in the middle of a move
        return _sorted([_move(rng), _fault(rng, _kind(rng))])
    else:
        kinds = [_kind(rng) for _ in range(rng.choice((2, 2, 3)))]
    faults = [_fault(rng, kind) for kind in kinds]
    if any(kind in NEED_A_MOVE for kind in kinds) and "order" not in kinds:
        faults.append(_move(rng))
    return _sorted(faults)


def _outlasting_shot(rng: random.Random) -> Round:
    """Who serves stands still or is cut off, and the switch does not turn: nobody may take over from him."""
    fault = rng.choice(("stuck", "stuck", "mute", "refuse"))
    for_ms = rng.randrange(*OUTLAST_SHOT_MS, 10)
    kind = rng.choice(("freeze", "freeze", "cut-all"))
    options = {"node": "active"} if kind == "freeze" else {}
    when_ms = rng.randrange(0, 1_500, 10)
    return (Fault(0, for_ms, "switch", {"fault": fault}), Fault(when_ms, for_ms, kind, options))


def _outlasting_stop(rng: random.Random) -> Round:
    """A move whose stop hangs until its time is over."""
    for_ms = rng.randrange(*OUTLAST_STOP_MS, 10)
    return _sorted([Fault(0, for_ms, "hang-stop", {"node": "active"}), _move(rng)])


def _kind(rng: random.Random) -> str:
    return rng.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]


def _move(rng: random.Random) -> Fault:
    order = rng.choice(MOVES)
    node = "active" if order == "standby" else "passive"
    return Fault(rng.randrange(0, 1_500, 10), 0, "order", {"node": node, "order": order})


def _fault(
    rng: random.Random, kind: str, lasts_ms: tuple[int, int] | None = None, *, at_ms: int | None = None
) -> Fault:
    lasts_ms = lasts_ms or rng.choice((DEADTIME_NEAR_MS, DEADTIME_NEAR_MS, LONG_MS, TAKEOVER_MS))
    for_ms = rng.randrange(*lasts_ms, 10)
    options = KINDS[kind][1](rng)
    when_ms = rng.randrange(0, 2_500, 10)
    over_at_once = kind in ("reset", "kill-service", "order") and options.get("order") != "maintenance"
    return Fault(when_ms if at_ms is None else at_ms, 0 if over_at_once else for_ms, kind, options)


def _sorted(faults: Iterable[Fault]) -> Round:
    return tuple(sorted(faults, key=lambda fault: fault.at_ms))


# --- as text ---------------------------------------------------------------------------------------------


class ScheduleError(ValueError):
    """A line is no fault; ``str()`` names the line and what is expected."""


def text(rounds: Iterable[Round], comment: str) -> str:
    """The schedule as a file that ``parse`` reads."""
    lines = [f"# {comment}"]
    for number, faults in enumerate(rounds, start=1):
        lines += [f"round {number}", *(f"  {fault}" for fault in faults)]
    return "\n".join(lines) + "\n"


def parse(source: str) -> list[Round]:
    """Raises ScheduleError."""
    rounds: list[list[Fault]] = []
    for number, line in enumerate(source.splitlines(), start=1):
        words = line.split("#")[0].split()
        if words[:1] == ["round"]:
            rounds.append([])
        elif words:
            if not rounds:
                raise ScheduleError(f"line {number}: a fault before the first line 'round'")
            rounds[-1].append(_parsed(words, number))
    if not rounds:
        raise ScheduleError("no round in it; a schedule is lines 'round N', each followed by its faults")
    return [_sorted(faults) for faults in rounds]


def _parsed(words: list[str], number: int) -> Fault:
    try:
        at, word_for, lasting, kind, *options = words
        fault = Fault(
            round(float(at) * 1000),
            round(float(lasting) * 1000),
            kind,
            {key: value for key, value in (option.split("=") for option in options)},  # noqa: C416 - unpacks
        )
        if word_for == "for" and kind in KINDS:
            return fault
    except ValueError:
        pass
    kinds = ", ".join(KINDS)
    raise ScheduleError(f"line {number}: expected '+SECONDS for SECONDS KIND NAME=VALUE...', KIND one of {kinds}")
