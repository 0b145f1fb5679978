"""failoverctl init: the three files for a new pair, from flags and, on a terminal, a few questions."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from failover_kit.manager import configfiles
from failover_kit.manager.actions import ExitCode

if TYPE_CHECKING:
    from failover_kit.check.newpair import Answers, NetworkLink, Switch, Texts

HELP = "write ha.cf, haresources and authkeys for a new pair"
EXPLANATION = (
    "The same files serve both nodes: make them on one and copy them to the other. What is missing is asked for on "
    "a terminal. Files that exist are left alone without --force, which keeps a backup of each, and the key. "
    "Exit code: 0 written, 2 the answers cannot be a pair, 3 there are files already, 4 no permission, "
    "6 the files would not load."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of init."""
    pair = parser.add_argument_group("the pair")
    pair.add_argument(
        "--node", action="append", default=[], metavar="NAME", help="a node, as uname -n prints; twice"
    )
    pair.add_argument("--serial", action="append", default=[], metavar="DEVICE", help="a serial line between them")
    pair.add_argument("--baud", type=int, default=9600, metavar="N", help="of the serial line (%(default)d)")
    pair.add_argument(
        "--link",
        action="append",
        default=[],
        metavar="INTERFACE=A,B",
        help="a network for heartbeats, with the address of the first and of the second node on it",
    )
    pair.add_argument("--one-link", action="store_true", help="there really is one link only")
    pair.add_argument("--keepalive", default="1", metavar="SECONDS", help="between beats (%(default)s)")
    pair.add_argument("--deadtime", default="10", metavar="SECONDS", help="until silent (%(default)s)")
    pair.add_argument("--watchdog", default="", metavar="DEVICE", help="such as /dev/watchdog")
    fencing = parser.add_argument_group("what cuts their power")
    fencing.add_argument("--switch", default="", metavar="NAME=ADDRESS", help="a WTI power switch")
    fencing.add_argument(
        "--plug", action="append", default=[], metavar="NODE=PLUG", help="its plug of a node; 1+2 for two supplies"
    )
    fencing.add_argument(
        "--password-file", default="", metavar="FILE", help="the switch's (/etc/ha.d/NAME.password)"
    )
    fencing.add_argument(
        "--fence-device",
        action="append",
        default=[],
        metavar="LINE",
        help='another device, as in ha.cf: "NAME AGENT key=value …"',
    )
    fencing.add_argument("--no-fence", action="store_true", help="nothing can cut them; you will confirm by hand")
    group = parser.add_argument_group("the service; the first node is its home")
    group.add_argument("--disk", default="", metavar="DEVICE", help="the shared disk: a path, UUID=… or LABEL=…")
    group.add_argument("--mount", default="", metavar="DIRECTORY", help="where it is mounted")
    group.add_argument("--fstype", default="xfs", help="its filesystem (%(default)s)")
    group.add_argument("--clients", action="append", default=[], metavar="WHO", help="export it over NFS to these")
    group.add_argument("--service", action="append", default=[], metavar="RESOURCE", help="as in haresources")
    group.add_argument("--address", default="", metavar="ADDRESS/PREFIX/INTERFACE", help="that moves with it")
    how = parser.add_argument_group("how")
    how.add_argument("--config-dir", default=configfiles.CONFIG_DIR, metavar="DIR", help="where to (%(default)s)")
    how.add_argument("--dry-run", action="store_true", help="print the files, the key hidden, and write nothing")
    how.add_argument("--force", action="store_true", help="replace files that exist, with a backup of each")
    how.add_argument("--new-key", action="store_true", help="with --force: a new key, too")


def run(options: argparse.Namespace) -> int:
    """Ask, make, validate, write; returns the exit code."""
    from failover_kit.check import newfiles
    from failover_kit.check.newpair import Impossible, texts_of
    from failover_kit.manager.config import ConfigError

    there = newfiles.existing(options.config_dir)
    if there and not (options.force or options.dry_run):
        names = ", ".join(os.path.join(options.config_dir, name) for name in there)
        return _complain(
            ExitCode.REFUSED, f"{names}: there already; --force replaces them and keeps a backup of each"
        )
    try:
        answers = answers_of(options, _ask if sys.stdin.isatty() and sys.stderr.isatty() else None)
        texts = texts_of(answers, newfiles.new_key())
        files = newfiles.as_files(texts)
        kept = "" if options.new_key else newfiles.kept_authkeys(options.config_dir)
        if kept:
            files["authkeys"] = kept
        newfiles.validate(files)
    except Impossible as error:
        for reason in error.reasons:
            _say(reason)
        return ExitCode.USAGE.value
    except ConfigError as error:
        for problem in error.problems:
            _say(str(problem))
        return _complain(
            ExitCode.CONFIGURATION, "the files would not load: nothing was written; correct the answers"
        )
    except OSError as error:
        return _failed(options, error)
    except (KeyboardInterrupt, EOFError):
        return _complain(ExitCode.USAGE, "interrupted, nothing was written")
    if options.dry_run:
        return _show(options.config_dir, texts, kept=bool(kept))
    return _write(options, files, answers, kept=bool(kept))


def _show(config_dir: str, texts: Texts, *, kept: bool) -> int:
    from failover_kit.check import newfiles

    hidden = "(the one that is there is kept)\n" if kept else "auth 1\n1 sha256 ***\n"
    ha_cf = newfiles.without_secrets(texts.ha_cf)
    for name, text in (("ha.cf", ha_cf), ("haresources", texts.haresources), ("authkeys", hidden)):
        print(f"--- {os.path.join(config_dir, name)}\n{text}")
    return ExitCode.DONE.value


def _write(options: argparse.Namespace, files: dict[str, str], answers: Answers, *, kept: bool) -> int:
    from failover_kit.check import newfiles

    if kept:
        del files["authkeys"]  # it is right as it is, and so is its copy on the other node
    try:
        backups = newfiles.install(options.config_dir, files)
    except OSError as error:
        return _failed(options, error)
    for name, text in files.items():
        print(f"written: {os.path.join(options.config_dir, name)} (mode {newfiles.mode_of(name, text):04o})")
    if kept:
        print(f"kept: {os.path.join(options.config_dir, 'authkeys')}, as the other node has it")
    for backup in backups:
        print(f"backup: {backup}")
    print("next:")
    for step in _steps(options.config_dir, answers):
        print(f"  {step}")
    return ExitCode.DONE.value


def _steps(config_dir: str, answers: Answers) -> list[str]:
    here = os.uname().nodename.lower()
    others = [node.lower() for node in answers.nodes if node.lower() != here]  # both, on a third machine
    steps = []
    if answers.switch is not None and not os.path.exists(answers.switch.password_file):
        steps.append(f"on both nodes, the switch's password: (umask 077; cat > {answers.switch.password_file})")
    paths = " ".join(os.path.join(config_dir, name) for name in ("ha.cf", "haresources", "authkeys"))
    steps += [f"scp -p {paths} {other}:{config_dir}/" for other in others]
    steps.append("on both nodes: failoverd --check && failoverctl check")
    return steps


def _failed(options: argparse.Namespace, error: OSError) -> int:
    denied = isinstance(error, PermissionError)
    text = f"{error.filename or options.config_dir}: {error.strerror}; run it as root, or give another --config-dir"
    return _complain(ExitCode.PERMISSION if denied else ExitCode.FAILED, text)


# --- answers --------------------------------------------------------------------------------------------

Ask = Callable[[str, str], str]
"""A question and the answer that an empty line means."""


def answers_of(options: argparse.Namespace, ask: Ask | None) -> Answers:
    """From the flags; what they leave open is asked for. Impossible when it stays open."""
    from failover_kit.check.newpair import Answers

    nodes = _nodes(options, ask)
    serial, links = tuple(options.serial), list(options.link)
    if ask is not None and not serial and not links:
        device = ask("Serial line between them, like /dev/ttyS0 (empty: none)", "")
        serial = (device,) if device else ()
        card = ask("Interface of a crossed network cable, like eth1 (empty: none)", "")
        if card:
            links.append(
                f"{card}={ask(f'Address of {nodes[0]} on {card}', '')},{ask(f'Address of {nodes[1]}', '')}"
            )
    disk, mount, address = options.disk, options.mount, options.address
    if ask is not None and not (disk or address or options.service):
        disk = ask("Shared disk: a path, UUID=… or LABEL=… (empty: none)", "")
        mount = ask("Where it is mounted", "/srv/data") if disk else ""
        address = ask("Address of the service, ADDRESS/PREFIX/INTERFACE", "")
    switch = _switch(options, nodes, ask)
    return Answers(
        nodes=nodes,
        serial=serial,
        baud=options.baud,
        networks=tuple(_link(text) for text in links),
        one_link=options.one_link,
        switch=switch,
        fence_lines=tuple(options.fence_device),
        no_fence=options.no_fence,
        disk=disk,
        mount=mount,
        fstype=options.fstype,
        clients=tuple(options.clients),
        services=tuple(options.service),
        address=address,
        keepalive=options.keepalive,
        deadtime=options.deadtime,
        watchdog=options.watchdog,
    )


def _nodes(options: argparse.Namespace, ask: Ask | None) -> tuple[str, str]:
    from failover_kit.check.newpair import Impossible

    names = list(options.node)
    if ask is not None and not names:
        names.append(ask("Name of the node that is the service's home (uname -n)", os.uname().nodename))
    if ask is not None and len(names) == 1:
        names.append(ask("Name of the other node", ""))
    if len(names) != 2:
        given = f"a pair has two nodes, --node names {len(names)}"
        raise Impossible([f"{given}; give --node twice, the home node first"])
    return names[0], names[1]


def _link(text: str) -> NetworkLink:
    from failover_kit.check.newpair import Impossible, NetworkLink

    interface, _, rest = text.partition("=")
    addresses = [word.strip() for word in rest.split(",")]
    if not interface or len(addresses) != 2:
        raise Impossible([f"--link {text!r} is not INTERFACE=ADDRESS,ADDRESS; give the first node's address first"])
    return NetworkLink(interface=interface, addresses=(addresses[0], addresses[1]))


def _switch(options: argparse.Namespace, nodes: tuple[str, str], ask: Ask | None) -> Switch | None:
    from failover_kit.check.newpair import Impossible, Switch

    text, plugs = options.switch, _plugs(options, nodes)
    if not text and ask is not None and not (options.fence_device or options.no_fence):
        text = ask("WTI power switch, NAME=ADDRESS (empty: none)", "")
    if not text:
        if plugs or options.password_file:
            raise Impossible(["--plug and --password-file are of a switch; give --switch NAME=ADDRESS, too"])
        return None
    name, _, address = text.partition("=")
    if not name or not address or any(sign.isspace() for sign in text):
        raise Impossible([f"--switch {text!r} is not NAME=ADDRESS; give for example benjamin=192.0.2.219"])
    for node in nodes:
        if node.lower() not in plugs and ask is not None:
            plugs[node.lower()] = ask(f"Plug of {node} (1+2 for two supplies)", "")
    return Switch(
        name=name,
        address=address,
        plugs=(plugs.get(nodes[0].lower(), ""), plugs.get(nodes[1].lower(), "")),
        password_file=options.password_file or f"/etc/ha.d/{name}.password",
    )


def _plugs(options: argparse.Namespace, nodes: tuple[str, str]) -> dict[str, str]:
    from failover_kit.check.newpair import Impossible

    plugs: dict[str, str] = {}
    for text in options.plug:
        node, _, plug = text.partition("=")
        if node.lower() not in (name.lower() for name in nodes) or not plug:
            raise Impossible([f"--plug {text!r} is not NODE=PLUG; the nodes are {' and '.join(nodes)}"])
        if node.lower() in plugs:
            raise Impossible([f"--plug {node} is given twice; two supplies are --plug {node}=1+2"])
        plugs[node.lower()] = plug
    return plugs


def _ask(question: str, usual: str) -> str:
    """EOFError when nobody answers any more."""
    sys.stderr.write(f"{question}{f' [{usual}]' if usual else ''}: ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip() or usual


def _say(text: str) -> None:
    print(f"failoverctl: {text}", file=sys.stderr)


def _complain(code: ExitCode, text: str) -> int:
    _say(text)
    return code.value
