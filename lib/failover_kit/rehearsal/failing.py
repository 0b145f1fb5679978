"""Scenes 10 and 11: the service fails, and a stop fails, while both nodes and both cables are well."""

from __future__ import annotations

from functools import partial

from failover_kit.rehearsal.checks import (
    MOVE_MS,
    START_MS,
    TAKEOVER_MS,
    healthy,
    require_fenced_first,
    require_no_shot,
    require_passive_return,
    require_released_first,
    restart_daemon,
)
from failover_kit.rehearsal.events import Kind
from failover_kit.rehearsal.plan import GROUP, MONITOR_MS, STOP_TIMEOUT_MS, peer_of
from failover_kit.rehearsal.proof import service_pid
from failover_kit.rehearsal.stage import Stage
from failover_kit.spec.deadline import boottime_ms


def failing_service(stage: Stage) -> None:
    """The service's process dies twice on the active node: a restart in place, then a hand-over."""
    broken = stage.holder()
    other = peer_of(broken)
    stage.let_it_run()
    stage.fault(f"the service's process is killed on {broken}")
    _kill_service(stage, broken)
    stage.wait(f"{broken} starts it again", lambda: _service_starts(stage, broken), MONITOR_MS + START_MS)
    restarted_ms = _service_starts(stage, broken)[0]
    stage.wait(f"{broken} serves again", lambda: stage.served_since(broken, restarted_ms), START_MS)
    stage.measured.facts.append(f"restarted in place: the client waited {stage.gap().ms} ms, a monitor among them")
    _require_count(stage, broken, 1)
    stage.measured.facts.append(f"status: {stage.status(broken).groups[0].doing}")
    stage.world.diary.note(broken, Kind.FAULT, "failoverd is killed and started again: the failure still counts")
    restart_daemon(stage, broken)
    _require_count(stage, broken, 1)
    stage.let_it_run()
    stage.require(not stage.attempts(other), f"{other} was told to start or stop something after one failure")

    again_ms = stage.world.diary.note(broken, Kind.FAULT, "the service's process is killed again").t_ms
    _kill_service(stage, broken)
    served = partial(stage.served_since, other, again_ms)
    stage.wait(f"{other} serves", served, MONITOR_MS + MOVE_MS)
    require_released_first(stage, broken, other, again_ms)
    in_place = [t_ms for t_ms in _service_starts(stage, broken) if t_ms >= again_ms]
    stage.require(not in_place, f"{broken} started the service once more in place")
    stage.measured.facts.append(f"handed over: the client waited {stage.gap(again_ms).ms} ms, a monitor among them")
    require_no_shot(stage)

    begin_ms = boottime_ms()
    stage.world.diary.note(broken, Kind.FAULT, "it is repaired: failoverctl takeover")
    stage.order(broken, "takeover")
    stage.wait(f"{broken} serves", lambda: stage.served_since(broken, begin_ms), MOVE_MS)
    _require_count(stage, broken, 0)
    healthy(stage, START_MS)
    stage.let_it_run()
    require_no_shot(stage)


def _kill_service(stage: Stage, name: str) -> None:
    node = stage.node(name)
    result = node.run(["kill", "-KILL", str(service_pid(node))])
    stage.require(result.ok(), result.describe())


def _service_starts(stage: Stage, name: str) -> list[int]:
    return [call.t_ms for call in stage.attempts(name, "start") if call.resource == GROUP.service]


def _require_count(stage: Stage, name: str, failures: int) -> None:
    """The failures that count, in status."""
    counted = partial(stage.says, name, lambda status: status.groups[0].failures == failures)
    stage.wait(f"status on {name} counts {failures} failures", counted, START_MS)


def failed_stop(stage: Stage) -> None:
    """A stop hangs to its time-out in a standby: the right is kept, the peer is asked to fence, and takes over."""
    failing = stage.holder()
    peer = peer_of(failing)
    stage.let_it_run()
    stage.fault(f"failoverctl standby on {failing}, and the service's stop hangs")
    stage.let_stop_hang(failing)

    def early() -> str:
        unfenced = stage.attempts(peer, "start") and not stage.switched(failing, "off")
        return f"{peer} started something, and {failing} neither stopped nor was switched off" if unfenced else ""

    with stage.order_in_background(failing, "standby"):
        stage.wait(f"the service's stop begins on {failing}", lambda: _service_stops(stage, failing), MOVE_MS)
        stop_ms = _service_stops(stage, failing)[0]
        served = partial(stage.served_since, peer, stop_ms)
        stage.wait(f"{peer} serves", served, STOP_TIMEOUT_MS + TAKEOVER_MS, never=early)
    require_fenced_first(stage, failing, peer)
    cut_ms = stage.switched(failing, "off")[0] - stop_ms
    stage.require(cut_ms >= STOP_TIMEOUT_MS, f"{failing} was cut {cut_ms} ms after its stop began, in its time")
    stage.require(stage.said(failing, "it stays ours"), f"{failing} does not say that it keeps the group")
    stage.require(stage.said(peer, "asks to be fenced"), f"{peer} does not say that {failing} asked for it")
    stage.measured.facts.append(
        f"{failing} was off {cut_ms} ms after its stop began ({STOP_TIMEOUT_MS} are its time-out)"
    )
    stage.measured.facts.append(f"the client waited {stage.gap().ms} ms")
    require_passive_return(stage, failing, peer)


def _service_stops(stage: Stage, name: str) -> list[int]:
    return [call.t_ms for call in stage.attempts(name, "stop") if call.resource == GROUP.service]
