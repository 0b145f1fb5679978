"""A written conversation (tests/data/wti-menus) played against a step: what we send is checked, what it answers is
fed.

No clock: silence is said, not waited for. ``cuts`` says how the answers are cut into pieces, and after which
pieces the unit is silent for a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from failover_kit.switch.session import QUIET_MS
from failover_kit.switch.steps import Escape, Hidden, Line, Listen, Step, drive
from failover_kit.switch.talk import LONG_SILENCE_MS, Kind, Screen, Talk

FOLDER = Path(__file__).parent / "data" / "wti-menus"
_T = TypeVar("_T")


class Surprise(AssertionError):
    """The step sent something else than the transcript has."""


def conversation(name: str) -> list[tuple[str, bytes]]:
    """(what we send, the bytes that answer it), in order. A beginning without a line of ours is sent by nobody."""
    text = (FOLDER / name).read_text()
    turns: list[tuple[str, bytes]] = []
    for line in text.splitlines():
        if line.startswith("#") or not line:
            continue
        mark, _, rest = line.partition(" ")
        if mark == ">":
            turns.append((rest, b""))
            continue
        if not turns:
            turns.append(("", b""))
        sent, answer = turns[-1]
        if mark == "<":
            answer += rest.encode() + b"\r\n"
        elif mark == "<-":
            answer += (rest[:-1] + " " if rest.endswith("_") else rest).encode()
        else:
            raise ValueError(line)
        turns[-1] = (sent, answer)
    return turns


def whole(data: bytes) -> Sequence[bytes]:
    return [data]


class Player:
    """Plays one conversation; ``left`` are the turns that were not reached."""

    def __init__(
        self, turns: Sequence[tuple[str, bytes]], cuts: Callable[[bytes], Sequence[bytes]] = whole, **talk: Any
    ) -> None:
        self.left = list(turns)
        self.trace: list[str] = []
        self.sent = b""
        self._cuts = cuts
        self._late = b""
        self.talk = Talk(telnet=False, **talk)

    def run(self, step: Step[_T]) -> _T:
        return drive(step, self._do, self.talk.redact)

    def _do(self, request: object) -> Screen:
        match request:
            case Line(text, _):
                self.talk.send(text)
                said = text
            case Hidden(secret):
                self.talk.send_secret(secret)
                said = "***"
            case Escape():
                self.talk.send_escape()
                said = "<ESC>"
            case Listen():
                said = ""
            case _:
                raise Surprise(f"{request!r}")
        self.sent += self.talk.take_output()
        if isinstance(request, Listen) and (not self.left or self.left[0][0]):
            return self._answer(b"", more=True)  # only what is left of the last answer
        if not self.left:
            return self._answer(b"") if self._late else self.talk.ended(Kind.SILENT)
        expected, answer = self.left.pop(0)
        if said != expected:
            raise Surprise(f"sent {said!r} where the transcript has {expected!r}")
        return self._answer(answer, more=isinstance(request, Listen))

    def _answer(self, answer: bytes, *, more: bool = False) -> Screen:
        """Feed it, silent for a moment after each piece. The first complete screen is taken, as a session does it;
        what is left of the answer then comes before the next one. ``more``: not before something came."""
        todo = list(self._cuts(self._late + answer))
        self._late = b""
        while todo:
            piece = todo.pop(0)
            more = more and not piece
            self.talk.receive(piece)
            self.trace += self.talk.take_trace()
            screen = self.talk.look(QUIET_MS)
            if screen is not None and not more:
                self._late = b"".join(todo)
                return screen
        return self.talk.look(LONG_SILENCE_MS) or self.talk.ended(Kind.SILENT)
