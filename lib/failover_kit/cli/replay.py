"""Prints a replayed journal: what came in, what was decided, and where this version decides otherwise."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field

from failover_kit.cli import asjson
from failover_kit.manager import events, journal
from failover_kit.manager.actions import Action, ExitCode, Note, Persist, Reply
from failover_kit.manager.codec import tagged
from failover_kit.manager.journal import JournalError, Remark, Step


class Unreadable(Exception):
    """There is no journal to be replayed: ``code``, and a sentence with place, fact and remedy."""

    def __init__(self, code: ExitCode, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(slots=True)
class _Tally:
    """What was replayed so far."""

    events: int = 0
    different: int = 0
    broken: bool = False
    remarks: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)  # those that are shown, kept for a document only


def replay_file(path: str, *, everything: bool, as_json: bool = False) -> int:
    """Replay ``path`` to stdout; the exit code says whether all of it came out alike."""
    tally = _Tally()
    try:
        _replay(path, tally, everything=everything, keep=as_json)
    except Unreadable as error:
        code, text = error.code, str(error)
        tally.broken = True
        sys.stdout.flush()
        print(f"failoverctl: {text}", file=sys.stderr)
        if not as_json:
            return code.value
    else:
        code = ExitCode.FAILED if tally.different or tally.broken else ExitCode.DONE
        text = _verdict(tally)
    print(_document(path, tally, code, text) if as_json else f"== {text}")
    return code.value


def _replay(path: str, tally: _Tally, *, everything: bool, keep: bool) -> None:
    """Count, and print or keep what is shown. Unreadable when that ends before the journal does."""
    _look_at(path)
    try:
        for item in journal.replay(path):
            if isinstance(item, Remark):
                tally.broken = tally.broken or item.broken
                tally.remarks.append(item.text)
                if not keep:
                    print(f"== {item.text}")
                continue
            tally.events += 1
            tally.different += not item.agrees
            if item.agrees and not item.entry.actions and not everything:
                continue
            if keep:
                tally.steps.append(item)
            else:
                _print_step(item)
    except JournalError as error:
        remedy = (
            f"what stands before it was replayed, nothing behind it; copy the file again if it is a copy, and "
            f"failoverctl explain --journal {path} tells what else can be read"
        )
        raise Unreadable(ExitCode.FAILED, f"{error}; {remedy}") from None
    if not tally.remarks:
        text = f"{path}: no life of failoverd was recorded in it; name a journal that is not empty"
        raise Unreadable(ExitCode.FAILED, text)


def _look_at(path: str) -> None:
    """Unreadable when a file of the journal is missing, or cannot be read."""
    for file in journal.files_for(path):
        try:
            with open(file, "rb") as stream:
                stream.read(1)
        except PermissionError:
            text = f"{file}: only root may read the journal; run failoverctl as root"
            raise Unreadable(ExitCode.PERMISSION, text) from None
        except OSError as error:
            fact, remedy = "cannot be read", "look at the kernel log and at the disk, or name a copy of the journal"
            if isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError)):
                fact = "there is no journal"
                remedy = "name a journal file, or the directory they are in (--state-dir of failoverd, journal)"
            raise Unreadable(ExitCode.FAILED, f"{file}: {fact} ({error.strerror}); {remedy}") from None


def _verdict(tally: _Tally) -> str:
    alike = f"{tally.different} came out otherwise" if tally.different else "all decisions came out alike"
    return f"{tally.events} events replayed: {alike}" + ("; parts could not be replayed" if tally.broken else "")


def _document(path: str, tally: _Tally, code: ExitCode, text: str) -> str:
    steps = [
        {
            "at_ms": step.entry.now_ms,
            "wall_ms": step.entry.wall_ms,
            "agrees": step.agrees,
            "event": tagged(step.entry.event),
            "decided": [tagged(action) for action in step.entry.actions],
            "decides": [tagged(action) for action in step.reproduced],
        }
        for step in tally.steps
    ]
    counts = {"journal": path, "events": tally.events, "different": tally.different, "complete": not tally.broken}
    return asjson.REPLAY.text(
        {**counts, **asjson.end(code, text), "remarks": tally.remarks, "steps": steps}
    )


def _print_step(step: Step) -> None:
    entry = step.entry
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
