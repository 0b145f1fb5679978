"""hb_standby and hb_takeover: Heartbeat's names and words for moving groups, over failoverd.

The words mean what they mean there (haresources mode): *local* are the groups whose home is this node, *foreign*
those of the other one, *failback* is another name of foreign, *all* is both and the default.

One difference is on purpose. Heartbeat's scripts put a message into a FIFO and return 0 at once, even where nothing
runs that could read it. Ours wait for the outcome and return it: a failure that nobody sees is no success.
Exit codes: 0 done, 1 wrong arguments, or failed; else those of failoverctl (3 refused, 4 permission, 5 no daemon,
7 timed out).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from failover_kit.manager import client
from failover_kit.manager.actions import ExitCode
from failover_kit.manager.client import Answer, ControlError, Request
from failover_kit.manager.events import Verb
from failover_kit.manager.records import ClusterView

WORDS = ("all", "foreign", "local", "failback")
EXIT_USAGE = 1  # as there
MOVES = {"hb_standby": Verb.STANDBY, "hb_takeover": Verb.TAKEOVER}


def main(argv: Sequence[str], socket: str = client.DEFAULT_SOCKET) -> int:
    """``argv[0]`` is how it was called: its last part says which of the two, and usage repeats it."""
    program, name = argv[0], argv[0].rpartition("/")[2]
    if len(argv) > 2:
        print(f"{program}: too many arguments")
        return _usage(program)
    word = argv[1] if len(argv) == 2 else "all"
    if word not in WORDS:
        if word != "--help":
            print(f"{program}: wrong resources({word}).")
        return _usage(program)
    verb = MOVES[name]
    kind = "foreign" if word == "failback" else word
    if verb is Verb.STANDBY:
        print(f"{time.strftime('%b %d %H:%M:%S')} Going standby [{kind}].", file=sys.stderr)
    try:
        answer = _order(verb, kind, socket)
    except ControlError as error:
        answer = Answer(code=error.code, text=str(error))
    except KeyboardInterrupt:
        print(f"{name}: interrupted; the order goes on, see failoverctl status", file=sys.stderr)
        return 128 + 2
    if answer.code is not ExitCode.DONE:
        print(f"{name}: {answer.text}", file=sys.stderr)
    return answer.code.value


def _usage(program: str) -> int:
    """Its first line goes to stdout and its second to stderr, as there."""
    print("usage:", flush=True)
    print(f"{program} [{'|'.join(WORDS)}]", file=sys.stderr)
    return EXIT_USAGE


def _order(verb: Verb, kind: str, socket: str) -> Answer:
    """Name the groups, unless it is all of them: failoverd knows best what applies."""
    groups: tuple[str, ...] = ()
    if kind != "all":
        groups = _groups(client.status(socket).view, kind)
        if not groups:  # an order that names no group would move all of them
            return Answer(code=ExitCode.DONE, text=f"nothing to do: no group is {kind} here")
    return client.order(socket, Request(verb=verb.value, groups=groups))


def _groups(view: ClusterView, kind: str) -> tuple[str, ...]:
    home = view.node if kind == "local" else view.peer
    return tuple(group.name for group in view.groups if group.home == home)
