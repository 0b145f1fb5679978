"""What is done to the pair. Each scene but the first begins where the one before it ended."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from failover_kit.rehearsal.plan import PETE, peer_of
from failover_kit.spec.deadline import Deadline
from heartbeat.pair import HB, MOVE_MS, PAGE_OF_MIGRATION, PAGE_OF_SCRIPTS, START_MS, TAKEOVER_MS, Pair

LAUNCHER = "/lib/failover-kit/compat/resource.d/failover-kit"
PLUGIN = "failover-kit-wti-file"
LEAD = ("install", "migrate", "back")
"""Scenes that change who runs the pair: what is named after them needs them."""

SCRIPTS = ("Filesystem", "killnfsd", "IPaddr")


@dataclass(frozen=True)
class Scene:
    """``play`` raises SceneFailed."""

    name: str
    expectation: str
    play: Callable[[Pair], None]


def install(pair: Pair) -> None:
    """docs/howto/with-heartbeat.md, typed: our scripts in resource.d, Heartbeat started on both."""
    pair.switch_on()
    pair.stage.fault("with-heartbeat.md is typed")
    pair.play(PAGE_OF_SCRIPTS, "Install", "Start")
    pair.serves(PETE.name, START_MS)
    pair.settled()
    _require_launchers(pair, PETE.name, "start")
    pair.stage.require(not pair.shots(), f"a plug was switched at a start: {pair.shots()}")
    pair.goes_on()


def standby(pair: Pair) -> None:
    """``hb_standby`` on the node that serves."""
    here = pair.stage.holder()
    pair.stage.fault(f"hb_standby on {here}")
    pair.run(here, f"{HB}/hb_standby", "all")
    _moved(pair, here)


def takeover(pair: Pair) -> None:
    """``hb_takeover`` on the node that does not."""
    here = pair.stage.holder()
    pair.stage.fault(f"hb_takeover on {peer_of(here)}")
    pair.run(peer_of(here), f"{HB}/hb_takeover", "all")
    _moved(pair, here)


def power_cut(pair: Pair) -> None:
    """The power cable of the active node: its outlet still reads ON."""
    here = pair.stage.holder()
    pair.stage.fault(f"{here}'s power cable is pulled")
    pair.world.pull_power_cable(here)
    _fenced_and_taken(pair, here)
    pair.stage.require(pair.shots()[:2] == [(here, "off"), (here, "on")], f"the switch did {pair.shots()}")


def outlet_off(pair: Pair) -> None:
    """The active node's outlet is switched off at the switch: it reads OFF when the other one comes to shoot."""
    here = pair.stage.holder()
    pair.stage.fault(f"the outlet of {here} is switched off")
    pair.world.press(here, "off")
    _fenced_and_taken(pair, here)
    pair.stage.require(pair.shots()[-1] == (here, "on"), f"the switch did {pair.shots()}")


def migrate(pair: Pair) -> None:
    """docs/howto/from-heartbeat.md, typed, with whoever serves as its pete."""
    active = pair.stage.holder()
    pair.settled()
    pair.stage.fault(f"from-heartbeat.md is typed, {active} serves")
    pair.play(PAGE_OF_MIGRATION, "Before", "The passive node", active=active)
    _require_quiet(pair, active, "before the active node's turn")
    pair.play(PAGE_OF_MIGRATION, "The active node", active=active)
    _serves_from_now_on(pair)
    pair.healthy()
    _require_managers(pair, "failoverd")
    pair.stage.require(not pair.shots(), f"a plug was switched: {pair.shots()}")
    _note_interruption(pair, "from Heartbeat to failoverd")
    pair.play(PAGE_OF_MIGRATION, "Afterwards", active=pair.stage.holder())
    pair.healthy()
    pair.goes_on()


def power_cut_under_failoverd(pair: Pair) -> None:
    """The same files fence under failoverd, too."""
    here, there = pair.stage.holder(), peer_of(pair.stage.holder())
    pair.stage.fault(f"{here}'s power cable is pulled, under failoverd")
    pair.world.pull_power_cable(here)
    pair.serves(there, TAKEOVER_MS)
    _require_off_first(pair, here, there)
    pair.booted(here)
    pair.healthy()
    _require_managers(pair, "failoverd")


def back(pair: Pair) -> None:
    """The way back, typed."""
    active = pair.stage.holder()
    pair.stage.fault(f"the way back is typed, {active} serves")
    pair.left_last = active
    pair.play(PAGE_OF_MIGRATION, "The way back", active=active)
    _serves_from_now_on(pair)
    pair.settled()
    _require_managers(pair, "heartbeat")
    pair.stage.require(not pair.shots(), f"a plug was switched: {pair.shots()}")
    _note_interruption(pair, "from failoverd to Heartbeat")
    pair.goes_on()


def again(pair: Pair) -> None:
    """To failoverd once more, with that node passive whose failoverd was ended last.

    It had the right to the group in this very boot, and hears nobody when its failoverd starts. Before the guide
    removed the records it started the group beside the other node's Heartbeat.
    """
    if pair.stage.holder() == pair.left_last:
        standby(pair)
    migrate(pair)


def _note_interruption(pair: Pair, what: str) -> None:
    """The client's longest wait since the fault, to be printed."""
    pair.stage.measured.facts.append(f"{what}: the client waited {pair.stage.gap().ms} ms")


def _moved(pair: Pair, here: str) -> None:
    """The service has gone from ``here`` to the other node, by our scripts, and nobody was shot."""
    there = peer_of(here)
    pair.serves(there, MOVE_MS)
    pair.settled()
    pair.stage.require(pair.stage.holder() == there, "it went back")
    pair.stage.require(not pair.shots(), f"a plug was switched for a planned move: {pair.shots()}")
    _require_launchers(pair, here, "stop")
    _require_launchers(pair, there, "start")
    pair.goes_on()


def _fenced_and_taken(pair: Pair, here: str) -> None:
    """The other node shot through our plugin, then started by our scripts; the victim comes back and is passive."""
    there = peer_of(here)
    pair.serves(there, TAKEOVER_MS)
    resets = [
        call
        for call in pair.called(there)
        if call["argv"][0].endswith(f"/{PLUGIN}") and call["argv"][1:] == ["reset", here]
    ]
    pair.stage.require(resets, f"our plugin was not asked to reset {here}: {pair.called(there)}")
    pair.stage.require(resets[-1]["code"] == 0, f"our plugin failed: {resets}")
    said = f"node {here} now reset."
    pair.stage.require(said in pair.log(there), f"{there}'s Heartbeat does not say: {said}")
    others = [shot for shot in pair.shots() if shot[0] != here]
    pair.stage.require(not others, f"another plug was switched, too: {others}")
    _require_off_first(pair, here, there)
    _require_launchers(pair, there, "start")
    pair.booted(here)
    pair.settled()
    pair.stage.require(pair.stage.holder() == there, f"{here} came back and took the disk")
    pair.goes_on()


def _require_off_first(pair: Pair, here: str, there: str) -> None:
    """The switch had OFF for the victim before the survivor tried to start anything."""
    off = pair.stage.switched(here, "off")
    first = min(call.t_ms for call in pair.stage.attempts(there, "start"))
    pair.stage.require(off and off[0] <= first, f"{there} started at {first}, OFF of {here} came at {off}")


def _require_launchers(pair: Pair, name: str, verb: str) -> None:
    """Heartbeat ran the agents' launchers on that node for the whole group, and all went well."""

    def launched() -> list[tuple[str, int, str]]:
        return [
            (os.path.basename(call["argv"][0]), call["code"], call["by"])
            for call in pair.called(name)
            if os.path.dirname(os.path.normpath(call["argv"][0])) == "/etc/ha.d/resource.d"
            and call["argv"][-1] == verb
            and call["ran"].endswith(LAUNCHER)
        ]

    wanted = [(script, 0, "ResourceManager") for script in (SCRIPTS if verb == "start" else SCRIPTS[::-1])]
    calls = launched()
    deadline = Deadline(30_000)
    while len(calls) < len(wanted) and not deadline.expired():  # a call is written down when it has ended
        time.sleep(0.1)
        calls = launched()
    pair.stage.require(calls == wanted, f"{verb} on {name}: ran {calls}, expected {wanted}")
    for script in SCRIPTS:
        said = re.search(rf"info: Running /etc/ha\.d/+resource\.d/{script} .*{verb}$", pair.log(name), re.MULTILINE)
        pair.stage.require(said, f"{name}'s Heartbeat does not say that it runs {script} {verb}")


def _require_managers(pair: Pair, manager: str) -> None:
    """Exactly that manager runs, on both nodes."""
    found = {name: pair.manager_of(name) for name in pair.world.nodes}
    pair.stage.require(all(one == {manager} for one in found.values()), f"expected {manager} alone: {found}")


def _require_quiet(pair: Pair, active: str, when: str) -> None:
    """The service runs on as if nothing were; one manager on each node."""
    pair.goes_on()
    # Heartbeat that ends stops everything, held or not; that is the passive node's.
    tried = [
        call
        for call in pair.world.attempts()
        if call.t_ms >= pair.stage.fault_ms and (call.node == active or call.verb == "start")
    ]
    pair.stage.require(not tried, f"{when}: something was started or stopped: {tried}")
    pair.stage.require(pair.stage.holder() == active, f"{when}: {active} has lost the disk")
    found = {name: pair.manager_of(name) for name in (active, peer_of(active))}
    wanted = {active: {"heartbeat"}, peer_of(active): {"failoverd"}}
    pair.stage.require(found == wanted, f"{when}: {found}")
    pair.stage.require(not pair.shots(), f"{when}: a plug was switched: {pair.shots()}")


def _serves_from_now_on(pair: Pair) -> None:
    """Until the client is served again, by whichever node."""
    stage = pair.stage
    since_ms = max([call.t_ms for call in pair.world.attempts()] or [0])
    nodes = pair.world.nodes
    stage.wait("the client is served", lambda: any(stage.served_since(name, since_ms) for name in nodes), START_MS)


SCENES = (
    Scene("install", "our scripts and plugin under Heartbeat; the service comes up at home", install),
    Scene("standby", "hb_standby; no plug is switched", standby),
    Scene("takeover", "hb_takeover; no plug is switched", takeover),
    Scene("power-cut", "shot through our plugin, then taken over; comes back passive", power_cut),
    Scene("outlet-off", "the same when the outlet reads OFF already", outlet_off),
    Scene("migrate", "to failoverd by the guide: the same files, one interruption", migrate),
    Scene("power-cut-failoverd", "the same files fence under failoverd", power_cut_under_failoverd),
    Scene("back", "the way back by the guide", back),
    Scene("again", "to failoverd once more; passive is who had failoverd's right last", again),
)


def chosen(names: list[str]) -> list[Scene]:
    """The scenes named, in their order, and those that lead to them; all without names."""
    picked = []
    for index, scene in enumerate(SCENES):
        leads = scene.name in LEAD and any(other.name in names for other in SCENES[index:])
        if not names or scene.name in names or leads:
            picked.append(scene)
    return picked
