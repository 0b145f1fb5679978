"""The command language of the stories in this directory, and the player that writes their transcripts.

A story is a text file. Lines that begin with ``#`` are narration, ``> command`` is done, and the lines
after it are what happened then: the time in seconds, who, and what was said. ``--`` marks what is really
so, whoever knows it. Run this file to play a story (``--help``); the commands are in ``COMMANDS``.
"""

from __future__ import annotations

import argparse
import difflib
import pathlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

if not __package__:  # run as a program
    _TOP = pathlib.Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(_TOP / "lib"), str(_TOP / "tests")]

from failover_kit.manager.events import Command, ShutdownRequested, Terms, Verb
from failover_kit.manager.records import CoreGroup
from scenarios.stage_world import LINK_MS, NODES, Node, StageError, World

HERE = pathlib.Path(__file__).resolve().parent
SETTLE_MS = 5_000
MORNING_MS = 1_700_000_000_000  # the wall clock when a story begins
HOLD_OFF_MS = 10_000

PLACES = {
    "{node}": r"(?P<node>pete|mclaws)",
    "{target}": r"(?P<target>\w+)",
    "{link}": r"(?P<link>eth1|ttyS0)",
    "{ping}": r"(?P<ping>gateway|printer)",
    "{group}": r"(?P<group>cluster|archive)",
    "{epoch}": r"(?P<epoch>\d+)",
    "{seconds}": r"(?P<seconds>\d+(?:\.\d+)?)",
    "{count}": r"(?P<count>\d+)",
    "{how}": r"(?P<how>works|fails|hangs)",
    "{switch}": r"(?P<switch>works|is stuck|does not answer)",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One command: how it is written, and what it does."""

    form: str
    act: Callable[..., None]

    def match(self, text: str) -> dict[str, str] | None:
        pattern = self.form
        for place, expression in PLACES.items():
            pattern = pattern.replace(place, expression)
        found = re.fullmatch(pattern, text)
        return found.groupdict() if found else None


class Stage:
    """A world, and the commands that move it."""

    def __init__(self) -> None:
        self.world = World()
        self.order_id = 0

    def do(self, text: str) -> list[str]:
        """Do one command; the lines of what happened."""
        for entry in COMMANDS:
            found = entry.match(text)
            if found is not None:
                break
        else:
            known = "\n  ".join(entry.form for entry in COMMANDS)
            raise StageError(f"no such command: {text!r}; the commands are\n  {known}")
        self.world.lines = []
        entry.act(self, **found)
        self.world.run(0)
        self.world.audit()
        return self.world.lines

    def node(self, name: str) -> Node:
        self.world.build()
        return self.world.nodes[name]

    # --- before the curtain ------------------------------------------------------------------------

    def configure(self, **fields: object) -> None:
        if self.world.nodes:
            raise StageError("the configuration comes before the nodes start")
        self.world.config = replace(self.world.config, **fields)  # type: ignore[arg-type]

    def two_groups(self) -> None:
        groups = (CoreGroup(name="cluster", home="pete"), CoreGroup(name="archive", home="mclaws"))
        self.configure(groups=groups)

    # --- time, power, failoverd --------------------------------------------------------------------

    def run_for(self, seconds: str) -> None:
        self.world.run(round(float(seconds) * 1000))

    def start_both(self) -> None:
        for name in NODES:
            self.boot_at_once(name)

    def boot_at_once(self, name: str) -> None:
        node = self.node(name)
        if node.alive:
            raise StageError(f"{name} runs already")
        node.mains = True
        node.boot()

    def all_in_order(self) -> None:
        """Both nodes were started and every group runs at home; how that goes is another story."""
        self.start_both()
        self.world.run(SETTLE_MS)
        for group in self.world.config.groups:
            if self.node(group.home).services[group.name].level != 2:
                raise StageError(f"{group.name} does not run on {group.home}")
        self.world.lines = []

    def power_cut(self, node: str) -> None:
        self.node(node).mains = False
        self.node(node).power_changed()

    def boot(self, node: str) -> None:
        victim = self.node(node)
        if victim.alive:
            raise StageError(f"{node} runs already")
        victim.mains = True
        if victim.plug_on:
            victim.power_changed()
        else:
            self.world.fact(f"{node}: cannot boot, its plug is OFF")

    def daemon_killed(self, node: str) -> None:
        if self.node(node).core is None:
            raise StageError(f"failoverd does not run on {node}")
        self.node(node).end_daemon()
        self.world.fact(f"{node}: failoverd is killed, its resources are left as they are")

    def daemon_started(self, node: str) -> None:
        if not self.node(node).alive or self.node(node).core is not None:
            raise StageError(f"{node} has no power, or failoverd runs already")
        self.node(node).start_daemon()

    def shut_down(self, node: str) -> None:
        self.node(node).handle(ShutdownRequested())

    def pause(self, node: str, seconds: str) -> None:
        self.node(node).paused_until_ms = self.world.now_ms + round(float(seconds) * 1000)

    # --- faults ------------------------------------------------------------------------------------

    def cut(self, links: tuple[str, ...], senders: tuple[str, ...] = NODES) -> None:
        self.world.cut.update((link, sender) for link in links for sender in senders)

    def heal(self) -> None:
        self.world.cut.clear()

    def stop_does(self, group: str, how: str, node: str) -> None:
        self.node(node).services[group].stop_does = how

    def start_does(self, group: str, how: str, node: str) -> None:
        self.node(node).services[group].start_does = how

    def monitor_fails(self, group: str, node: str) -> None:
        self.node(node).monitor_fails(group)

    def switch_does(self, switch: str) -> None:
        self.world.switch.does = switch

    def wrong_outlet(self, node: str) -> None:
        self.world.switch.wrong_outlet.add(node)

    def right_outlet(self, node: str) -> None:
        """The cabling was corrected."""
        self.node(node)
        self.world.switch.wrong_outlet.discard(node)

    def disk(self, node: str, *, full: bool) -> None:
        self.node(node).disk_full = full

    def state_lost(self, node: str) -> None:
        self.node(node).record = None

    def plug_off(self, node: str) -> None:
        """Somebody switches the plug by hand."""
        self.node(node)
        self.world.switch.plug(self.node(node), on=False)

    def by_hand(self, group: str, node: str, *, level: int) -> None:
        """Somebody starts or stops the resources without asking failoverd."""
        self.node(node).becomes(group, level)

    def other_configuration(self, node: str) -> None:
        self.node(node).digest = "another"

    def same_configuration(self, node: str) -> None:
        self.node(node).digest = self.world.config.digest

    def pings(self, node: str, pings: tuple[str, ...], *, answer: bool) -> None:
        there = self.node(node)
        for ping in pings:
            if ping not in self.world.config.pings:
                raise StageError(f"there is no ping node {ping}")
            if answer:
                there.lost_ms.pop(ping, None)
            else:
                there.lost_ms.setdefault(ping, self.world.now_ms)
        there.pings_change()

    def isolate(self, node: str) -> None:
        """Its network fails as a whole."""
        self.cut(BOTH)
        self.pings(node, self.world.config.pings, answer=False)

    def all_answer(self) -> None:
        for node in NODES:
            self.pings(node, self.world.config.pings, answer=True)

    # --- orders and status -------------------------------------------------------------------------

    def order(self, node: str, verb: Verb, *, group: str = "", target: str = "") -> None:
        there = self.node(node)
        if there.core is None:
            raise StageError(f"failoverd does not run on {node}")
        self.order_id += 1
        there.orders[self.order_id] = verb.value
        wall_ms = MORNING_MS + self.world.now_ms
        there.handle(Command(self.order_id, verb, (group,) if group else (), target, wall_ms))

    def request(self, node: str, group: str, epoch: str) -> None:
        """A watcher's request, with a hold-off that fits these times."""
        there = self.node(node)
        if there.core is None:
            raise StageError(f"failoverd does not run on {node}")
        self.order_id += 1
        there.orders[self.order_id] = "request"
        terms = Terms(int(epoch), HOLD_OFF_MS, "kokone (192.0.2.9)")
        there.handle(Command(self.order_id, Verb.TAKEOVER, (group,), terms=terms))

    def proof(self, node: str) -> None:
        """What status says of the last proof drill, with its date."""
        core = self.node(node).core
        if core is None:
            raise StageError(f"failoverd does not run on {node}")
        proof = core.view(self.world.now_ms).proof
        at = f" (after {(proof.wall_ms - MORNING_MS) / 1000:.1f} s)" if proof.wall_ms else ""
        self.world.say(f"{node}: proof: {proof.state.value}{at}: {proof.text}")

    def no_boot(self, node: str, *, boots: bool) -> None:
        """Its BIOS waits for a key, or does not any more."""
        self.node(node).boots_by_itself = boots
        if boots and not self.node(node).alive:
            self.node(node).power_changed()

    def plug_on(self, node: str) -> None:
        """Somebody switches the plug on by hand."""
        self.world.switch.plug(self.node(node), on=True)

    def status(self, node: str) -> None:
        core = self.node(node).core
        if core is None:
            self.world.fact(f"{node}: failoverd does not run")
            return
        view = core.view(self.world.now_ms)
        self.world.say(f"{node}: status: {view.health}: {view.reason}")
        for group in view.groups:
            self.world.say(f"{node}:   {group.name}: {group.doing}")
        for remedy in view.todo:
            self.world.say(f"{node}:   do: {remedy}")


BOTH = tuple(LINK_MS)

COMMANDS = (
    Entry("no fence device", lambda s: s.configure(can_fence=False)),
    Entry("boot_alone yes", lambda s: s.configure(boot_alone=True)),
    Entry("auto_failback on", lambda s: s.configure(auto_failback=True)),
    Entry(
        "auto_failback on after {seconds} s",
        lambda s, seconds: s.configure(auto_failback=True, failback_delay_ms=int(float(seconds) * 1000)),
    ),
    Entry("monitor_failures {count}", lambda s, count: s.configure(monitor_failures=int(count))),
    Entry("ping nodes gateway and printer", lambda s: s.configure(pings=("gateway", "printer"), deadping_ms=2_000)),
    Entry("ping_failover on", lambda s: s.configure(ping_failover=True)),
    Entry("two groups: cluster at home on pete, archive on mclaws", Stage.two_groups),
    Entry("start both nodes", Stage.start_both),
    Entry("start {node} alone", lambda s, node: s.boot_at_once(node)),
    Entry("both nodes run and every group is at home", Stage.all_in_order),
    Entry("run for {seconds} s", Stage.run_for),
    Entry("power cut {node}", Stage.power_cut),
    Entry("boot {node}", Stage.boot),
    Entry("daemon killed on {node}", Stage.daemon_killed),
    Entry("daemon started on {node}", Stage.daemon_started),
    Entry("shut down failoverd on {node}", Stage.shut_down),
    Entry("pause {node} for {seconds} s", Stage.pause),
    Entry("cut both links", lambda s: s.cut(BOTH)),
    Entry("cut link {link} from {node}", lambda s, link, node: s.cut((link,), (node,))),
    Entry("cut link {link}", lambda s, link: s.cut((link,))),
    Entry("cut both links from {node}", lambda s, node: s.cut(BOTH, (node,))),
    Entry("heal links", Stage.heal),
    Entry("{ping} does not answer {node}", lambda s, ping, node: s.pings(node, (ping,), answer=False)),
    Entry("{ping} answers {node} again", lambda s, ping, node: s.pings(node, (ping,), answer=True)),
    Entry("the network of {node} fails: both links, and no ping node answers it", Stage.isolate),
    Entry("every ping node answers both", Stage.all_answer),
    Entry("stop of {group} {how} on {node}", Stage.stop_does),
    Entry("start of {group} {how} on {node}", Stage.start_does),
    Entry("monitor of {group} fails on {node}", Stage.monitor_fails),
    Entry("switch {switch}", Stage.switch_does),
    Entry("plug of {node} feeds something else", Stage.wrong_outlet),
    Entry("plug of {node} feeds it again", Stage.right_outlet),
    Entry("plug of {node} is switched off by hand", Stage.plug_off),
    Entry("plug of {node} is switched on by hand", Stage.plug_on),
    Entry("{node} does not boot by itself", lambda s, node: s.no_boot(node, boots=False)),
    Entry("{node} boots by itself again", lambda s, node: s.no_boot(node, boots=True)),
    Entry("{group} is started by hand on {node}", lambda s, group, node: s.by_hand(group, node, level=2)),
    Entry("{group} is stopped by hand on {node}", lambda s, group, node: s.by_hand(group, node, level=0)),
    Entry("disk full on {node}", lambda s, node: s.disk(node, full=True)),
    Entry("disk has room on {node}", lambda s, node: s.disk(node, full=False)),
    Entry("state directory is lost on {node}", Stage.state_lost),
    Entry("haresources is edited on {node}", Stage.other_configuration),
    Entry("haresources of {node} is like the other again", Stage.same_configuration),
    Entry("standby on {node}", lambda s, node: s.order(node, Verb.STANDBY)),
    Entry("maintenance on, ordered on {node}", lambda s, node: s.order(node, Verb.MAINTENANCE_ON)),
    Entry("maintenance off, ordered on {node}", lambda s, node: s.order(node, Verb.MAINTENANCE_OFF)),
    Entry(
        "maintenance off without {target}, ordered on {node}",
        lambda s, target, node: s.order(node, Verb.MAINTENANCE_OFF, target=target),
    ),
    Entry("takeover on {node}", lambda s, node: s.order(node, Verb.TAKEOVER)),
    Entry("watcher asks {node} to take over {group}, epoch {epoch}", Stage.request),
    Entry("takeover {group} on {node}", lambda s, group, node: s.order(node, Verb.TAKEOVER, group=group)),
    Entry("standby {group} on {node}", lambda s, group, node: s.order(node, Verb.STANDBY, group=group)),
    Entry("fence {target} on {node}", lambda s, target, node: s.order(node, Verb.FENCE, target=target)),
    Entry(
        "confirm-dead {target} on {node}",
        lambda s, target, node: s.order(node, Verb.CONFIRM_DEAD, target=target),
    ),
    Entry("fence --prove {target} on {node}", lambda s, target, node: s.order(node, Verb.PROVE, target=target)),
    Entry("status on {node}", Stage.status),
    Entry("proof on {node}", Stage.proof),
)


def play(text: str, name: str = "story") -> str:
    """The story with its transcript as it is today: narration and commands are kept, the rest is new."""
    stage = Stage()
    out: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(">"):
            try:
                lines = stage.do(line[1:].strip())
            except StageError as error:
                raise StageError(f"{name}:{number}: {error}") from error
            out += [line, *lines]
        elif line.startswith("#") or not line.strip():
            out.append(line.rstrip())
        elif not re.match(r" *\d+\.\d ", line):
            raise StageError(f"{name}:{number}: not a command, not narration, not a transcript: {line!r}")
    return "\n".join(out) + "\n"


def stories() -> list[pathlib.Path]:
    """All of them, in the order of their names."""
    return sorted(HERE.glob("*.txt"))


def main(arguments: list[str]) -> int:
    """Play stories; print what differs, or write it with --rewrite. 1 when something differs."""
    parser = argparse.ArgumentParser(prog="stage.py", description=main.__doc__)
    parser.add_argument("files", nargs="*", type=pathlib.Path, help="default: every story")
    parser.add_argument(
        "--rewrite",
        action="store_true",
        help="write the transcripts anew; only commit a changed one when you understand what changed it",
    )
    parser.add_argument("--commands", action="store_true", help="list the commands a story can use")
    options = parser.parse_args(arguments)
    if options.commands:
        print("\n".join(entry.form for entry in COMMANDS))
        return 0
    changed = 0
    for path in options.files or stories():
        old = path.read_text()
        new = play(old, path.name)
        if old == new:
            continue
        changed += 1
        if options.rewrite:
            path.write_text(new)
            print(f"{path.name}: written")
        else:
            sys.stdout.writelines(
                difflib.unified_diff(old.splitlines(True), new.splitlines(True), path.name, "played now")
            )
    if options.rewrite and changed:
        print("Only commit a changed transcript when you understand what changed it.")
    return 1 if changed and not options.rewrite else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
