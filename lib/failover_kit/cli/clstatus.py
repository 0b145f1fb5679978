"""cl_status: Heartbeat's questions, answered from failoverd's status in Heartbeat's words and exit codes.

Codes and words are those of cl_status(1) and of tools/cl_status.c of Heartbeat 3.0.6. Where failoverd has no such
thing (sites, clients) the answer says so in Heartbeat's terms. One word is new: a node that is not
heard is ``silent``, and ``dead`` only when it was fenced or confirmed dead. Both exit 1, as "dead" does there.
``--help`` is help here (0); there it is an invalid sub-command (11), and only ``-h`` helps.
"""

from __future__ import annotations

import getopt
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from failover_kit.manager import client
from failover_kit.manager.actions import ExitCode
from failover_kit.manager.client import ControlError
from failover_kit.manager.configfiles import CONFIG_DIR
from failover_kit.manager.records import ClusterView
from failover_kit.manager.states import GroupState, PeerState
from failover_kit.manager.status import Status

OK, FAIL, PARAMETER, TIMEOUT, UNKNOWN = 0, 1, 11, 12, 13

TIMEOUT_MS = 5_000
"""As there: it ends after 5 s, whatever failoverd does."""

HELP = """\
Usage: cl_status <sub-command> [<options>] [<parameters>]

Sub-commands (each takes -m for a sentence instead of a word):
hbstatus [-v]                             whether failoverd runs on this machine; -v: and all nodes and links
listnodes [-n|-p] [-v]                    the nodes; -n: without ping nodes; -p: these alone; -v: with their links
nodestatus <node-name>                    active, init, silent or dead; of a ping node ping, init or dead
nodetype <node-name>                      normal or ping
nodeweight <node-name>                    100, Heartbeat's default
nodesite <node-name>                      fails: there are no sites
listhblinks [-v] <node-name>              the links to the node
hblinkstatus <node-name> <link-name>      up or dead
clientstatus <node-name> <client-id>      offline: there are no clients
rscstatus                                 which groups this node holds: none, local, foreign, all or transition
hbparameter -p <parameter-name>           a value as it stands in ha.cf, or hbversion

Exit codes: 0 yes, 1 no, 11 wrong parameters, 12 no answer within 5 s, 13 not known.
"""

PARAMETERS = frozenset((
    "apiauth", "auto_failback", "autojoin", "baud", "bcast", "cluster", "compression", "coredumps", "deadping",
    "deadtime", "debug", "debugfile", "enable_config_writes_while_running", "hbgenmethod", "hopfudge", "initdead",
    "keepalive", "logfacility", "logfile", "mcast", "memreserve", "msgfmt", "nice_failback", "node", "ping",
    "realtime", "rtprio", "serial", "traditional_compression", "ucast", "udpport", "use_logd", "uuidfrom",
    "warntime", "watchdog",
))  # fmt: skip
"""Of ha.cf, what may be shown: not the lines of fence devices, where passwords stand."""

_PEER_WORDS = {
    PeerState.UP.value: "active",
    PeerState.NEVER_HEARD.value: "init",
    PeerState.FENCED.value: "dead",
    PeerState.CONFIRMED_DEAD.value: "dead",
}


class _Wrong(Exception):
    """The question cannot be answered: sentences for stderr and the exit code."""

    def __init__(self, code: int, *lines: str) -> None:
        super().__init__(*lines)
        self.code = code
        self.lines = lines


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """What was asked, with failoverd's status."""

    status: Status
    options: dict[str, str]
    words: tuple[str, ...]
    config_dir: str

    @property
    def human(self) -> bool:
        return "-m" in self.options

    def node(self) -> str:
        """The node asked for."""
        if not self.words:
            raise _Wrong(PARAMETER, "Not enough parameters.")
        if self.words[0] not in (self.status.view.node, self.status.view.peer):
            raise _Wrong(PARAMETER, "Error. May be due to incorrect node name")
        return self.words[0]

    def any_node(self) -> str:
        """The node or ping node asked for."""
        if self.words and self.words[0] in _pings(self.status.view):
            return self.words[0]
        return self.node()

    def say(self, sentence: str, word: str) -> None:
        print(sentence if self.human else word)


@dataclass(frozen=True, slots=True)
class _Command:
    """A sub-command: its options for getopt(3), and what answers it."""

    options: str
    answer: Callable[[_Question], int]


def main(argv: Sequence[str], socket: str = client.DEFAULT_SOCKET, config_dir: str = CONFIG_DIR) -> int:
    """Answer ``argv`` (without the program's name)."""
    if not argv or argv[0] == "--help" or list(argv) == ["-h"]:
        sys.stdout.write(HELP)
        return OK
    command = COMMANDS.get(argv[0])
    if command is None:
        _log(f"{argv[0]}: invalid sub-command.")
        return PARAMETER
    try:
        status = client.status(socket, TIMEOUT_MS)
    except ControlError as error:
        return _no_answer(argv, error)
    try:
        given, words = getopt.gnu_getopt(list(argv[1:]), command.options)
        question = _Question(status=status, options=dict(given), words=tuple(words), config_dir=config_dir)
        return command.answer(question)
    except getopt.GetoptError as error:
        print(f"{argv[0]}: {error}", file=sys.stderr)
        return PARAMETER
    except _Wrong as wrong:
        for line in wrong.lines:
            print(line, file=sys.stderr)
        return wrong.code


def _log(text: str) -> None:
    """A line as Heartbeat's logger writes it to stderr."""
    stamp = time.strftime("%b %d %H:%M:%S")
    print(f"{stamp} {os.uname().nodename} cl_status: [{os.getpid()}]: ERROR: {text}", file=sys.stderr)


def _no_answer(argv: Sequence[str], error: ControlError) -> int:
    if argv[0] == "hbstatus" and error.code in (ExitCode.NO_DAEMON, ExitCode.PERMISSION):
        stopped = error.code is ExitCode.NO_DAEMON
        refuses = "Heartbeat is apparently running on this machine, but refuses my connection"
        print("Heartbeat is stopped on this machine." if stopped else refuses)
        if any(word.startswith("-") and "v" in word for word in argv[1:]):
            print(f"({error})")
        return FAIL if stopped else OK
    _log("Cannot signon with heartbeat")
    _log(f"REASON: {error}")
    return TIMEOUT if error.code is ExitCode.TIMED_OUT else FAIL


# --- nodes and links --------------------------------------------------------------------------------------


def _pings(view: ClusterView) -> dict[str, str]:
    """Ping nodes in Heartbeat's words: one that answers has the status "ping"."""
    return {ping.name: {True: "ping", False: "dead", None: "init"}[ping.reached] for ping in view.pings}


def _node_word(view: ClusterView, node: str) -> str:
    pings = _pings(view)
    if node in pings:
        return pings[node]
    return "active" if node == view.node else _PEER_WORDS.get(view.peer_state, "silent")


def _link_words(status: Status, node: str) -> dict[str, str]:
    """Links to the peer carry its beats or do not; to itself, a node's links work or are broken."""
    if node == status.view.node:
        return {link.name: "dead" if link.error else "up" for link in status.links}
    return {link.name: "up" if link.up else "dead" for link in status.view.links}


def _print_links(status: Status, node: str, *, verbose: bool) -> None:
    for name, word in _link_words(status, node).items():
        print(f"\t{name}\t{word}" if verbose else f"\t{name}")


def _print_nodes(question: _Question, *, verbose: bool) -> None:
    view = question.status.view
    if question.human:
        print("The nodes are as follow:")
    pings = _pings(view)
    wanted = {"-n", "-p"} & set(question.options) or {"-n", "-p"}
    names = [view.node, view.peer] if "-n" in wanted else []
    for node in sorted(names) + (sorted(pings) if "-p" in wanted else []):
        if not verbose:
            print(node)
            continue
        kind = "ping" if node in pings else "normal"
        print(f"\n{node}\t{_node_word(view, node)}\t(nodetype: {kind})")
        if node not in pings:
            _print_links(question.status, node, verbose=True)


def _hbstatus(question: _Question) -> int:
    if "-v" not in question.options:
        print("Heartbeat is running on this machine.")
        return OK
    version = f"{question.status.version} (failover-kit)"
    question.say(f"Heartbeat version {version}", f"version:\t{version}")
    question.say('Resources controlled by "haresources"', 'managed by:\t"haresources"')
    _print_nodes(question, verbose=True)
    return OK


def _listnodes(question: _Question) -> int:
    _print_nodes(question, verbose="-v" in question.options)
    return OK


def _nodestatus(question: _Question) -> int:
    node = question.any_node()
    word = _node_word(question.status.view, node)
    question.say(f"The cluster node {node} is {word}", word)
    return OK if word in ("active", "ping") else FAIL


def _nodetype(question: _Question) -> int:
    node = question.any_node()
    kind = "ping" if node in _pings(question.status.view) else "normal"
    question.say(f"The node {node}'s type: {kind}", kind)
    return OK


def _nodeweight(question: _Question) -> int:
    question.say(f"The weight of the cluster node {question.node()} is 100", "100")
    return OK


def _nodesite(question: _Question) -> int:
    raise _Wrong(UNKNOWN, f"{question.node()} has no site: failoverd knows two nodes and no sites")


def _listhblinks(question: _Question) -> int:
    node = question.node()
    if question.human:
        print("\tthis node has the following heartbeat links:")
    _print_links(question.status, node, verbose="-v" in question.options)
    return OK


def _hblinkstatus(question: _Question) -> int:
    node = question.node()
    if len(question.words) < 2:
        raise _Wrong(PARAMETER, "Not enough parameters.")
    link = question.words[1]
    words = _link_words(question.status, node)
    # Heartbeat's name of a serial link is its device, failoverd's is the last part of it.
    word = words.get(link) or words.get(link.rpartition("/")[2])
    if word is None:
        raise _Wrong(UNKNOWN, f"Cannot get heartbeat link status: no link {link}; there are {', '.join(words)}")
    question.say(f"The node {node}'s heartbeat link {link} is {word}", word)
    return OK if word == "up" else FAIL


def _clientstatus(question: _Question) -> int:
    question.node()
    if len(question.words) < 2:
        raise _Wrong(PARAMETER, "Not enough parameters.")
    print("offline")
    return FAIL


# --- resources and parameters -----------------------------------------------------------------------------


def held_word(view: ClusterView) -> str:
    """none, local, foreign, all or transition: what this node holds. A group whose stop failed is held, too."""
    if any(g.state in (GroupState.STARTING, GroupState.STOPPING, GroupState.UNKNOWN) for g in view.groups):
        return "transition"
    homes = {group.home == view.node for group in view.groups if group.held}
    return {frozenset[bool](): "none", frozenset({True}): "local", frozenset({False}): "foreign"}.get(
        frozenset(homes), "all"
    )


def _rscstatus(question: _Question) -> int:
    word = held_word(question.status.view)
    question.say(f"This node is holding {word} resources.", word)
    return OK


def _hbparameter(question: _Question) -> int:
    name = question.options.get("-p", "")
    if not name:
        raise _Wrong(PARAMETER, "parameter name required")
    value = question.status.version if name == "hbversion" else _directive(question.config_dir, name)
    question.say(f"Heartbeat parameter {name}'s value: {value}", value)
    return OK


def _directive(config_dir: str, name: str) -> str:
    """The last line of ha.cf that sets ``name``, as it stands there: that is what Heartbeat remembers."""
    missing = f"Cannot get parameter {name}'s value"
    if name not in PARAMETERS:
        raise _Wrong(FAIL, missing, "REASON: it is none that cl_status shows; lines with passwords are not shown")
    try:
        with open(os.path.join(config_dir, "ha.cf"), encoding="utf-8", errors="replace") as file:
            lines = [line.partition("#")[0].split(None, 1) for line in file]
    except OSError as error:
        raise _Wrong(FAIL, missing, f"REASON: ha.cf cannot be read: {error.strerror}") from None
    values = [words[1].strip() for words in lines if len(words) == 2 and words[0] == name]
    if not values:
        raise _Wrong(FAIL, missing, "REASON: ha.cf does not set it")
    return values[-1]


COMMANDS = {
    "hbstatus": _Command("mv", _hbstatus),
    "listnodes": _Command("mpnv", _listnodes),
    "nodestatus": _Command("m", _nodestatus),
    "nodeweight": _Command("m", _nodeweight),
    "nodesite": _Command("m", _nodesite),
    "nodetype": _Command("m", _nodetype),
    "listhblinks": _Command("mv", _listhblinks),
    "hblinkstatus": _Command("m", _hblinkstatus),
    "clientstatus": _Command("m", _clientstatus),
    "rscstatus": _Command("m", _rscstatus),
    "hbparameter": _Command("mp:", _hbparameter),
}
