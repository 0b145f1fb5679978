"""What a watcher may say to a node, and the node's answer: two questions, one line of JSON back.

``status GROUP`` tells who has the group under which epoch. ``takeover GROUP EPOCH`` asks this node to take it over
from the node that has it under that epoch. Nothing else is understood. The words come from sshd in
SSH_ORIGINAL_COMMAND, chosen by the other machine; groups, hold-off and the watcher's name come from the line in
authorized_keys, chosen by this one (sshd(8), "command=").
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from failover_kit.manager import client
from failover_kit.manager.actions import ExitCode
from failover_kit.manager.client import Answer, ControlError, Request
from failover_kit.manager.codec import CodecError, from_plain, to_plain
from failover_kit.manager.events import Terms, Verb
from failover_kit.manager.records import ClusterView

WORDS_LIMIT = 200
ANSWER_LIMIT = 4096

_WORDS = re.compile(r"(status) ([!-~]{1,100})|(takeover) ([!-~]{1,100}) ([1-9][0-9]{0,17})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one node knows of a group. ``active`` is the node with the right, "" when none or both claim it."""

    node: str
    peer: str
    group: str
    active: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Question:
    """``epoch`` 0 is the question for the status."""

    group: str
    epoch: int = 0


class WordsError(ValueError):
    """Words that are no question; ``str()`` is the answer to them."""


def parse_words(words: str, groups: Sequence[str]) -> Question:
    """WordsError unless it is one of the two questions, about one of ``groups``."""
    match = _WORDS.fullmatch(words) if len(words) <= WORDS_LIMIT else None
    if match is None:
        raise WordsError("not understood; say: status GROUP, or: takeover GROUP EPOCH")
    question = Question(match[2]) if match[1] else Question(match[4], int(match[5]))
    if question.group not in groups:
        raise WordsError(f"this key may not ask about group {question.group!r}")
    return question


def asker(name: str, connection: str) -> str:
    """Who asks, for the record: the name of the key, and the address in SSH_CONNECTION (ssh(1))."""
    try:
        return f"{name} ({ipaddress.ip_address(connection.split(' ', maxsplit=1)[0])})"
    except ValueError:
        return f"{name} (not over ssh)"


def answer(question: Question, socket: str, hold_off_ms: int, who: str) -> tuple[ExitCode, str]:
    """Ask failoverd here; the exit code and the line."""
    try:
        if not question.epoch:
            seen = seen_in(client.status(socket).view, question.group)
            return ExitCode.DONE, json.dumps({"seen": to_plain(seen)})
        terms = Terms(question.epoch, hold_off_ms, who)
        reply = client.order(socket, Request(verb=Verb.TAKEOVER.value, groups=(question.group,), terms=terms))
    except ControlError as error:
        reply = Answer(code=error.code, text=str(error))
    return reply.code, reply_line(reply.code, reply.text)


def reply_line(code: ExitCode, text: str) -> str:
    """An outcome as the watcher reads it."""
    return json.dumps({"reply": to_plain(Answer(code=code, text=text[: ANSWER_LIMIT // 4]))})


def seen_in(view: ClusterView, name: str) -> Seen:
    """ControlError when there is no such group."""
    group = next((group for group in view.groups if group.name == name), None)
    if group is None:
        text = f"{view.node} has no group {name!r}; correct the line in authorized_keys"
        raise ControlError(ExitCode.USAGE, text)
    here, there = group.right, group.peer_right
    active = "" if bool(here) == bool(there) else view.node if here else view.peer
    return Seen(node=view.node, peer=view.peer, group=name, active=active, epoch=max(here, there))


def read_answer(text: str) -> Seen | Answer:
    """The watcher's side. CodecError when it is neither; it was said by a machine one does not control."""
    if len(text) > ANSWER_LIMIT:
        raise CodecError("an answer that is too long")
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        raise CodecError("no line of JSON") from None
    if not isinstance(plain, dict) or len(plain) != 1:
        raise CodecError("no answer of failoverctl watch-gate")
    found: Seen | Answer
    if "seen" in plain:
        found = seen = from_plain(Seen, plain["seen"])
        words = [seen.node, seen.peer, seen.group, seen.active]
    else:
        found = reply = from_plain(Answer, plain.get("reply"))
        words = [reply.text]
    if not all(word.isprintable() for word in words):
        raise CodecError("an answer with control characters")
    return found
