"""failoverctl export-cib and import-cib: the pair as a Pacemaker cluster, and such a cluster as a pair.

Both read files and start nothing. What they print holds no secret unless --with-secrets asks for it, and then
only in a file of root's.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from failover_kit.manager import configfiles
from failover_kit.manager.actions import ExitCode

if TYPE_CHECKING:
    from failover_kit.cib.corosync import Here
    from failover_kit.cib.model import Cluster, Remark
    from failover_kit.cib.translate import Wishes
    from failover_kit.manager.config import LoadedConfig, Resource

HELP = "print the pair as a Pacemaker cluster: a CIB, pcs or crm commands, corosync.conf"
EXPLANATION = (
    "Run it on one of the nodes: which program a name stands for is looked up there. What is not the same under "
    "Pacemaker, or cannot be carried, is told on standard error, a line each; what is left out the cluster lacks. "
    "Passwords stay out: the devices get the name of a file. Exit code: 0 all of it is there, 1 something was "
    "left out, 2 usage, 4 no permission, 6 the configuration cannot be used, or python3-lxml is not installed."
)
IMPORT_HELP = "print ha.cf and haresources for a two-node CIB that fits, and what does not"
IMPORT_EXPLANATION = (
    "Reads the output of cibadmin --query. Links are not in a CIB: give them, as for init. authkeys is not "
    "written; failoverctl init makes one. Exit code: 0 all of it fits, 1 something does not and was left out, "
    "2 usage, or no CIB of two nodes, 3 there are files already, 4 no permission, 6 python3-lxml is not installed."
)

FORMATS = ("cib", "pcs", "crm", "corosync")
LARGEST_CIB_BYTES = 16 << 20
_VERSION = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){1,2}")


def _version(text: str) -> tuple[int, ...]:
    if not _VERSION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text} is no version; give for example 2.1 or 3.0.2")
    found = tuple(int(part) for part in text.split("."))
    if not (2, 0) <= found < (4,):
        raise argparse.ArgumentTypeError(f"{text}: Pacemaker 2 and 3 are known here; give for example 2.1 or 3.0.2")
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of export-cib."""
    parser.add_argument(
        "--format", choices=FORMATS, default="cib", dest="form", help="what is printed (%(default)s)"
    )
    parser.add_argument(
        "--config-dir", default=configfiles.CONFIG_DIR, metavar="DIR", help="with the three files (%(default)s)"
    )
    parser.add_argument(
        "--agents", choices=("ours", "clusterlabs"), default="ours", help="where both have one (%(default)s)"
    )
    parser.add_argument(
        "--pacemaker", type=_version, default=(2, 1), metavar="VERSION",
        help="that will read it (2.1); from 3.0.2 on stonith-enabled is called fencing-enabled",
    )  # fmt: skip
    parser.add_argument(
        "--map", action="append", default=[], metavar="NAME=RESOURCE",
        help="what stands in for a script that Pacemaker cannot run, as in haresources: recordd=systemd:recordd",
    )  # fmt: skip
    parser.add_argument("--node", default="", metavar="NAME", help="this node's name in ha.cf (uname -n)")
    parser.add_argument(
        "--output", default="", metavar="FILE", help="write it there, mode 0600, and not to standard output"
    )
    parser.add_argument(
        "--with-secrets", action="store_true", help="passwords of ha.cf, too, into --output; many may read a CIB"
    )
    parser.add_argument("--report", action="store_true", help="print what is said of it, and not the cluster")


def run(options: argparse.Namespace) -> int:
    """Translate and print; returns the exit code."""
    from failover_kit.manager.config import ConfigError

    if options.with_secrets and (not options.output or options.form == "pcs"):
        why = (
            "pcs would have them in its arguments, where everybody reads them; use --format cib or crm"
            if options.output
            else "give --output FILE: secrets are not printed"
        )
        return _complain(ExitCode.USAGE, f"--with-secrets: {why}")
    try:
        wishes = _wishes(options)
        loaded = configfiles.load(options.config_dir)
    except _Usage as error:
        return _complain(ExitCode.USAGE, str(error))
    except ConfigError as error:
        for problem in error.problems:
            _say(str(problem))
        return ExitCode.CONFIGURATION.value
    return _exported(options, loaded, wishes)


def _exported(options: argparse.Namespace, loaded: LoadedConfig, wishes: Wishes) -> int:
    from failover_kit.cib.translate import cluster_of
    from failover_kit.manager.callers import default_search

    cluster = cluster_of(loaded.config, default_search(os.environ), wishes, loaded.notes)
    cluster = replace(cluster, remarks=(*cluster.remarks, *_alerts(options.config_dir)))
    code = ExitCode.FAILED.value if cluster.left_out() else ExitCode.DONE.value
    if options.report:
        for remark in cluster.remarks:
            print(remark)
        return code
    try:
        text = _text(options, loaded, cluster)
    except ValueError as error:
        return _complain(ExitCode.CONFIGURATION, f"a value of these files cannot stand in a CIB: {error}")
    except ModuleNotFoundError as error:
        return _without_lxml(error)
    if options.output:
        try:
            _write(options.output, text, 0o600)
        except OSError as error:
            return _not_written(options.output, error)
    else:
        sys.stdout.write(text)
        sys.stdout.flush()
    for remark in _of_form(cluster.remarks, options.form):
        _say(str(remark))
    return code


def _alerts(config_dir: str) -> list[Remark]:
    """A remark for each alert script: Pacemaker runs them, too, but from its CIB."""
    from failover_kit.cib.model import Fate, Remark

    folder = os.path.join(config_dir, "alerts.d")
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    why = "the same script runs under Pacemaker: pcs alert create path=…, with what its .conf says as options"
    scripts = [path for name in names if os.access(path := os.path.join(folder, name), os.X_OK)]
    return [Remark(Fate.DROPPED, f"alert {path}", why) for path in scripts if os.path.isfile(path)]


def _text(options: argparse.Namespace, loaded: LoadedConfig, cluster: Cluster) -> str:
    made = (f"made by failoverctl export-cib from {options.config_dir}; what it said of it is below",)
    remarks = tuple(str(remark) for remark in cluster.remarks)
    if options.form == "corosync":
        from failover_kit.cib.corosync import corosync_conf

        return corosync_conf(loaded.config, _here(loaded, options.node))
    if options.form == "cib":
        from failover_kit.cib.writexml import as_text

        return as_text(cluster, (*made, *remarks))
    from failover_kit.cib.commands import as_crm, as_pcs

    return (as_pcs if options.form == "pcs" else as_crm)(cluster, (*made, *remarks))


def _here(loaded: LoadedConfig, node: str) -> Here | None:
    """This node and its networks; None when it is none of the two."""
    from failover_kit.cib.corosync import Here
    from failover_kit.manager import host

    name = (node or os.uname().nodename).lower()
    return Here(name, host.own_networks()) if name in loaded.config.nodes else None


def _of_form(remarks: Sequence[Remark], form: str) -> list[Remark]:
    """corosync.conf is asked for beside a CIB, which has told everything."""
    return [remark for remark in remarks if form != "corosync" or "corosync" in remark.why]


class _Usage(Exception):
    """The arguments cannot be meant; ``str()`` says why."""


def _wishes(options: argparse.Namespace) -> Wishes:
    from failover_kit.cib.resources import Agents
    from failover_kit.cib.translate import Wishes

    return Wishes(
        agents=Agents(options.agents),
        version=options.pacemaker,
        with_secrets=options.with_secrets,
        stand_ins=dict(_stand_in(text) for text in options.map),
    )


def _stand_in(text: str) -> tuple[str, Resource]:
    """``recordd=systemd:recordd``: read as haresources reads it."""
    from failover_kit.manager import haresources
    from failover_kit.manager.config import ResourceKind

    name, _, word = text.partition("=")
    parsed = haresources.parse(f"here {word}\n", None, "--map") if name and len(word.split()) == 1 else None
    resource = parsed.value[0].resources[0] if parsed is not None and parsed.value else None
    if resource is None or resource.kind is ResourceKind.SCRIPT:
        why = f": {parsed.problems[0].text}" if parsed is not None and parsed.problems else ""
        raise _Usage(
            f"--map {text!r} is not NAME=ocf:PROVIDER:TYPE::name=value, NAME=systemd:UNIT or NAME=lsb:SCRIPT{why}"
        )
    return name, resource


def _write(path: str, text: str, mode: int) -> None:
    """A new file with this mode from its first byte on, in the place of an old one."""
    beside = f"{path}.new.{os.getpid()}"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def _not_written(path: str, error: OSError) -> int:
    denied = isinstance(error, PermissionError)
    text = f"{path}: {error.strerror}; run it as root, or give another --output"
    return _complain(ExitCode.PERMISSION if denied else ExitCode.FAILED, text)


def _without_lxml(error: ModuleNotFoundError) -> int:
    """The answer where lxml is not installed: the package only suggests it. Raises ``error`` again for another."""
    if (error.name or "").partition(".")[0] != "lxml":
        raise error
    return _complain(ExitCode.CONFIGURATION, "XML needs the Python module lxml; install the package python3-lxml")


def _complain(code: ExitCode, text: str) -> int:
    _say(text)
    return code.value


def _say(text: str) -> None:
    print(f"failoverctl: {text}", file=sys.stderr)


# --- import-cib -----------------------------------------------------------------------------------------


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of import-cib."""
    parser.add_argument("file", nargs="?", default="-", metavar="FILE", help="the CIB (standard input)")
    parser.add_argument("--serial", action="append", default=[], metavar="DEVICE", help="a serial line")
    parser.add_argument(
        "--link", action="append", default=[], metavar="INTERFACE=A,B",
        help="a network for heartbeats, with the address of each node on it",
    )  # fmt: skip
    parser.add_argument("--deadtime", default="10", metavar="SECONDS", help="until silent (%(default)s)")
    parser.add_argument(
        "--agents", choices=("ours", "clusterlabs"), default="clusterlabs",
        help="ours: put our agents in the place of ClusterLabs' where both have one (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--output-dir", default="", metavar="DIR", help="write the two files there; what exists is left alone"
    )


def run_import(options: argparse.Namespace) -> int:
    """Read, translate, print or write; returns the exit code."""
    try:
        from failover_kit.cib.imported import Importer, Terms
        from failover_kit.cib.readxml import NotACib, Reader
    except ModuleNotFoundError as error:
        return _without_lxml(error)
    from failover_kit.cib.model import Fate
    from failover_kit.cib.resources import Agents

    try:
        terms = Terms(links=_links(options), deadtime=options.deadtime, agents=Agents(options.agents))
        reader = Reader()
        importer = Importer(reader.read(_cib(options.file)), terms, reader)
    except _Usage as error:
        return _complain(ExitCode.USAGE, str(error))
    except NotACib as error:
        where = "standard input" if options.file == "-" else options.file
        return _complain(ExitCode.USAGE, f"{where}: {error}")
    except OSError as error:
        denied = isinstance(error, PermissionError)
        text = f"{options.file}: {error.strerror}; name a file with what cibadmin --query prints"
        return _complain(ExitCode.PERMISSION if denied else ExitCode.USAGE, text)
    ha_cf, resources = importer.texts()
    if options.output_dir:
        written = _into(options.output_dir, {"ha.cf": ha_cf, "haresources": resources})
        if written is not ExitCode.DONE:
            return int(written.value)
    else:
        print(f"--- ha.cf\n{ha_cf}\n--- haresources\n{resources}", end="", flush=True)
    remarks = importer.remarks
    for remark in remarks:
        _say(str(remark))
    code = ExitCode.FAILED if any(remark.fate is Fate.LEFT_OUT for remark in remarks) else ExitCode.DONE
    return code.value


def _cib(path: str) -> bytes:
    if path == "-":
        data = sys.stdin.buffer.read(LARGEST_CIB_BYTES + 1)
    else:
        with open(path, "rb") as file:
            data = file.read(LARGEST_CIB_BYTES + 1)
    if len(data) > LARGEST_CIB_BYTES:
        raise _Usage(f"{path}: more than {LARGEST_CIB_BYTES >> 20} MiB; this is no CIB of a pair")
    return data


def _links(options: argparse.Namespace) -> tuple[str, ...]:
    """Lines of ha.cf for what --serial and --link give."""
    lines = [f"serial {device}" for device in options.serial]
    for text in options.link:
        interface, _, rest = text.partition("=")
        addresses = [word.strip() for word in rest.split(",")]
        if not interface or len(addresses) != 2 or not all(addresses):
            raise _Usage(f"--link {text!r} is not INTERFACE=ADDRESS,ADDRESS; give the address of each node on it")
        lines += [f"ucast {interface} {address}" for address in addresses]
    if any(sign in line for line in lines for sign in "\n#,"):
        raise _Usage("--link and --serial: a sign that no ha.cf takes in a name; correct it")
    return tuple(lines)


def _into(directory: str, files: dict[str, str]) -> ExitCode:
    there = [name for name in files if os.path.lexists(os.path.join(directory, name))]
    if there:
        _say(f"{', '.join(os.path.join(directory, name) for name in there)}: there already, nothing was written")
        return ExitCode.REFUSED
    for name, text in files.items():
        path = os.path.join(directory, name)
        try:
            _write(path, text, 0o600)
        except OSError as error:
            _say(f"{path}: {error.strerror}; run it as root, or give another --output-dir")
            return ExitCode.PERMISSION if isinstance(error, PermissionError) else ExitCode.FAILED
        print(f"written: {path} (mode 0600)")
    return ExitCode.DONE
