"""The cases: the same schedule for both managers, and what must hold. See docs/versus-heartbeat.md.

A case is a function that plays its schedule on a stage and returns what came of it. The judgement is made from the
ledger, the power and the switch, never from what a manager says of itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from failover_kit.spec.deadline import boottime_ms
from versus.evidence import seconds, shortened, together, told
from versus.stage import Stage, StageFailed
from versus.switch import Mode

TAKEOVER_S = 90.0
"""deadtime 2 s, twice fence_delay 5 s, a fence and a start, on a busy machine."""
CALM_S = 3.0
SLOW_START_S = 12
HEARD_S = 2.0
"""Ten keepalives: both nodes hear each other again."""
POWER_S = 1.0
"""Until a power cut that began is written down: the node's last process has ended."""
TEXTS = 6


@dataclass(frozen=True)
class Outcome:
    """Whether what must hold did hold, and what was seen."""

    holds: bool
    seen: str


@dataclass(frozen=True)
class Case:
    """``play`` does what ``story`` says and judges whether ``must`` held. ``expected``: what Heartbeat was found to
    do when it was studied; ``fails_there``: whether that is a failure. Both are compared with what it does now.
    """

    key: str
    title: str
    story: str
    must: str
    expected: str
    fails_there: bool
    play: Callable[[Stage], Outcome]
    boots: bool = False


def _both(stage: Stage) -> bool:
    return together(stage.spans(), boottime_ms()) is not None


def _verdict(stage: Stage, since_ms: int, *, more: str = "", fine: bool = True) -> Outcome:
    """It holds when never two nodes held the service at once, and ``fine``."""
    stage.until(lambda: False, POWER_S)
    found = together(stage.spans(), boottime_ms())
    texts = told(stage.attempts(), stage.power(), since_ms)
    if found is None:
        head = "one at a time"
    else:
        lasted = seconds(found.lasted_ms) if found.ended else f"{seconds(found.lasted_ms)}, until the watch ended"
        head = f"BOTH ACTIVE ({lasted})"
    runs = stage.serving()
    tail = f"at the end it runs on {runs}" if runs else "at the end it runs nowhere"
    seen = "; ".join(part for part in (head, shortened(texts, TEXTS), more, tail) if part)
    if stage.switch.failures:
        raise StageFailed(f"the switch: {'; '.join(stage.switch.failures)}")
    return Outcome(found is None and fine, seen)


def _watch_takeover(stage: Stage, by: str, limit_s: float = TAKEOVER_S) -> None:
    """Until both are active, or ``by`` serves; and a moment longer."""
    stage.until(lambda: _both(stage) or stage.serving() == by, limit_s)
    stage.until(lambda: False, CALM_S)


def power_cut(stage: Stage) -> Outcome:
    stage.start()
    since_ms = boottime_ms()
    stage.cut_power("pete")
    _watch_takeover(stage, "mclaws")
    shots = stage.switch.shots()
    fenced = bool(shots) and all(shot.node == "pete" for shot in shots)
    return _verdict(stage, since_ms, fine=fenced and stage.serving() == "mclaws")


def hung_stop_standby(stage: Stage) -> Outcome:
    stage.start()
    stage.fault("pete", "stop", "hang")
    stage.manager.standby(stage, "pete")
    stage.wait("pete's stop is under way", lambda: stage.begun("pete", "stop"), 60)
    return _links_and_takeover(stage)


def hung_stop_leave(stage: Stage) -> Outcome:
    stage.start()
    stage.fault("pete", "stop", "hang")
    stage.manager.leave(stage, "pete")
    stage.wait("pete's stop is under way", lambda: stage.begun("pete", "stop"), 60)
    return _links_and_takeover(stage)


def _links_and_takeover(stage: Stage) -> Outcome:
    since_ms = boottime_ms()
    stage.cut_links()
    _watch_takeover(stage, "mclaws")
    return _verdict(stage, since_ms, fine=stage.serving() == "mclaws")


def failed_stop(stage: Stage) -> Outcome:
    stage.start()
    stage.fault("pete", "stop", "fail")
    since_ms = boottime_ms()
    stage.manager.standby(stage, "pete")
    _watch_takeover(stage, "mclaws", 2 * TAKEOVER_S)
    tries = stage.begun("pete", "stop")
    return _verdict(stage, since_ms, more=f"{tries} stops tried", fine=stage.serving() == "mclaws")


def slow_start(stage: Stage) -> Outcome:
    stage.start()
    for giver, taker in (("pete", "mclaws"), ("mclaws", "pete")):
        stage.manager.standby(stage, giver)
        stage.wait(f"the service has moved to {taker}", lambda t=taker: stage.serving() == t, TAKEOVER_S)
        stage.wait("both managers are at rest", lambda: stage.manager.settled(stage), TAKEOVER_S)
    starts = stage.begun("mclaws", "start")
    stage.fault("mclaws", "start", f"slow {SLOW_START_S}")
    stage.manager.standby(stage, "pete")
    stage.wait("mclaws is starting", lambda: stage.begun("mclaws", "start") > starts, 60)
    since_ms = boottime_ms()
    stage.cut_links()
    stage.until(lambda: _both(stage) or stage.serving() or not all(n.on for n in stage.nodes.values()), TAKEOVER_S)
    stage.until(lambda: bool(stage.serving()), SLOW_START_S + 5)
    stage.until(lambda: False, CALM_S)
    return _verdict(stage, since_ms, fine=bool(stage.serving()))


def start_failure(stage: Stage) -> Outcome:
    stage.fault("pete", "start", "fail")
    since_ms = boottime_ms()
    stage.switch_on()
    stage.wait("pete has tried to start", lambda: stage.begun("pete", "start"), stage.manager.start_s)
    stage.until(lambda: stage.serving() == "mclaws", 75)
    more = stage.manager.status(stage, "mclaws")
    return _verdict(stage, since_ms, more=more, fine=stage.serving() == "mclaws")


def hung_stop_alone(stage: Stage) -> Outcome:
    stage.start()
    stage.fault("pete", "stop", "hang")
    since_ms = boottime_ms()
    stage.manager.standby(stage, "pete")
    stage.until(lambda: stage.serving() == "mclaws", 75)
    more = stage.manager.status(stage, "mclaws")
    return _verdict(stage, since_ms, more=more, fine=stage.serving() == "mclaws")


def hung_agent(stage: Stage) -> Outcome:
    stage.start()
    stage.switch.mode = Mode.HANGS
    since_ms = boottime_ms()
    stage.cut_power("pete")
    stage.wait("the switch was asked", lambda: stage.switch.shots(), TAKEOVER_S)
    stage.until(lambda: stage.begun("mclaws", "start"), 30)
    early = stage.begun("mclaws", "start") > 0
    mended_ms = boottime_ms()
    stage.switch.mode = Mode.WORKS
    stage.until(lambda: stage.serving() == "mclaws", 75)
    asked = len([shot for shot in stage.switch.shots() if shot.by == "mclaws" and shot.t_ms > mended_ms])
    more = f"the switch answers again after {seconds(mended_ms - since_ms)}, and is asked {asked} times then"
    return _verdict(stage, since_ms, more=more, fine=not early and stage.serving() == "mclaws")


def fence_race(stage: Stage) -> Outcome:
    stage.start()
    since_ms = boottime_ms()
    stage.cut_links()
    stage.until(lambda: stage.switch.shots(), TAKEOVER_S)
    stage.until(lambda: not any(node.on for node in stage.nodes.values()), 15)
    shots = [f"{s.by} shoots {s.node} after {seconds(s.t_ms - since_ms)}" for s in stage.switch.shots()]
    alive = [name for name, node in stage.nodes.items() if node.on]
    fine = len(alive) == 1 and stage.serving() == alive[0]
    return _verdict(stage, since_ms, more=", ".join(shots), fine=fine)


def fence_loop(stage: Stage) -> Outcome:
    stage.start()
    since_ms = boottime_ms()
    stage.cut_links()
    stage.until(lambda: False, 60)
    kills = [p for p in stage.power() if not p.on and p.t_ms >= since_ms]
    moves = [a.node for a in stage.attempts() if (a.verb, a.what) == ("start", "begin") and a.t_ms >= since_ms]
    more = f"{len(kills)} power cuts and {len(moves)} starts in 60 s"
    return _verdict(stage, since_ms, more=more, fine=len(kills) <= 1 and bool(stage.serving()))


def stale_retry(stage: Stage) -> Outcome:
    stage.start()
    stage.switch.mode = Mode.FAILS
    stage.cut_links()
    stage.wait("a shot has failed", lambda: stage.switch.answered, TAKEOVER_S)
    stage.mend_links()
    stage.until(lambda: False, HEARD_S)
    stage.switch.mode = Mode.WORKS
    since_ms = boottime_ms()
    stage.until(lambda: False, 25)
    late = [shot for shot in stage.switch.shots() if shot.t_ms >= since_ms]
    shots = [f"{s.by} shoots {s.node} {seconds(s.t_ms - since_ms)} later" for s in late]
    more = f"links and switch well again: {', '.join(shots) or 'nobody is shot'}"
    return _verdict(stage, since_ms, more=more, fine=not late and stage.serving() == "pete")


CASES = (
    Case(
        "power-cut", "control: the active node loses its power",
        "pete's power is cut. Nothing else is wrong.",
        "pete is fenced, then mclaws serves",
        "fences, then takes over", False, power_cut,
    ),
    Case(
        "hung-stop-standby", "standby, the stop hangs, the links fail",
        "pete is ordered to standby; its stop does not end; then both links between the nodes are cut.",
        "mclaws serves only after pete is off",
        "takes over without fencing: both active", True, hung_stop_standby,
    ),
    Case(
        "hung-stop-leave", "the manager is ended, the stop hangs, the links fail",
        "pete's manager is ended in good order; its stop does not end; then both links are cut.",
        "mclaws serves only after pete is off",
        "takes over without fencing: both active", True, hung_stop_leave,
    ),
    Case(
        "failed-stop", "standby, every stop fails, the node cannot reboot itself",
        "pete is ordered to standby; each stop fails, the service goes on running; reboot(8) on pete does nothing.",
        "mclaws serves only after pete is off",
        "ends itself, is taken over without fencing: both active", True, failed_stop,
    ),
    Case(
        "slow-start", "the links fail while the new owner is still starting",
        "The service was moved to mclaws and back. It is moved to mclaws again, whose start takes "
        f"{SLOW_START_S} s; meanwhile both links are cut.",
        "one node is off before the other starts, and it is served in the end",
        "the old owner takes it back without fencing: both active", True, slow_start,
    ),
    Case(
        "start-failure", "the start fails on the home node",
        "Both nodes boot; the start fails on pete, and would succeed on mclaws. 75 s are watched after it.",
        "mclaws serves",
        "released and never tried on the other node: down for ever", True, start_failure,
    ),
    Case(
        "hung-stop", "standby and the stop hangs; nothing else is wrong",
        "pete is ordered to standby; its stop does not end. The links are well. 75 s are watched.",
        "mclaws serves after pete is off",
        "waits without a limit", True, hung_stop_alone,
    ),
    Case(
        "hung-agent", "the fence agent hangs",
        "The switch takes requests and never answers; pete's power is cut. 30 s after the first request the switch "
        "works again (that first session stays dumb). 75 s are watched.",
        "nothing is started before a proved fence, and mclaws serves in the end",
        "waits for that agent for ever", True, hung_agent,
    ),
    Case(
        "fence-race", "only the links fail",
        "Both links are cut; both nodes are well and can reach the switch. A node that was shot stays off.",
        "exactly one node survives and serves",
        "both shoot, both die", True, fence_race,
    ),
    Case(
        "fence-loop", "the links stay cut, the nodes boot by themselves",
        "As before, but a node that was shot boots with its manager enabled (3 s later), links still cut. 60 s.",
        "at most one power cut, and it is served",
        "they shoot each other in turns", True, fence_loop, boots=True,
    ),
    Case(
        "stale-retry", "the shot fails, the links come back, then the switch works",
        "The switch answers with errors. The links are cut until a shot has failed, and mended. "
        f"{HEARD_S:g} s later, both nodes hearing each other, the switch works again.",
        "nobody is shot",
        "the pending retry shoots the healthy peer", True, stale_retry,
    ),
)  # fmt: skip
