"""The command line of the lab: build one and leave it running, look at it, handle its cables and switch, end it.

Exit codes: 0 done, 1 failed (the reason is printed), 2 usage or something is missing on this machine (nothing was
changed then), 130 interrupted. ``shell GUEST COMMAND`` exits with the command's own code.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from failover_kit.emulator.control import ControlError
from failover_kit.spec.process import CLEAN_ENV
from lab import needs, plan, start
from lab.errors import LabError
from lab.lab import MEMORY_MB, Lab
from lab.places import Places

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
CHECKOUT = os.path.dirname(start.TESTS)
RUNDIR = "/var/tmp/failover-kit-lab"  # Places.make takes only a directory of our own
RUNDIR_VARIABLE = "FAILOVER_KIT_LAB_RUN"
BOOT_S = 240

Words = tuple[str, dict[str, Any]]

PLAYS = {"howto": "lab.howto.main", "disaster": "lab.disasters.main", "campaign": "lab.campaign.main"}
"""Modules with ``main(argv, rundir) -> int`` that open a lab of their own and end it."""


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    found = argparse.ArgumentParser(
        prog="lab",
        description="The pair of the HOWTO as virtual machines: pete, mclaws, their client kokone, the switch "
        "benjamin, an AoE shelf.",
        epilog="Exit codes: 0 done, 1 failed, 2 usage or something is missing here, 130 interrupted.",
    )
    found.add_argument(
        "--rundir",
        default=os.environ.get(RUNDIR_VARIABLE) or RUNDIR,
        metavar="DIR",
        help=f"the lab's directory; several labs, several directories (${RUNDIR_VARIABLE}, else {RUNDIR})",
    )
    commands = found.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, *words: Words) -> None:
        sub = commands.add_parser(name, help=text, description=text)
        for word, options in words:
            sub.add_argument(word, **options)

    guest: Words = ("guest", {"choices": plan.NAMES})
    rest: Words = ("words", {"nargs": argparse.REMAINDER})
    image: Words = ("--image", {"choices": list(MEMORY_MB), "default": "sysv"})
    add("up", "build a lab, boot all guests, leave it running", image)
    add("down", "end it; nothing is left, whatever had crashed")
    add("status", "what runs, what is cut, what is joined", ("--json", {"action": "store_true"}))
    add("shell", "a shell on a guest, or one command there", guest, rest)
    add("console", "the end of a guest's console", guest, ("--lines", {"type": int, "default": 60}))
    add("boot", "power on and wait until ready", ("guests", {"nargs": "*", "metavar": "guest"}))
    add("switch", "press N on|off · show · power-cycle · fault NAME [N...] · clear [NAME]", rest)
    add("cord", "a guest's power cable", guest, ("state", {"choices": ("out", "in")}))
    add(
        "link",
        "the network cable at a card of a guest, or benjamin's",
        ("guest", {"choices": (*plan.NAMES, plan.SWITCH)}),
        ("nic", {}),
        ("state", {"choices": ("down", "up")}),
    )
    add("panel", "serial cables: join END END · cut [END...] (ends: pete, mclaws, switch)", rest)
    add("howto", "play the HOWTO from its first step to its last, in a lab of its own", rest)
    add("disaster", "play what only real kernels can show, in a lab of its own", rest)
    add("campaign", "cut power at random moments while a client writes, in a lab of its own", rest)
    return found


def main(argv: Sequence[str]) -> int:
    """Run the command line ``argv`` (without the program's name)."""
    head, words = split(argv)
    given = parser().parse_args(head)
    if words is not None:
        given.words = words
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts background jobs with SIGINT ignored
        signal.signal(number, _interrupt)
    try:
        if given.command in ("up", *PLAYS):
            lacking = _lacking(given.rundir)
            if lacking:
                for line in lacking:
                    _complain(line)
                return USAGE
        return _COMMANDS[given.command](given)
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except (LabError, ControlError) as error:
        _complain(str(error))
        return FAILED
    except Exception:
        traceback.print_exc()
        _complain("this is a bug in the lab")
        return FAILED


def split(argv: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Before and after the name of a play, whose words are its own (argparse would take its options for ours)."""
    for at, word in enumerate(argv):
        if word in PLAYS and (at == 0 or argv[at - 1] != "--rundir"):
            return list(argv[: at + 1]), list(argv[at + 1 :])
        if not word.startswith("-") and (at == 0 or argv[at - 1] != "--rundir"):
            break
    return list(argv), None


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _complain(text: str) -> None:
    print(f"lab: {text}", file=sys.stderr, flush=True)


def _lacking(rundir: str) -> list[str]:
    from lab.image import cache

    return needs.missing(rundir, cache.root(CHECKOUT))


# --- up and down ------------------------------------------------------------------------------------------


def _up(given: argparse.Namespace) -> int:
    lab = Lab.open(given.rundir, image=given.image, say=_say, detached=True)
    try:
        _say("Booting pete, mclaws and kokone.")
        began = lab.now_ms()
        lab.boot(timeout_s=BOOT_S)
        lab.panel.join("pete", "mclaws")
        for name in ("pete", "mclaws"):
            _see_disk(lab, name)
        _say(f"All are up after {(lab.now_ms() - began) / 1000:.1f} s; both nodes see {plan.SHELF_DEVICE}.")
    except BaseException:
        _undisturbed()
        start.end(Places(given.rundir))
        raise
    _explain(given.rundir)
    return DONE


def _say(text: str) -> None:
    print(text, flush=True)


def _see_disk(lab: Lab, name: str) -> None:
    script = f"""modprobe aoe
        i=0; while [ ! -b {plan.SHELF_DEVICE} ] && [ $i -lt 60 ]; do aoe-discover; sleep 0.5; i=$((i+1)); done
        test -b {plan.SHELF_DEVICE}\n"""
    lab.guests[name].sh(script, timeout_s=90)


def _explain(rundir: str) -> None:
    me = command(rundir)
    cluster = f"{plan.CLUSTER} is {plan.CLUSTER_ADDRESS}"
    print(
        f"""
The lab runs in {rundir}. The disk is empty: XFS is not made, nothing is configured; {cluster}.
A shell (or one command) on each machine:
  {me} shell pete
  {me} shell mclaws
  {me} shell kokone
The power switch {plan.SWITCH} ({plan.SWITCH_ADDRESS}, as from the factory; pete on plug 1, mclaws on plug 5):
  {me} switch show
  {me} switch press 1 off          # its button; then on
  {me} shell kokone busybox telnet {plan.SWITCH_ADDRESS}
Cables:
  {me} link pete eth1 down         # heartbeat; eth2 front, eth3 storage; then up
  {me} link {plan.SWITCH} eth0 down
  {me} panel cut                   # the serial cable between the nodes
  {me} panel join pete switch      # or: pete mclaws
  {me} cord pete out               # the power cable at the machine; then in
Look at it, end it:
  {me} status
  {me} console pete
  {me} down"""
    )


def command(rundir: str, cwd: str | None = None) -> str:
    """How this program is called from where the caller stands."""
    here = os.path.join(CHECKOUT, "tests", "lab")
    place = os.getcwd() if cwd is None else cwd
    program = "tests/lab" if os.path.realpath(place) == CHECKOUT else here
    other = "" if os.path.abspath(rundir) == RUNDIR else f" --rundir {shlex.quote(os.path.abspath(rundir))}"
    return f"/usr/bin/python3 {shlex.quote(program)}{other}"


def _down(given: argparse.Namespace) -> int:
    with _undisturbed():
        said = start.end(Places(given.rundir))
        if given.rundir == RUNDIR:
            # A play ends its own lab; what one that was killed has left goes here, one that runs is left alone.
            for place in map(Places, map(_place_of, PLAYS)):
                said += [] if place.alive() or not os.path.exists(place.root) else start.end(place)
    for line in said or [f"{given.rundir}: no lab is there"]:
        _say(line)
    return DONE


def _place_of(play: str) -> str:
    return f"{RUNDIR}-{play}"


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ending a lab must not be cut short; every step of it ends by itself."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- a lab that runs --------------------------------------------------------------------------------------


def _status(given: argparse.Namespace) -> int:
    lab = Lab.attach(given.rundir)
    seen = lab.status()
    outlets = {outlet["outlet"]: outlet["state"] for outlet in lab.switch.view()["outlets"]}
    if given.json:
        print(json.dumps({**seen, "outlets": outlets}, indent=1))
        return DONE
    print(f"The lab in {given.rundir}, keeper's process {start.keeper_pid(Places(given.rundir))}:")
    for name, guest in seen["guests"].items():
        plug = plan.guest(name).plug
        facts = [f"{'running' if guest['on'] else 'off'}, boot {guest['boot']}"]
        facts += [] if plug is None else [f"plug {plug} {outlets[plug].upper()}"]
        facts += [] if guest["cord"] else ["cord out"]
        facts += [f"no carrier on {', '.join(guest['cut'])}"] if guest["cut"] else []
        facts += [guest["remark"]] if guest["remark"] else []
        print(f"  {name:8}{'; '.join(facts)}")
    joined = ", ".join(" - ".join(pair) for pair in seen["panel"]["joined"]) or "nothing is joined"
    print(f"  serial  {joined}")
    shelf = seen["shelf"]
    print(f"  shelf   {shelf['problem'] or 'serving'}; {shelf['requests']} requests so far")
    return DONE


def _shell(given: argparse.Namespace) -> int:
    lab = Lab.attach(given.rundir)
    master = lab.ask("master", timeout_s=130, guest=given.guest, timeout_ms=120_000)
    words = given.words[1:] if given.words[:1] == ["--"] else given.words
    terminal = ["-t"] if sys.stdin.isatty() else []
    from lab.guest import remote_words, ssh_argv

    argv = ssh_argv(str(master["path"]), given.guest, remote_words(words or ["bash", "-l"]))
    argv[1:1] = terminal
    term = os.environ.get("TERM", "linux")
    sys.stdout.flush()
    os.execve("/usr/bin/ssh", argv, {**CLEAN_ENV, "HOME": "/root", "TERM": term})


def _console(given: argparse.Namespace) -> int:
    guest = Lab.attach(given.rundir).guests[given.guest]
    print(guest.console(given.lines))
    return DONE


def _boot(given: argparse.Namespace) -> int:
    plan.guests(given.guests or plan.NAMES)
    Lab.attach(given.rundir).boot(*given.guests, timeout_s=BOOT_S)
    return DONE


def _switch(given: argparse.Namespace) -> int:
    words = given.words
    lab = Lab.attach(given.rundir)
    switch = lab.switch
    if len(words) == 3 and words[0] == "press" and words[1].isdecimal() and words[2] in ("on", "off"):
        switch.press(int(words[1]), words[2])
        print(f"plug {words[1]} is {words[2].upper()}")
    elif words == ["show"]:
        print(json.dumps(switch.view(), indent=1))
    elif words == ["power-cycle"]:
        switch.power_cycle()
    elif words[:1] == ["fault"] and len(words) > 1 and all(word.isdecimal() for word in words[2:]):
        switch.fault(words[1], *map(int, words[2:]))
    elif words[:1] == ["clear"] and len(words) <= 2:
        switch.clear(*words[1:])
    else:
        return _misused("switch press N on|off | show | power-cycle | fault NAME [N...] | clear [NAME]")
    return DONE


def _cord(given: argparse.Namespace) -> int:
    lab = Lab.attach(given.rundir)
    (lab.pull_cord if given.state == "out" else lab.plug_in)(given.guest)
    return DONE


def _link(given: argparse.Namespace) -> int:
    link = Lab.attach(given.rundir).link(given.guest, given.nic)
    (link.up if given.state == "up" else link.down)()
    return DONE


def _panel(given: argparse.Namespace) -> int:
    panel = Lab.attach(given.rundir).panel
    words = given.words
    if words[:1] == ["join"] and len(words) == 3:
        panel.join(words[1], words[2])
    elif words[:1] == ["cut"]:
        panel.cut(*words[1:])
    else:
        return _misused("panel join END END | cut [END...]")
    return DONE


def _misused(text: str) -> int:
    _complain(f"write: {text}")
    return USAGE


def _play(given: argparse.Namespace) -> int:
    """A story in a lab of its own, beside one that may run in the usual place."""
    try:
        module = importlib.import_module(PLAYS[given.command])
    except ModuleNotFoundError as error:
        raise LabError(f"this checkout has no {given.command}: {error}") from None
    rundir = _place_of(given.command) if given.rundir == RUNDIR else given.rundir
    return int(module.main(given.words, rundir))


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "up": _up,
    "down": _down,
    "status": _status,
    "shell": _shell,
    "console": _console,
    "boot": _boot,
    "switch": _switch,
    "cord": _cord,
    "link": _link,
    "panel": _panel,
    **dict.fromkeys(PLAYS, _play),
}
