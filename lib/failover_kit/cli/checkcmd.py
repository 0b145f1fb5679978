"""failoverctl check: arguments, the other node's facts, printing, exit codes.

The checks are in ``failover_kit.check``, imported where they are used: no other command pays for them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from failover_kit.manager import client, configfiles
from failover_kit.manager.actions import ExitCode

if TYPE_CHECKING:
    from failover_kit.check.examine import Host
    from failover_kit.check.findings import Finding
    from failover_kit.check.linktest import Tried
    from failover_kit.check.nodefacts import Facts
    from failover_kit.check.subject import Subject
    from failover_kit.cli.screen import Style

HELP = "find what is wrong with the pair before it matters"
EXPLANATION = (
    "Looks at the three files, at this node and, with the facts of the other one, at both; writes nothing and "
    "switches nothing. Both nodes: failoverctl check --ssh . "
    "Exit code: 0 nothing but advice, 1 errors or warnings, 5 the other node did not answer, "
    "6 the configuration cannot be used."
)
STATUS_LIMIT_MS = 5_000
SWITCH_LIMIT_MS = 120_000
SSH_LIMIT_MS = 60_000
TEST_LIMIT_S = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of check."""
    parser.add_argument("--json", action="store_true", help="as JSON")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--links", action="store_true", help="test every link in both directions, and nothing else")
    what.add_argument("--facts", action="store_true", help="print what the other node needs to compare, as JSON")
    what.add_argument("--explain", metavar="ID", help="say why a kind of finding matters; all: list them")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--peer-facts", metavar="FILE", help="compare with these of the other node; - for stdin")
    other.add_argument(
        "--ssh",
        nargs="?",
        const="",
        metavar="HOST",
        help="look at the other node, too: run check --facts there over ssh (HOST: its name for ssh)",
    )
    other.add_argument("--local", action="store_true", help="this node only, and do not remark that")
    parser.add_argument("--ssh-config", default="", metavar="FILE", help="for --ssh: a file for ssh -F")
    parser.add_argument(
        "--switch",
        action="store_true",
        help="let failoverd read all plugs, too (it logs in to the switch, which has one session)",
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=TEST_LIMIT_S,
        metavar="N",
        help="how long --links listens where no failoverd runs (%(default)g); start it on both nodes",
    )
    parser.add_argument(
        "--config-dir", default=configfiles.CONFIG_DIR, metavar="DIR", help="the three files (%(default)s)"
    )
    parser.add_argument("--node", default="", metavar="NAME", help="this node's name in ha.cf (uname -n)")


def run(options: argparse.Namespace) -> int:
    """Run it; returns the exit code."""
    from failover_kit.check.examine import Unreadable

    if options.explain is not None:
        return _explain(options.explain)
    if os.geteuid() != 0 and options.config_dir == configfiles.CONFIG_DIR:
        return _complain(ExitCode.PERMISSION, "check reads authkeys and disks: run it as root")
    try:
        return _checked(options)
    except Unreadable as error:
        _print("configuration", error.findings, options)
        return ExitCode.CONFIGURATION.value


def _checked(options: argparse.Namespace) -> int:
    from failover_kit.check import daemon_rules, examine, findings, nodefacts

    subject = _subject(options)
    asked = options.peer_facts is not None or options.ssh is not None
    if options.links and subject.status is None and not asked:
        return _test_links(subject, options)
    own = examine.own_facts(subject)
    if options.facts:
        sys.stdout.write(nodefacts.write(own))
        return ExitCode.DONE.value
    try:
        peer = _peer(options, subject)
    except _NoPeer as error:
        return _complain(error.code, str(error))
    fresh = options.peer_facts == "-" or options.ssh is not None
    all_found = examine.compared(subject, own, peer, piped=fresh)
    if options.switch:
        all_found = findings.in_order((*all_found, *daemon_rules.switch(_ask_switch(options))))
    if options.local:
        all_found = tuple(finding for finding in all_found if finding.id != "not-compared")
    if options.links:
        return _links_of_daemon(subject, peer, all_found, options)
    title = f"{subject.node} + {subject.peer}" if peer is not None else subject.node
    _print(title, all_found, options)
    return findings.exit_code(all_found)


def _subject(options: argparse.Namespace) -> Subject:
    from failover_kit.check import examine

    status, silence = None, ""
    try:
        status = client.status(options.socket, STATUS_LIMIT_MS)
    except client.ControlError as error:
        silence = str(error)
    return examine.subject_of(_host(options), status, silence)


def _host(options: argparse.Namespace) -> Host:
    from failover_kit.check.examine import Host
    from failover_kit.check.probes import Probes
    from failover_kit.check.tree import Tree
    from failover_kit.manager.callers import default_search

    return Host(
        tree=Tree(),
        probes=Probes(),
        search=default_search(os.environ),
        config_dir=os.path.abspath(options.config_dir),
        node=options.node,
    )


class _NoPeer(Exception):
    """There are no facts of the other node; ``code`` is the exit code."""

    def __init__(self, code: ExitCode, text: str) -> None:
        super().__init__(text)
        self.code = code


def _peer(options: argparse.Namespace, subject: Subject) -> Facts | None:
    """The facts of the other node, None when they are not asked for. _NoPeer when they are not to be had."""
    from failover_kit.check import nodefacts

    if options.ssh is not None:
        where = options.ssh or subject.peer
        peer, code = _facts_over_ssh(where, options.ssh_config), ExitCode.NO_DAEMON
    elif options.peer_facts is not None:
        where, code = f"--peer-facts {options.peer_facts}", ExitCode.USAGE
        try:
            peer = _peer_facts(options.peer_facts)
        except OSError as error:
            text = f"{where}: {error.strerror}; make it on the other node: failoverctl check --facts"
            raise _NoPeer(code, text) from None
        except (UnicodeDecodeError, nodefacts.NoFacts) as error:
            raise _NoPeer(code, f"{where}: {error}") from None
    else:
        return None
    if peer.node != subject.peer:
        text = f"these are facts of {peer.node}; the other node is {subject.peer}: run check --facts there"
        raise _NoPeer(ExitCode.USAGE, f"{where}: {text}")
    return peer


def _facts_over_ssh(host: str, config: str) -> Facts:
    """Ask the other node's failoverctl. _NoPeer with what ssh or it said."""
    from failover_kit.check import nodefacts
    from failover_kit.spec import ssh
    from failover_kit.spec.deadline import Deadline
    from failover_kit.spec.process import CommandMissing, CommandTimeout
    from failover_kit.spec.process import run as run_command

    by_hand = f"try by hand: ssh {host} failoverctl check --facts"
    try:
        result = run_command([*ssh.argv(config), host, "failoverctl check --facts"], Deadline(SSH_LIMIT_MS))
    except CommandMissing as error:
        raise _NoPeer(ExitCode.NO_DAEMON, str(error)) from None
    except CommandTimeout:
        text = f"{host}: no answer within {SSH_LIMIT_MS // 1000} s; {by_hand}"
        raise _NoPeer(ExitCode.NO_DAEMON, text) from None
    try:
        return nodefacts.read(result.stdout)
    except nodefacts.NoFacts as error:
        said = ssh.last_words(result) or str(error)
        raise _NoPeer(ExitCode.NO_DAEMON, f"{host}: {said}; {by_hand}") from None


def _peer_facts(where: str) -> Facts:
    """NoFacts, OSError and UnicodeDecodeError when there are none."""
    from failover_kit.check import nodefacts

    if where == "-":
        return nodefacts.read(sys.stdin.read(nodefacts.LIMIT_BYTES + 1))
    with open(where, encoding="utf-8") as file:
        return nodefacts.read(file.read(nodefacts.LIMIT_BYTES + 1))


def _ask_switch(options: argparse.Namespace) -> client.Answer:
    """failoverd reads the plugs: it is the one who knows whether the switch is needed for a shot right now."""
    try:
        return client.order(options.socket, client.Request(verb=client.TEST, timeout_ms=SWITCH_LIMIT_MS))
    except client.ControlError as error:
        return client.Answer(code=error.code, text=f"the switch was not read: {error}")


# --- links ----------------------------------------------------------------------------------------------


def _test_links(subject: Subject, options: argparse.Namespace) -> int:
    """No failoverd here: send and listen ourselves."""
    import asyncio

    from failover_kit.check.link_rules import links_to_test
    from failover_kit.check.linktest import LinkTest
    from failover_kit.manager.links import make_links

    try:
        links = make_links(links_to_test(subject), lambda _: None)
    except ValueError as error:
        return _complain(ExitCode.CONFIGURATION, str(error))
    if not links:
        return _complain(ExitCode.CONFIGURATION, f"no link leads to {subject.peer}; see failoverctl check")
    _say(f"failoverd does not run here: testing for {options.seconds:g} s; run the same on {subject.peer} now")
    test = LinkTest(subject.node, subject.peer, subject.loaded.authkeys, links, int(options.seconds * 1000))
    tried = asyncio.run(test.run())
    return _print_links(subject, tried, options)


def _links_of_daemon(
    subject: Subject, peer: Facts | None, all_found: tuple[Finding, ...], options: argparse.Namespace
) -> int:
    """failoverd runs here, or the other node's facts say what it hears: both directions from what both say."""
    from failover_kit.check.linktest import Tried
    from failover_kit.check.pair_rules import heard_there

    remarks = {finding.fact.partition(":")[0]: finding.fact for finding in all_found if finding.id == "link-silent"}
    status = subject.status
    there = heard_there(subject, peer) if peer is not None else {}
    tried = []
    for link in status.view.links if status is not None else ():
        remark = remarks.get(link.name, "").partition(": ")[2]
        # With facts of the other node, its own word; else what its beats say of this link.
        to_there = there.get(link.name) if peer is not None else link.peer_hears
        tried.append(Tried(link.name, bool(link.up), to_there, remark))
    if not tried:
        text = f"{subject.silence}; without --ssh and --peer-facts links are tested directly"
        return _complain(ExitCode.NO_DAEMON, text)
    if any(link.to_there is None for link in tried):
        command = "failoverctl check --links --ssh"
        _say(f"what {subject.peer} hears is not in its beats now; its own facts have it: {command}")
    return _print_links(subject, tuple(tried), options)


def _print_links(subject: Subject, tried: tuple[Tried, ...], options: argparse.Namespace) -> int:
    from failover_kit.cli.checkscreen import links_table

    if options.json:
        rows = [{"link": t.name, "to_here": t.to_here, "to_there": t.to_there, "remark": t.remark} for t in tried]
        print(json.dumps({"node": subject.node, "peer": subject.peer, "links": rows}, indent=2))
    else:
        sys.stdout.write(links_table(subject.node, subject.peer, tried, _style()))
    return int(any(not t.to_here or t.to_there is False for t in tried))


# --- printing -------------------------------------------------------------------------------------------


def _print(title: str, all_found: tuple[Finding, ...], options: argparse.Namespace) -> None:
    from failover_kit.cli.checkscreen import render

    if options.json:
        rows = [_as_json(finding) for finding in all_found]
        print(json.dumps({"checked": title, "findings": rows}, indent=2))
    else:
        sys.stdout.write(render(title, all_found, _style()))


def _as_json(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "severity": finding.severity.value,
        "node": finding.node,
        "place": finding.place,
        "fact": finding.fact,
        "why": finding.why,
        "fix": finding.fix,
    }


def _explain(name: str) -> int:
    from failover_kit.check.catalogue import RULES

    if name == "all":
        width = max(len(rule) for rule in RULES)
        for rule in RULES.values():
            print(f"{rule.id:<{width}}  {rule.severity:<7}  {rule.title}")
        return ExitCode.DONE.value
    found = RULES.get(name)
    if found is None:
        return _complain(ExitCode.USAGE, f"no finding is called {name!r}; see failoverctl check --explain all")
    print(f"{found.id} ({found.severity}): {found.title}\n\n{found.why}")
    return ExitCode.DONE.value


def _style() -> Style:
    import shutil

    from failover_kit.cli.screen import Style

    if not sys.stdout.isatty():
        return Style()
    return Style(colour=not os.environ.get("NO_COLOR", ""), width=shutil.get_terminal_size().columns)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds from 1 to 3600")
    return seconds


def _say(text: str) -> None:
    print(f"failoverctl: {text}", file=sys.stderr)


def _complain(code: ExitCode, text: str) -> int:
    _say(text)
    return code.value
