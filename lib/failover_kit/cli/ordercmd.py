"""The orders of failoverctl: asked about where they are grave, given, waited for, and their outcome told.

For people the outcome is a sentence, for scripts (--json) one document whatever the outcome is (``asjson``).
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
from dataclasses import dataclass
from typing import Any

from failover_kit.cli import asjson
from failover_kit.cli.screen import Style, render
from failover_kit.manager import client
from failover_kit.manager.actions import ExitCode
from failover_kit.manager.client import Answer, ControlError, Request, Tested
from failover_kit.manager.codec import to_plain
from failover_kit.manager.events import Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be given."""

    verb: str
    groups: tuple[str, ...] = ()
    node: str = ""
    warning: str = ""  # what has to be confirmed first
    refusal: str = ""  # the arguments cannot be meant: usage


def complain(text: str) -> None:
    """One line for people, on stderr."""
    print(f"failoverctl: {text}", file=sys.stderr)


def style_of(stream: Any, no_color: str) -> Style:
    """Colour and wrapping for people only; NO_COLOR with any text switches colour off (no-color.org)."""
    if not stream.isatty():
        return Style()
    return Style(colour=not no_color, width=shutil.get_terminal_size().columns)


# --- what is meant --------------------------------------------------------------------------------------


def standby(options: argparse.Namespace) -> int:
    """failoverctl standby."""
    return _carry_out(options, Order(verb=Verb.STANDBY.value, groups=tuple(options.group)))


def takeover(options: argparse.Namespace) -> int:
    """failoverctl takeover."""
    return _carry_out(options, Order(verb=Verb.TAKEOVER.value, groups=tuple(options.group)))


def maintenance(options: argparse.Namespace) -> int:
    """failoverctl maintenance."""
    without = (options.without or "").lower()
    if options.state == "off":
        return _carry_out(options, Order(verb=Verb.MAINTENANCE_OFF.value, node=without))
    refusal = ""
    if without:
        refusal = "usage: failoverctl maintenance off --without NODE; it begins on both nodes or not at all"
    return _carry_out(options, Order(verb=Verb.MAINTENANCE_ON.value, node=without, refusal=refusal))


def fence(options: argparse.Namespace) -> int:
    """failoverctl fence, in its three ways."""
    return _carry_out(options, _fence_order(options), asjson.FENCE)


def _fence_order(options: argparse.Namespace) -> Order:
    node = (options.node or "").lower()
    if options.test and options.prove:
        refusal = "--test switches nothing and --prove cuts a node: give one of them"
        return Order(verb=client.TEST, node=node, refusal=refusal)
    if options.test:
        return Order(verb=client.TEST, node=node)
    verb, warning = (Verb.PROVE, _of_a_proof(node)) if options.prove else (Verb.FENCE, _of_a_cut(node))
    if options.node is None:
        refusal = "usage: failoverctl fence NODE; only fence --test works without one, on both nodes' plugs"
        return Order(verb=verb.value, refusal=refusal)
    return Order(verb=verb.value, node=node, warning=warning)


def _of_a_proof(node: str) -> str:
    return (
        f"This cuts the power of {node} to prove that it can be cut, and gives it back. It is refused unless "
        f"{node} is passive; what else runs there ends at once, without a sync. Until it has booted again there is "
        f"no second node: should this one fail before {node} has its power back, nobody serves until it runs "
        f"again, or somebody switches {node} on."
    )


def _of_a_cut(node: str) -> str:
    return (
        f"This cuts the power of {node}. Whatever runs there ends at once, without a sync, and this node takes "
        "its groups over when every plug reads OFF."
    )


def confirm_dead(options: argparse.Namespace) -> int:
    """failoverctl confirm-dead."""
    node = options.node.lower()
    warning = (
        f"You declare, in place of a power switch, that {node} is off or was reset, and that nothing of its last "
        "boot runs any more. This node then starts its groups. If it still runs, both write to the same disk and "
        f"the data is lost. Look at {node} itself, or pull its plugs, before you go on. It is on record."
    )
    return _carry_out(options, Order(verb=Verb.CONFIRM_DEAD.value, node=node, warning=warning))


# --- given and told -------------------------------------------------------------------------------------


def _carry_out(options: argparse.Namespace, order: Order, document: asjson.Document = asjson.ORDER) -> int:
    """Confirm, give, wait, tell; returns the exit code."""
    try:
        answer = _outcome(options, order)
    except ControlError as error:
        answer = Answer(code=error.code, text=str(error))
    if options.json:
        print(_document(order, answer, document))
    # Of a test the table is the answer, also when something is wrong.
    told = answer.code is ExitCode.DONE or (order.verb == client.TEST and answer.code is ExitCode.FAILED)
    if not told:
        for line in answer.text.splitlines():
            complain(line)
    elif not options.json:
        print(answer.text)
    return answer.code.value


def _outcome(options: argparse.Namespace, order: Order) -> Answer:
    """What came of it. ControlError when there is no outcome."""
    if order.refusal:
        return Answer(code=ExitCode.USAGE, text=order.refusal)
    why_not = _not_confirmed(options, order) if order.warning else ""
    if why_not:
        return Answer(code=ExitCode.USAGE, text=why_not)
    # Rounded up: 0 would mean no limit at all.
    timeout_ms = math.ceil(options.timeout * 1000)
    request = Request(verb=order.verb, groups=order.groups, target=order.node, timeout_ms=timeout_ms)
    return client.order(options.socket, request)


def _document(order: Order, answer: Answer, document: asjson.Document) -> str:
    facts: dict[str, object] = {"verb": order.verb, "groups": list(order.groups), "node": order.node}
    facts |= asjson.end(answer.code, answer.text)
    if document is asjson.FENCE:
        facts["plugs"] = to_plain(answer.plugs) if isinstance(answer, Tested) else None
    return document.text(facts)


def _not_confirmed(options: argparse.Namespace, order: Order) -> str:
    """Ask on a terminal, with what is known of the node; "" for yes. Off a terminal only ``--yes`` counts."""
    nothing = "not confirmed, nothing was done"
    if options.yes:
        return ""
    status = client.status(options.socket)
    if order.node != status.view.peer:
        return ""  # failoverd refuses it and says what the name should be: nothing to be asked
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return f"not on a terminal: nobody can be asked; add --yes when you are certain\n{nothing}"
    shown = render(status, style_of(sys.stderr, os.environ.get("NO_COLOR", "")))
    sys.stderr.write(f"{shown}\n{order.warning}\n")
    try:
        sys.stderr.write(f"Type the node's name ({order.node}) to go on: ")
        sys.stderr.flush()
        typed = sys.stdin.readline()
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return nothing
    return "" if typed.strip().lower() == order.node else nothing


