"""Scene 9: the active node no longer answers the client, and its heartbeats go on.

A wrong route on the active node is the fault: every monitor there is content, and nobody but a client can see it.
The watcher stands where the client does; in place of sshd it enters the node itself, with what sshd would set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from failover_kit.rehearsal.events import Kind
from failover_kit.rehearsal.plan import CLIENT, CLIENT_ADDRESS, GROUP, NODES, peer_of
from failover_kit.rehearsal.stage import Stage
from failover_kit.spec.deadline import Deadline, boottime_ms
from failover_kit.spec.process import CommandResult
from failover_kit.watch import probes
from failover_kit.watch.asking import Nodes
from failover_kit.watch.observer import Observer
from failover_kit.watch.watcher import Watcher

FAILURES = 3
LOOK_MS = 500
HOLD_OFF_S = 1
BROKEN_MS = 5_000
MOVE_MS = 30_000


@dataclass(frozen=True)
class FromClient:
    """A probe, looked at from the client's place."""

    stage: Stage
    probe: probes.Probe

    @property
    def text(self) -> str:
        return self.probe.text

    def failure(self, timeout_ms: int) -> str:
        return self.stage.world.network.client.inside(lambda: self.probe.failure(timeout_ms))


def watched_service(stage: Stage) -> None:
    """The client is not served, no heartbeat is missing: the watcher asks, the group moves by release."""
    broken = stage.holder()
    other = peer_of(broken)
    stage.let_it_run(2 * HOLD_OFF_S * 1000)
    watcher = _watcher(stage)
    stage.fault(f"{broken} has a wrong route to {CLIENT}: its answers go nowhere")
    _route(stage, broken, "add")
    stage.wait("the client is not served", lambda: not stage.serving(), BROKEN_MS)
    for plan in NODES:
        heard = stage.says(plan.name, lambda status: status.peer_state == "up")
        stage.require(heard, f"{plan.name} does not hear its peer: this is not the fault that was meant")
    stage.wait(f"{other} serves", lambda: _look(stage, watcher, other), MOVE_MS)
    stage.require(stage.holder() == other, f"the watcher's takeover is over, but {stage.holder()} has the disk")
    stage.require(stage.said(other, f"asked for by {CLIENT}", "admitted"), f"{other} does not say who asked for it")
    stage.require(stage.attempts(broken, "stop"), f"{broken} did not release the group")
    stage.require(
        not any(stage.switched(plan.name, "off") for plan in NODES), "a node was cut, although both were heard"
    )
    stage.measured.facts.append(f"the client waited {stage.gap().ms} ms, {FAILURES} looks among them")
    _route(stage, broken, "del")
    for plan in NODES:
        stage.wait(
            f"{plan.name} says that all is well",
            lambda name=plan.name: stage.says(name, lambda status: status.health == "healthy"),  # type: ignore[misc]
            MOVE_MS,
        )
    stage.let_it_run()


def _look(stage: Stage, watcher: Watcher, other: str) -> bool:
    watcher.look()
    return stage.served_since(other, stage.fault_ms)


def _route(stage: Stage, node: str, change: str) -> None:
    result = stage.node(node).run(["ip", "route", change, "blackhole", CLIENT_ADDRESS])
    stage.require(result.ok(), result.describe())


def _watcher(stage: Stage) -> Watcher:
    """As ``failoverctl watch`` makes it, without ssh."""
    group = stage.status(NODES[0].name).groups[0].name

    def enter(argv: Sequence[str], deadline: Deadline) -> CommandResult:
        node, words = argv[-2], argv[-1]
        sshd_sets = [f"SSH_ORIGINAL_COMMAND={words}", f"SSH_CONNECTION={CLIENT_ADDRESS} 1024 {node} 22"]
        gate = [stage.ctl, "watch-gate", "--name", CLIENT, "--hold-off", str(HOLD_OFF_S), group]
        return stage.node(node).run(["env", *sshd_sets, *gate], deadline.left_ms())

    def say(text: str) -> None:
        stage.world.diary.note("", Kind.SAYS, f"watch: {text}")

    return Watcher(
        [FromClient(stage, probes.parse(f"tcp:{GROUP.address}:{GROUP.port}"))],
        [],
        Nodes([plan.name for plan in NODES], group, config="", order_ms=MOVE_MS, execute=enter),
        Observer(failures=FAILURES, again_ms=LOOK_MS),
        timeout_ms=LOOK_MS,
        dry_run=False,
        say=lambda said: say(said.text),
        now_ms=boottime_ms,
    )
