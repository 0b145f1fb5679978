"""failoverctl watch: the watcher on a third machine, and watch-gate: what its key may do on a node."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from failover_kit.cli.asjson import WATCH, outcome_word
from failover_kit.manager.actions import ExitCode

if TYPE_CHECKING:
    from failover_kit.watch.asking import Nodes
    from failover_kit.watch.probes import Probe
    from failover_kit.watch.watcher import Said, Watcher

HELP = "on a third machine: look at the service as a client does, and ask for a takeover"
EXPLANATION = (
    "After n failures in a row the node that does not have the group is asked, over ssh, to take it over; it "
    "refuses unless the epoch is the one that was seen, it is ready, nothing else is under way, and nothing moved "
    "within its hold-off. The group is stopped there, or the node fenced, before it starts elsewhere. Probes: "
    "nfs:HOST[:PORT][/udp], tcp:HOST:PORT, http[s]://HOST[:PORT]/PATH, file:/PATH, ping:HOST. Runs until SIGTERM. "
    "With --once: exit code 0 it answers or was taken over, 1 it does not answer, 3 refused, 5 no node was "
    "reached, 7 timed out."
)
GATE_HELP = "on a node: what a watcher's ssh key may do (command= in authorized_keys)"
GATE_EXPLANATION = (
    "Understands two questions in SSH_ORIGINAL_COMMAND: 'status GROUP' and 'takeover GROUP EPOCH'. Answers with "
    "one line of JSON. For people: failoverctl status and failoverctl takeover."
)

_LOCK_DIR = "/run/lock"
_LIMIT_S = 86_400.0


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds") from None
    if not 0 < seconds <= _LIMIT_S:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most {_LIMIT_S:g}")
    return seconds


def _hold_off(text: str) -> float:
    return 0.0 if text == "0" else _seconds(text)


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError:
        count = 0
    if not 1 <= count <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to 1000")
    return count


def _name(text: str) -> str:
    if not text.isascii() or not text.isprintable() or not 0 < len(text) <= 64 or "/" in text or " " in text:
        raise argparse.ArgumentTypeError("give a name of printable letters, without '/' and spaces")
    return text


def _destination(text: str) -> str:
    if text.startswith("-"):
        raise argparse.ArgumentTypeError(f"{text} is no host")
    return _name(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of watch."""
    parser.add_argument("group", metavar="GROUP", type=_name, help="name of the group, as status shows it")
    parser.add_argument(
        "--node", action="append", required=True, type=_destination, metavar="HOST", help="a node for ssh; twice"
    )
    parser.add_argument("--probe", action="append", default=[], metavar="PROBE", help="what must answer")
    parser.add_argument(
        "--witness", action="append", default=[], metavar="PROBE",
        help="what answers as long as this machine's own network works, a gateway: ping:HOST",
    )  # fmt: skip
    parser.add_argument("--tls-ca", default="", metavar="FILE", help="for https: trust this CA, not the machine's")
    parser.add_argument(
        "--tls-name", type=_name, metavar="NAME", help="for https: whose certificate is wanted (the probe's HOST)"
    )
    parser.add_argument("--tls-insecure", action="store_true", help="for https: check no certificate")
    parser.add_argument("--interval", type=_seconds, default=10.0, metavar="S", help="between looks (%(default)g)")
    parser.add_argument("--timeout", type=_seconds, default=5.0, metavar="S", help="of one look (%(default)g)")
    parser.add_argument("--failures", type=_count, default=3, metavar="N", help="in a row (%(default)d)")
    parser.add_argument(
        "--again", type=_seconds, default=60.0, metavar="S", help="pause after a vain request (%(default)g)"
    )
    parser.add_argument(
        "--order-timeout", type=_seconds, default=600.0, metavar="S", help="for a takeover to end (%(default)g)"
    )
    parser.add_argument("--ssh-config", default="", metavar="FILE", help="for ssh -F: user, key, known hosts, port")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="until it answers, or n failures and what follows (cron)")
    how.add_argument("--ask", action="store_true", help="ask now, without a look: somebody else has counted (Mon)")
    parser.add_argument("--dry-run", action="store_true", help="look, and say what would be asked")
    parser.add_argument("--syslog", action="store_true", help="sentences also to syslog")
    parser.add_argument("--lock", default="", metavar="FILE", help=f"({_LOCK_DIR}/failover-watch-GROUP)")


def run(options: argparse.Namespace) -> int:
    """Watch; returns the exit code."""
    if not options.probe and not options.ask:
        return _complain(ExitCode.USAGE, "give what must answer: --probe nfs:HOST, or another; see --help")
    if len(options.node) != 2 or options.node[0] == options.node[1]:
        return _complain(ExitCode.USAGE, "a pair has two nodes: give --node twice")
    why = _tls_misused(options)
    if why:
        return _complain(ExitCode.USAGE, why)
    say = _speaker(options.group, syslog=options.syslog, as_json=options.json)
    lock, why = _lock(options.lock or f"{_LOCK_DIR}/failover-watch-{options.group}")
    if why:
        return _complain(ExitCode.FAILED, why)
    signal.signal(signal.SIGTERM, _end)
    try:
        return _watch(options, say)
    except KeyboardInterrupt:
        return ExitCode.DONE.value
    finally:
        os.close(lock)


def _tls_misused(options: argparse.Namespace) -> str:
    """What is wrong with the --tls options among each other and beside the probes; "" for nothing."""
    given = bool(options.tls_ca or options.tls_name or options.tls_insecure)
    if given and not any(text.startswith("https:") for text in (*options.probe, *options.witness)):
        return "--tls-ca, --tls-name and --tls-insecure are for https:// probes, and there is none"
    if options.tls_insecure and (options.tls_ca or options.tls_name):
        return "--tls-insecure checks nothing: leave it out, or leave --tls-ca and --tls-name out"
    return ""


def _watch(options: argparse.Namespace, say: Callable[[Said], None]) -> int:
    import time

    from failover_kit.watch.probes import ProbeError
    from failover_kit.watch.watcher import Said

    try:
        watcher = _made(options, say)
    except ProbeError as error:
        return _complain(ExitCode.CONFIGURATION, str(error))
    if options.ask:
        return watcher.ask().value
    if not options.once:
        say(Said("watching", f"watching: {', '.join(options.probe)}, every {options.interval:g} s"))
    while True:
        code, over = watcher.look()
        if options.once and over:
            return code.value
        time.sleep(options.interval)


def _made(options: argparse.Namespace, say: Callable[[Said], None]) -> Watcher:
    from failover_kit.spec.deadline import boottime_ms
    from failover_kit.watch import probes, tls
    from failover_kit.watch.observer import Observer
    from failover_kit.watch.watcher import Said, Watcher

    ca_file = os.path.abspath(options.tls_ca) if options.tls_ca else ""
    secured = tls.Settings(ca_file, options.tls_name or "", options.tls_insecure)
    wanted: list[Probe] = [] if options.ask else [probes.parse(text, secured) for text in options.probe]
    if options.tls_insecure:
        text = "WARNING: --tls-insecure: no certificate is checked; whoever answers there counts as the service"
        say(Said("warning", text))
    return Watcher(
        wanted,
        [probes.parse(text, secured) for text in options.witness],
        _nodes(options),
        Observer(failures=options.failures, again_ms=_ms(options.again)),
        timeout_ms=_ms(options.timeout),
        dry_run=options.dry_run,
        say=say,
        now_ms=boottime_ms,
    )


def _nodes(options: argparse.Namespace) -> Nodes:
    from failover_kit.watch.asking import Nodes

    config = os.path.abspath(options.ssh_config) if options.ssh_config else ""
    return Nodes(options.node, options.group, config=config, order_ms=_ms(options.order_timeout))


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _complain(code: ExitCode, text: str) -> int:
    print(f"failoverctl: {text}", file=sys.stderr)
    return code.value


def _end(_number: int, _frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def _speaker(group: str, *, syslog: bool, as_json: bool = False) -> Callable[[Said], None]:
    """One line for each sentence, at once; syslog never makes it wait."""
    import syslog as numbers
    import time

    from failover_kit.spec.syslogline import SyslogLines

    lines = SyslogLines("failover-watch", numbers.LOG_DAEMON) if syslog else None

    def say(said: Said) -> None:
        sentence = f"group {group}: {said.text}"
        if as_json:
            facts = {
                "wall_ms": int(time.time() * 1000),
                "group": group,
                "event": said.event,
                "code": None if said.code is None else said.code.value,
                "outcome": None if said.code is None else outcome_word(said.code),
                "text": said.text,
            }
            print(WATCH.text(facts, indent=None), flush=True)
        else:
            print(sentence, flush=True)
        if lines is not None:
            lines.send(numbers.LOG_WARNING, sentence)

    return say


def _lock(path: str) -> tuple[int, str]:
    """Held until it is closed: two watchers of one group would both count. Second: why not."""
    import fcntl

    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        held = os.open(path, flags, 0o600)
    except OSError as error:
        return -1, f"cannot open {path}: {error.strerror}; use --lock"
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        return -1, f"another failoverctl watch has {path}: one watches this group already"
    return held, ""


# --- the gate -------------------------------------------------------------------------------------------


def add_gate_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of watch-gate."""
    parser.add_argument("group", nargs="+", type=_name, metavar="GROUP", help="groups that may be asked about")
    parser.add_argument("--name", required=True, type=_name, metavar="NAME", help="the watcher's, for the record")
    parser.add_argument(
        "--hold-off", type=_hold_off, default=600.0, metavar="S", help="least time between moves (%(default)g)"
    )


def run_gate(options: argparse.Namespace) -> int:
    """Answer one question; returns the exit code, which ssh passes on."""
    from failover_kit.watch import gate

    try:
        question = gate.parse_words(os.environ.get("SSH_ORIGINAL_COMMAND", ""), options.group)
    except gate.WordsError as error:
        code, line = ExitCode.USAGE, gate.reply_line(ExitCode.USAGE, str(error))
    else:
        who = gate.asker(options.name, os.environ.get("SSH_CONNECTION", ""))
        code, line = gate.answer(question, options.socket, int(options.hold_off * 1000), who)
    print(line)
    return code.value
