"""Prints a replayed journal: what came in, what was decided, and where this version decides otherwise."""

from __future__ import annotations

import sys
import time

from failover_kit.manager import events, journal
from failover_kit.manager.actions import Action, ExitCode, Note, Persist, Reply
from failover_kit.manager.journal import JournalError, Remark, Step


def replay_file(path: str, *, everything: bool) -> int:
    """Replay ``path`` to stdout; the exit code says whether all of it came out alike."""
    steps = differences = 0
    broken = False
    try:
        for item in journal.replay(path):
            if isinstance(item, Remark):
                broken = broken or item.broken
                print(f"== {item.text}")
                continue
            steps += 1
            differences += not item.agrees
            _print_step(item, everything)
    except JournalError as error:
        sys.stdout.flush()
        print(f"failoverctl: {error}", file=sys.stderr)
        return ExitCode.FAILED.value
    verdict = "all decisions came out alike" if not differences else f"{differences} came out otherwise"
    print(f"== {steps} events replayed: {verdict}" + ("; parts could not be replayed" if broken else ""))
    return ExitCode.FAILED.value if differences or broken else ExitCode.DONE.value


def _print_step(step: Step, everything: bool) -> None:
    entry = step.entry
    if step.agrees and not entry.actions and not everything:
        return
    wall = time.strftime("%H:%M:%S", time.localtime(entry.wall_ms / 1000)) if entry.wall_ms else " " * 8
    print(f"{entry.now_ms:>12} ms {wall}  {_event(entry.event)}")
    if step.agrees:
        for action in entry.actions:
            print(f"{'':26}{_action(action)}")
        return
    print(f"{'':26}DIFFERENT: failoverd decided")
    for action in entry.actions:
        print(f"{'':28}- {_action(action, whole=True)}")
    print(f"{'':26}and this version decides")
    for action in step.reproduced:
        print(f"{'':28}+ {_action(action, whole=True)}")


def _event(event: events.Event) -> str:
    if isinstance(event, events.BeatReceived):
        return f"beat {event.beat.counter} of {event.beat.node} on {event.link}"
    return _printable(str(event))


def _action(action: Action, *, whole: bool = False) -> str:
    if isinstance(action, Note):
        return _printable(f"{action.level.value}: {action.text}")
    if isinstance(action, Reply):
        return _printable(f"answer to order {action.id}: {action.code.name}: {action.text}")
    if isinstance(action, Persist) and not whole:
        return f"Persist {action.token}"
    return _printable(str(action))


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text)
