"""Plays one scene, proves what it must prove, and collects what is told of it."""

from __future__ import annotations

from dataclasses import dataclass

from failover_kit.emulator.control import ControlError
from failover_kit.rehearsal import proof
from failover_kit.rehearsal.checks import bring_up
from failover_kit.rehearsal.node import NodeError
from failover_kit.rehearsal.plan import NODES, STATE_DIR
from failover_kit.rehearsal.report import Outcome
from failover_kit.rehearsal.scenes import Scene
from failover_kit.rehearsal.stage import SceneFailed, Stage
from failover_kit.rehearsal.status import StatusError
from failover_kit.rehearsal.timeline import rows
from failover_kit.spec.deadline import boottime_ms
from failover_kit.spec.process import CommandMissing, CommandTimeout

JOURNAL = STATE_DIR + "/journal/current.jsonl"
REPLAY_MS = 60_000


def play(scene: Scene, stage: Stage, outcome: Outcome) -> None:
    """Fill ``outcome``. Only an interruption or a bug of ours is raised."""
    stage.begin()
    outcome.begin_ms = stage.begin_ms
    try:
        if scene.number != 1 and not stage.world.clients:
            bring_up(stage)  # the first of its setup
        scene.play(stage)
        outcome.proofs = proof.prove(stage)
        outcome.passed = True
    except (SceneFailed, StatusError, NodeError, ControlError, CommandTimeout, CommandMissing) as error:
        outcome.failure = str(error)
        found = [sentence for sentence in proof.audit(stage.world) if sentence not in outcome.failure]
        outcome.failure = "; ".join([*found, outcome.failure])  # two holders come before everything else
        outcome.trouble = stage.picture_of_trouble()
    except KeyboardInterrupt:
        outcome.failure = "interrupted before its end; nothing is proved"
        raise
    finally:
        _collect(stage, outcome)


@dataclass(frozen=True)
class Replay:
    """The journal of one node, run through the same core again."""

    node: str
    alike: bool
    sentence: str


def replay_journals(stage: Stage) -> list[Replay]:
    """``failoverctl replay`` on both nodes: every decision of the whole rehearsal must come out the same."""
    found = []
    for name, node in stage.world.nodes.items():
        result = node.run([stage.ctl, "replay", JOURNAL], REPLAY_MS)
        last = result.last_line() if not result.ok() else result.stdout.strip().splitlines()[-1]
        found.append(Replay(name, result.ok(), last.lstrip("= ")))
    return found


def _collect(stage: Stage, outcome: Outcome) -> None:
    world = stage.world
    outcome.end_ms = boottime_ms()
    outcome.fault_ms = stage.fault_ms
    groups, power = world.setup.groups, world.power()
    world.attempts()  # into the diary
    events = world.switch_events()
    gaps = []
    for group in groups:
        times = [ack.t_ms for ack in world.acknowledgements(group).read()]
        first_ms = times[0] if times else outcome.end_ms
        gaps.append(stage.gap(max(outcome.begin_ms, first_ms), outcome.end_ms, group))
        outcome.acknowledged_ms[group.client] = [t_ms for t_ms in times if t_ms >= outcome.begin_ms - 1_000]
        outcome.held += proof.spans_of(world, group)
    outcome.gap_ms = max(gap.ms for gap in gaps)
    outcome.facts = list(stage.measured.facts)
    outcome.rows = rows(world.diary.since(outcome.begin_ms), outcome.fault_ms, gaps, outcome.end_ms)
    names = {
        outlet: world.setup.plug_name(plan, outlet) for plan in NODES for outlet in world.setup.outlets(plan)
    }
    outcome.outlets = [
        (int(event["t_ms"]), names[event["outlet"]], str(event["to"]))
        for event in events
        if event["event"] == "switched" and event["outlet"] in names and int(event["t_ms"]) >= outcome.begin_ms
    ]
    for on in (entry for entry in power if entry.on):
        cuts = (p.t_ms for p in power if (p.node, p.boot, p.on) == (on.node, on.boot, False))
        end_ms = next(cuts, outcome.end_ms)
        if end_ms >= outcome.begin_ms:
            outcome.powered.append((on.node, on.t_ms, end_ms))
