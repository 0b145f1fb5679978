"""One watcher at work: looks, counts, asks the witness about itself, asks the pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from failover_kit.manager.actions import ExitCode
from failover_kit.manager.client import Answer
from failover_kit.watch.asking import AskError, Target
from failover_kit.watch.observer import Observer


@dataclass(frozen=True, slots=True)
class Said:
    """One sentence, and for scripts what it is about. ``code`` is there where something ended by it."""

    event: str  # watching, warning, answers, failing, moved, unknown, not-asked, would-ask, asks, outcome
    text: str
    code: ExitCode | None = None


class Look(Protocol):
    """A probe, as far as a watcher cares."""

    @property
    def text(self) -> str: ...

    def failure(self, timeout_ms: int) -> str:
        """"" for a good answer, else what happened instead."""


class Pair(Protocol):
    """The nodes, as far as a watcher cares."""

    def target(self) -> Target:
        """Whom to ask. AskError when there is nobody."""

    def take_over(self, target: Target) -> Answer:
        """Ask, and wait for the outcome. AskError when there is none."""


class Watcher:
    """``say`` gets one sentence for each change; ``now_ms`` and ``pause`` are the clock."""

    def __init__(
        self,
        probes: Sequence[Look],
        witnesses: Sequence[Look],
        nodes: Pair,
        observer: Observer,
        *,
        timeout_ms: int,
        dry_run: bool,
        say: Callable[[Said], None],
        now_ms: Callable[[], int],
    ) -> None:
        self._probes = probes
        self._witnesses = witnesses
        self._nodes = nodes
        self._observer = observer
        self._timeout_ms = timeout_ms
        self._dry_run = dry_run
        self._say = say
        self._now_ms = now_ms
        self._trouble = ""  # why nothing could be asked, said last

    def look(self) -> tuple[ExitCode, bool]:
        """One round. The code of what came of it: DONE when the service answers or the takeover was done, else why
        not; and whether there is nothing more to be waited for (with --once)."""
        failure = self._failure(self._probes)
        self._speak("failing" if failure else "answers", self._observer.take(failure))
        if not failure:
            self._trouble = ""
            return ExitCode.DONE, True
        if self._observer.due(self._now_ms()):
            return self._request(), True
        if self._observer.wants_epoch():
            self._see()
        return ExitCode.FAILED, False

    def ask(self) -> ExitCode:
        """Ask now: somebody else has counted (Mon)."""
        ours = self._failure(self._witnesses)
        if ours:
            self._say(_not_asked(ours))
            return ExitCode.REFUSED
        try:
            return self._take_over(self._nodes.target())
        except AskError as error:
            self._say(Said("not-asked", f"no takeover: {error}", error.code))
            return error.code

    def _failure(self, probes: Sequence[Look]) -> str:
        """Of the first that fails; the probe is named when there are several to be told apart."""
        for probe in probes:
            failure = probe.failure(self._timeout_ms)
            if failure:
                return f"{probe.text}: {failure}"
        return ""

    def _see(self) -> None:
        try:
            self._speak("moved", self._observer.saw(self._nodes.target().epoch))
        except AskError as error:
            self._once(Said("unknown", f"who has it is not known: {error}"))

    def _request(self) -> ExitCode:
        now_ms = self._now_ms()
        ours = self._failure(self._witnesses)
        if ours:
            self._observer.not_asked(now_ms)
            self._once(_not_asked(ours))
            return ExitCode.REFUSED
        try:
            target = self._nodes.target()
            moved = self._observer.saw(target.epoch)
            if moved:
                self._speak("moved", moved)
                return ExitCode.REFUSED
            code = self._take_over(target)
        except AskError as error:
            self._once(Said("not-asked", f"no takeover: {error}", error.code))
            code = error.code
        if code is ExitCode.DONE and not self._dry_run:
            self._observer.taken_over()
        else:
            self._observer.not_asked(self._now_ms())
        return code

    def _take_over(self, target: Target) -> ExitCode:
        what = f"{target.node} to take it over from {target.active} (epoch {target.epoch})"
        if self._dry_run:
            self._say(Said("would-ask", f"would ask {what}; nothing is asked (--dry-run)"))
            return ExitCode.DONE
        self._say(Said("asks", f"asks {what}"))
        answer = self._nodes.take_over(target)
        word = {ExitCode.DONE: "done", ExitCode.REFUSED: "refused"}.get(answer.code, "not done")
        self._say(Said("outcome", f"{word}, says {target.node}: {answer.text}", answer.code))
        return answer.code

    def _speak(self, event: str, text: str) -> None:
        if text:
            self._trouble = ""
            self._say(Said(event, text))

    def _once(self, said: Said) -> None:
        """Not again while nothing changed."""
        if said.text != self._trouble:
            self._trouble = said.text
            self._say(said)


def _not_asked(ours: str) -> Said:
    text = f"no takeover is asked for: {ours}, so the fault is probably between here and there"
    return Said("not-asked", text, ExitCode.REFUSED)
