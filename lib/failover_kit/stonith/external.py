"""cluster-glue's ``external/*`` plugins: one executable each.

The protocol is external.c's of cluster-glue 1.0.12: the operation is the first argument, the node the
second, parameters are environment variables, lists are read whole from stdout and split at white space.
Unlike there, no shell stands between us and the plugin, the environment is only what the plugin's own
description names, and nothing is run that others may write.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence

from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CommandMissing, CommandResult, CommandTimeout
from failover_kit.stonith.child import run_child
from failover_kit.stonith.codes import Code, StonithError
from failover_kit.stonith.device import OPERATION_MS, Description, check_script_node
from failover_kit.stonith.log import StonithLog
from failover_kit.stonith.parameters import Parameters, from_environment

PREFIX = "external/"
# Where ha_log.sh is, which plugins write their log with. Debian's place first.
_LOG_DIRECTORIES = ("/usr/share/cluster-glue", "/usr/libexec/heartbeat", "/usr/lib/heartbeat")
# Where it writes to, when Heartbeat or Pacemaker has told its children.
_LOG_SETTINGS = ("HA_LOGD", "HA_LOGFACILITY", "HA_LOGFILE", "HA_DEBUGLOG", "HA_debug", "CRM_meta_st_device_id")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_SEVERITY = re.compile(r"(CRIT|ERROR|WARN|info): ")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What a parameter must not be called: it would change how the plugin's interpreter works, not what it does.
_NO_PARAMETER = re.compile(r"PATH|IFS|ENV|BASH_.*|SHELLOPTS|LD_.*|PYTHON.*|PERL.*|RUBY.*|HA_LOGTAG")


def unusable(path: str) -> str:
    """Why the file cannot be run as a plugin; empty when it can."""
    try:
        status = os.stat(path)
    except OSError as error:
        return f"{path}: {error.strerror}"
    if not stat.S_ISREG(status.st_mode) or not status.st_mode & 0o111:
        return f"{path} is not an executable file"
    if status.st_mode & 0o022:
        return f"{path} can be written by its group or by others; chmod go-w {path}"
    return ""


def plugins(directories: Sequence[str]) -> list[str]:
    """The type names of all usable plugins."""
    found: set[str] = set()
    for directory in directories:
        try:
            entries = os.listdir(directory)
        except OSError:
            continue
        found.update(name for name in entries if _NAME.fullmatch(name) and not unusable(f"{directory}/{name}"))
    return sorted(PREFIX + name for name in found)


def find(name: str, directories: Sequence[str], until: Deadline) -> ExternalType:
    """The type called ``external/...``. Raises StonithError with Code.OOPS."""
    plugin = name.removeprefix(PREFIX)
    if not _NAME.fullmatch(plugin):
        raise StonithError(Code.OOPS, f"Invalid device type: '{name}'")
    reasons = []
    for directory in directories:
        path = os.path.join(directory, plugin)
        reason = unusable(path)
        if not reason:
            return ExternalType(name, path, until)
        reasons.append(reason)
    raise StonithError(Code.OOPS, "\n".join([f"Invalid device type: '{name}'", *reasons]))


class ExternalType:
    """One plugin. What it says about itself is asked when needed, ``until`` when it must have answered."""

    shows_dialogue = False

    def __init__(self, name: str, path: str, until: Deadline) -> None:
        self.name = name
        self._until = until
        self._path = path
        self._names: tuple[str, ...] | None = None

    def names(self) -> tuple[str, ...]:
        if self._names is None:
            self._names = tuple(self._ask("getconfignames").split())
        return self._names

    required = names

    def environment(self, environ: Mapping[str, str]) -> Parameters:
        """Those named by getconfignames and by the XML: the optional ones stand only there."""
        optional = re.findall(r"<parameter\s[^>]*?\bname\s*=\s*[\"']([^\"'<>]+)[\"']", self._ask("getinfo-xml"))
        return from_environment(tuple(dict.fromkeys((*self.names(), *optional))), environ)

    def describe(self) -> Description:
        return Description(
            device_id=self._ask("getinfo-devid"),
            text=self._ask("getinfo-devdescr"),
            url=self._ask("getinfo-devurl"),
            parameters=self._ask("getinfo-xml"),
        )

    def configure(self, parameters: Parameters, log: StonithLog) -> ExternalDevice:
        """A missing parameter is the plugin's to judge: many have optional ones among those they list."""
        for name, value in parameters.items():
            if not _VARIABLE.fullmatch(name) or _NO_PARAMETER.fullmatch(name):
                raise StonithError(Code.BADCONFIG, f"{name[:40]!r} cannot be the name of a plugin's parameter")
            if "\0" in value:
                raise StonithError(Code.BADCONFIG, f"the value of {name} has a zero byte in it")
        return ExternalDevice(self, parameters, log)

    def run(self, arguments: Sequence[str], parameters: Mapping[str, str], deadline: Deadline) -> CommandResult:
        """One call of the plugin. Raises StonithError when it cannot be run or does not end."""
        reason = unusable(self._path)
        if reason:
            raise StonithError(Code.OOPS, reason)
        path = [*(place for place in _LOG_DIRECTORIES if os.path.isdir(place)), "/usr/sbin:/usr/bin:/sbin:/bin"]
        env = {"HA_LOGD": "no"}
        env.update((name, os.environ[name]) for name in _LOG_SETTINGS if name in os.environ)
        env.update(parameters)
        env.update({"PATH": ":".join(path), "HA_LOGTAG": self.name, "HOME": os.environ.get("HOME", "/")})
        try:
            # ha_log.sh writes to stderr when its standard input is a terminal, and to syslog otherwise.
            return run_child([self._path, *arguments], deadline, env=env, stdin=None if os.isatty(0) else "")
        except CommandTimeout as error:
            raise StonithError(Code.TIMEOUT, f"'{self.name} {arguments[0]}' was stopped: {error}") from None
        except CommandMissing as error:
            raise StonithError(Code.OOPS, str(error)) from None

    def _ask(self, question: str) -> str:
        result = self.run([question], {}, self._until)
        if not result.ok():
            raise StonithError(Code.OOPS, f"'{self.name} {question}' failed with rc {result.code}")
        return result.stdout


class ExternalDevice:
    """A plugin with its parameters."""

    def __init__(self, plugin: ExternalType, parameters: Parameters, log: StonithLog) -> None:
        self._plugin = plugin
        self._parameters = parameters
        self._log = log

    def budget_ms(self, _operation: str) -> int:
        return OPERATION_MS

    def status(self, deadline: Deadline) -> None:
        result = self._run(["status"], deadline)
        if not result.ok():
            raise StonithError(Code.BADCONFIG, f"'{self._plugin.name} status' failed with rc {result.code}")

    def hosts(self, deadline: Deadline) -> tuple[str, ...]:
        result = self._run(["gethosts"], deadline)
        if not result.ok():
            raise StonithError(Code.OOPS, f"'{self._plugin.name} gethosts' failed with rc {result.code}")
        hosts = tuple(result.stdout.split())
        if not hosts:
            raise StonithError(Code.OOPS, f"'{self._plugin.name} gethosts' returned an empty hostlist")
        return hosts

    def act(self, action: str, node: str, deadline: Deadline) -> None:
        check_script_node(node)
        victim = node.lower()
        result = self._run([action, victim], deadline)
        if not result.ok():
            text = f"'{self._plugin.name} {action}' for host {victim} failed with rc {result.code}"
            raise StonithError(Code.RESETFAIL, text)

    def _run(self, arguments: Sequence[str], deadline: Deadline) -> CommandResult:
        result = self._plugin.run(arguments, self._parameters, deadline)
        for line in result.stderr.splitlines():
            # Our own plugins say how bad it is; of what others write nobody knows.
            severity = _SEVERITY.match(line)
            if severity:
                self._log.write(severity[1], line[severity.end() :])
            elif line.strip():
                self._log.warning(line)
        return result
