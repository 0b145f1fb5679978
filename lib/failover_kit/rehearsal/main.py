"""The command ``rehearsal``: play the scenes, or talk to a rehearsal that was kept.

Exit codes: 0 every scene passed, 1 a scene failed or the stage could not be built, 2 usage or something is
missing on this machine (nothing was changed then), 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import glob
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from types import FrameType

from failover_kit.emulator.control import ControlError
from failover_kit.emulator.harness import EmulatorFailed
from failover_kit.rehearsal import needs, rundir
from failover_kit.rehearsal.control import RequestError, request
from failover_kit.rehearsal.disk import DiskError
from failover_kit.rehearsal.events import Diary
from failover_kit.rehearsal.kit import program
from failover_kit.rehearsal.namespaces import NamespaceError
from failover_kit.rehearsal.node import NodeError
from failover_kit.rehearsal.picture import page
from failover_kit.rehearsal.plan import NODES, SWITCH, Setup
from failover_kit.rehearsal.play import Replay, play, replay_journals
from failover_kit.rehearsal.report import Outcome, Printer
from failover_kit.rehearsal.scenes import SCENES, Scene, by_setup
from failover_kit.rehearsal.stage import Stage
from failover_kit.rehearsal.world import World
from failover_kit.spec.process import CommandMissing, CommandTimeout

PASSED, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM)

STAGE_ERRORS = (
    CommandMissing,
    CommandTimeout,
    ControlError,
    DiskError,
    EmulatorFailed,
    NamespaceError,
    NodeError,
    OSError,
)
"""What a machine can do to us; the sentence is enough."""


def parser() -> argparse.ArgumentParser:
    """The options of the rehearsal itself."""
    options = argparse.ArgumentParser(
        prog="rehearsal",
        description="Two nodes, a disk, a power switch and a client on this machine, in fourteen scenes.",
        epilog="With a kept rehearsal: 'rehearsal enter pete [COMMAND...]', "
        "'rehearsal cable serial|network on|off', 'rehearsal press pete|mclaws on|off'. "
        "Exit codes: 0 every scene passed, 1 not so, 2 usage or something is missing here, 130 interrupted.",
    )
    scene_help = "play scene N (repeatable; the first start is always played; 13 and 14 have a pair of their own)"
    options.add_argument("--scene", type=int, action="append", metavar="N", help=scene_help)
    options.add_argument("--keep", action="store_true", help="leave the pair running at the end, until Ctrl-C")
    options.add_argument("--json", action="store_true", help="print one JSON document instead of the timeline")
    options.add_argument(
        "--html", metavar="FILE", default="rehearsal.html", help="the picture; '' for none (%(default)s)"
    )
    options.add_argument("--clean", action="store_true", help="remove what crashed runs left, and end")
    return options


def main(argv: Sequence[str], kit: str) -> int:
    """Run the command line ``argv`` (without the program's name) on the tree at ``kit``."""
    if argv[:1] and argv[0] in ("enter", "cable", "press"):
        try:
            return _talk(argv[0], list(argv[1:]))
        except RequestError as error:
            print(f"rehearsal: {error}", file=sys.stderr)
            return FAILED
    given = parser().parse_args(argv)
    chosen = sorted({1, *(given.scene or [scene.number for scene in SCENES])})
    unknown = [number for number in chosen if number not in {scene.number for scene in SCENES}]
    if unknown:
        print(f"rehearsal: no scene {unknown[0]}; there are 1 to {len(SCENES)}", file=sys.stderr)
        return USAGE
    lacking = needs.missing()
    if lacking:
        for line in lacking:
            print(f"rehearsal: {line}", file=sys.stderr)
        return USAGE
    if given.clean:
        for line in rundir.clean():
            print(line)
        return PASSED
    refusal = _no_place_for(given.html) if given.html else ""
    if refusal:
        print(f"rehearsal: --html {given.html}: {refusal}", file=sys.stderr)
        return USAGE
    for number in INTERRUPTIONS:  # a shell starts background jobs with SIGINT ignored
        signal.signal(number, _interrupt)
    return _Run(given, kit, [scene for scene in SCENES if scene.number in chosen]).run()


def _no_place_for(path: str) -> str:
    """Why the picture could not be written there in some minutes; "" when it could. Changes nothing."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        return f"there is no directory {folder}; make it, or name another file"
    if os.path.isdir(path):
        return f"this is a directory; name a file, such as {os.path.join(path, 'rehearsal.html')}"
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        return "cannot be written; name another file, or '' for no picture"
    return ""


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class _Run:
    """One rehearsal from an empty stage to an empty stage."""

    def __init__(self, given: argparse.Namespace, kit: str, scenes: Sequence[Scene]) -> None:
        self._given = given
        self._kit = kit
        self._scenes = scenes
        self._printer = Printer(sys.stderr if given.json else sys.stdout)
        self._outcomes: list[Outcome] = []
        self._replays: list[Replay] = []

    def run(self) -> int:
        code = FAILED
        place = rundir.RunDir()
        try:
            passed = True
            for number, (setup, scenes) in enumerate(by_setup(self._scenes)):
                passed = passed and self._with_pair(os.path.join(place.path, str(number)), setup, scenes)
            code = PASSED if passed else FAILED
        except KeyboardInterrupt:
            # After --keep it is the way to end, and the scenes have their verdict already.
            if not self._given.keep or len(self._outcomes) < len(self._scenes):
                self._printer.line("\nrehearsal: interrupted")
                code = INTERRUPTED
            elif self._good():
                code = PASSED
        except STAGE_ERRORS as error:
            print(f"rehearsal: the stage broke down: {error}", file=sys.stderr)
            code = FAILED
        except Exception:
            traceback.print_exc()
            print("rehearsal: this is a bug in the rehearsal", file=sys.stderr)
            code = FAILED
        finally:
            for number in INTERRUPTIONS:  # from here to the end
                signal.signal(number, signal.SIG_IGN)
            place.close()
        self._publish()
        left = rundir.left_behind(place.path)
        for trace in left:
            print(f"rehearsal: left behind: {trace}; try 'rehearsal --clean'", file=sys.stderr)
        if not left:
            self._printer.line("rehearsal: nothing is left behind (namespaces, mounts, loop device, processes)")
        return code or (FAILED if left else PASSED)

    def _with_pair(self, directory: str, setup: Setup, scenes: Sequence[Scene]) -> bool:
        """Make the pair that these scenes need, play them, take it away."""
        os.mkdir(directory, mode=0o700)
        world = World(directory, self._kit, Diary(), setup)
        try:
            passed = self._play_all(Stage(world, self._printer.progress), scenes)
            if self._given.keep and (not passed or scenes[-1] is self._scenes[-1]):
                self._keep(world)
            return passed
        finally:
            with _undisturbed():
                world.close()
                shutil.rmtree(directory)  # its disks take room, and the next pair has its own

    def _play_all(self, stage: Stage, scenes: Sequence[Scene]) -> bool:
        for scene in scenes:
            outcome = Outcome(scene.number, scene.title, scene.expectation)
            if not self._given.json:
                self._printer.begin(outcome)
            try:
                play(scene, stage, outcome)
            finally:
                self._outcomes.append(outcome)
                if not self._given.json:
                    self._printer.end(outcome)
            if not outcome.passed:
                return False  # the next scene begins with a healthy pair, and there is none
        replays = replay_journals(stage)
        self._replays += replays
        self._printer.line()
        for replay in replays:
            self._printer.line(f"Journal of {replay.node}: {replay.sentence}", *([] if replay.alike else ["red"]))
        return all(replay.alike for replay in replays)

    def _good(self) -> bool:
        passed = [outcome for outcome in self._outcomes if outcome.passed]
        return len(passed) == len(self._scenes) and all(replay.alike for replay in self._replays)

    def _publish(self) -> None:
        """Verdict, JSON and picture."""
        good = [outcome for outcome in self._outcomes if outcome.passed]
        verdict = f"{len(good)} of {len(self._scenes)} scenes passed"
        if self._given.html and self._outcomes:
            try:
                with open(self._given.html, "w", encoding="utf-8") as file:
                    file.write(page(self._outcomes, "failover-kit rehearsal"))
                verdict += f"; the picture is in {os.path.abspath(self._given.html)}"
            except OSError as error:
                verdict += f"; the picture could not be written: {error}"
        if self._given.json:
            document = {
                "passed": self._good(),
                "scenes": [outcome.as_json() for outcome in self._outcomes],
                "journals": [
                    {"node": replay.node, "alike": replay.alike, "sentence": replay.sentence}
                    for replay in self._replays
                ],
            }
            print(json.dumps(document, indent=1))
        self._printer.line()
        self._printer.line(f"rehearsal: {verdict}", "bold")

    def _keep(self, world: World) -> None:
        say, directory = self._printer.line, world.directory
        me = program(self._kit, "rehearsal")
        ctl = program(self._kit, "failoverctl")
        say()
        say(f"The pair keeps running until Ctrl-C; its directory is {directory}.", "bold")
        say("From another terminal, as root:")
        for node in NODES:
            say(f"  {me} enter {node.name} {ctl} status      # any command; none: a shell on {node.name}")
        for node in NODES:
            outlets = " and ".join(map(str, world.setup.outlets(node)))
            say(f"  {me} press {node.name} off      # outlet {outlets} of {SWITCH}, by its button; then on")
        say(f"  {me} cable serial off      # or network; then on")
        say(f"  {program(self._kit, 'wti-emulator')} ctl {directory}/emulator.ctl show")
        signal.pause()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Cleaning up must not be cut short; it takes a few seconds and every step of it ends.

    An interruption that comes meanwhile is raised after it.
    """
    came: list[int] = []
    before = {number: signal.signal(number, lambda got, _frame: came.append(got)) for number in INTERRUPTIONS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


# --- talking to a rehearsal that runs ---------------------------------------------------------------------


def _talk(verb: str, arguments: list[str]) -> int:
    """``enter NODE [COMMAND...]``, ``cable NAME on|off``, ``press NODE on|off``. Raises RequestError."""
    living = [path for path, alive in rundir.runs() if alive]
    if len(living) != 1:
        none = "no rehearsal runs; start one with --keep"
        many = f"several rehearsals run ({', '.join(living)}); end all but the one that is meant"
        raise RequestError(many if living else none)
    control = next(iter(glob.glob(os.path.join(living[0], "*", "control.sock"))), "")
    if not control:
        raise RequestError("its pair is just being made or taken away; try again in some seconds")
    if verb == "enter" and arguments:
        entry = request(control, {"do": "where", "node": arguments[0]})["entry"]
        command = arguments[1:] or [os.environ.get("SHELL", "/bin/sh")]
        os.execvp(entry[0], [*entry, *command])  # noqa: S606
    if verb == "cable" and len(arguments) == 2 and arguments[1] in ("on", "off"):
        request(control, {"do": "cable", "node": arguments[0], "state": arguments[1]})
        return PASSED
    named = arguments[:1] and arguments[0] in {node.name for node in NODES}
    if verb == "press" and named and arguments[1:] in (["on"], ["off"]):
        for outlet in request(control, {"do": "outlets", "node": arguments[0]})["outlets"]:
            button = {"do": "switch", "outlet": outlet, "state": arguments[1]}
            request(os.path.join(os.path.dirname(control), "emulator.ctl"), button)
        return PASSED
    print("rehearsal: enter NODE [COMMAND...] | cable serial|network on|off | press NODE on|off", file=sys.stderr)
    return USAGE
