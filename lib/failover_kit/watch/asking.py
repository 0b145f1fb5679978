"""From the watcher to the nodes, over ssh; and which node is to be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from failover_kit.manager.actions import ExitCode
from failover_kit.manager.client import Answer
from failover_kit.manager.codec import CodecError
from failover_kit.spec import ssh
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CommandMissing, CommandResult, CommandTimeout, run
from failover_kit.watch.gate import Seen, read_answer

STATUS_MS = 10_000


class AskError(Exception):
    """Nothing was asked, or no outcome is known; ``code`` is the exit code, ``str()`` the sentence."""

    def __init__(self, code: ExitCode, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask, and what was seen."""

    destination: str
    node: str
    active: str
    epoch: int


Run = Callable[[Sequence[str], Deadline], CommandResult]


class Nodes:
    """The pair, by the names that ssh knows them by."""

    def __init__(
        self, destinations: Sequence[str], group: str, *, config: str, order_ms: int, execute: Run = run
    ) -> None:
        """``config`` is a file for ``ssh -F``, "" for the user's own; ``order_ms`` the wait for a takeover."""
        self._destinations = tuple(destinations)
        self._group = group
        self._argv = ssh.argv(config)
        self._order_ms = order_ms
        self._execute = execute

    def target(self) -> Target:
        """Look at both nodes. AskError when nobody can be asked."""
        seen: dict[str, Seen] = {}
        problems: list[str] = []
        for destination in self._destinations:
            try:
                found = self._ask(destination, f"status {self._group}", STATUS_MS)
                if isinstance(found, Answer):
                    raise AskError(found.code, f"{destination}: {found.text}")
                seen[destination] = found
            except AskError as error:
                problems.append(str(error))
        return choose(seen, problems)

    def take_over(self, target: Target) -> Answer:
        """Ask for it, and wait for the outcome. AskError when there is none."""
        found = self._ask(target.destination, f"takeover {self._group} {target.epoch}", self._order_ms)
        if isinstance(found, Seen):
            raise AskError(ExitCode.FAILED, f"{target.destination} answers another question")
        return found

    def _ask(self, destination: str, words: str, limit_ms: int) -> Seen | Answer:
        try:
            result = self._execute([*self._argv, destination, words], Deadline(limit_ms))
        except CommandMissing as error:
            raise AskError(ExitCode.FAILED, str(error)) from None
        except CommandTimeout:
            text = f"{destination}: no answer within {limit_ms / 1000:g} s; what was asked may go on, see its log"
            raise AskError(ExitCode.TIMED_OUT, text) from None
        if result.code == ssh.ERROR or not result.stdout:
            raise AskError(ExitCode.NO_DAEMON, f"{destination} is not reached: {ssh.last_words(result)}")
        try:
            return read_answer(result.stdout)
        except CodecError as error:
            text = f"{destination}: its answer cannot be read ({error}); is failoverctl watch-gate behind that key?"
            raise AskError(ExitCode.FAILED, text) from None


def choose(seen: dict[str, Seen], problems: Sequence[str]) -> Target:
    """The node that does not have the group, when the answers agree on who has it. AskError when there is none."""
    if not seen:
        raise AskError(ExitCode.NO_DAEMON, "no node answers: " + "; ".join(problems))
    first = next(iter(seen.values()))
    for one in seen.values():
        if {one.node, one.peer} != {first.node, first.peer}:
            raise AskError(ExitCode.CONFIGURATION, f"{first.node} and {one.node} are not one pair; correct --node")
        if (one.active, one.epoch) != (first.active, first.epoch):
            text = "the nodes do not agree on who has it: it is moving, or see failoverctl status on both"
            raise AskError(ExitCode.REFUSED, text)
    if not first.active:
        raise AskError(ExitCode.REFUSED, f"no node, or both, have group {first.group}: see failoverctl status")
    for destination, one in seen.items():
        if one.node != first.active:
            return Target(destination, one.node, first.active, first.epoch)
    other = first.peer if first.node == first.active else first.node
    raise AskError(ExitCode.NO_DAEMON, f"{other}, which would take over, does not answer: " + "; ".join(problems))
