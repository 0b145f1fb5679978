"""Fence agents as stonith devices: any installed ``fence_*``, and our own under an old name.

The agent is a child that reads ``name=value`` lines (FenceAgentAPI of fence-agents; fencing.md of Pacemaker
for ``nodename`` and the host argument), so no parameter is ever in an argument list. Fence agents answer
with 0 or 1 only; which S_* code a failure gets is read from fence-agents' fixed wording.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from failover_kit.fence.options import stdin_line
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CommandMissing, CommandResult, CommandTimeout
from failover_kit.stonith.agentinfo import NEVER_PARAMETERS, AgentInfo, read_metadata
from failover_kit.stonith.child import run_child
from failover_kit.stonith.codes import Code, StonithError
from failover_kit.stonith.device import OPERATION_MS, Description, check_node, missing, parameter_xml
from failover_kit.stonith.external import unusable
from failover_kit.stonith.log import StonithLog
from failover_kit.stonith.parameters import Parameters, from_environment

_NAME = re.compile(r"fence_[A-Za-z0-9_]+")
# Agents strip their lines: " action=on" would take the place of the action, and "#" make a comment.
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
# Helpers for people or for a fencer, not devices; fence_legacy would call stonith again.
_NO_AGENTS = frozenset(("fence_legacy", "fence_pcmk", "fence_ack_manual", "fence_check", "fence_watchdog"))
OWN_AGENT = "fence_wti_ips800"
_AGENT_EXIT_OFF = 2
_ACTIONS = {"on": "on", "off": "off", "reset": "reboot"}

# fence-agents' words (fence/agents/lib/fencing.py, EC_*), the particular before the general.
_FAILURES = (
    (re.compile(r"Timed out waiting to power", re.I), Code.RESETFAIL),
    (re.compile(r"no plug .* on this device", re.I), Code.BADHOST),
    (re.compile(r"^(?:Failed: )?(?:the )?password (?:file|script)\b", re.I), Code.BADCONFIG),
    (re.compile(r"Unable to connect/login|login denied|password", re.I), Code.ACCESS),
    (re.compile(r"timed out|timeout", re.I), Code.TIMEOUT),
    (re.compile(r"Connection lost", re.I), Code.ACCESS),
)
_LOG_HEAD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?P<level>[A-Z]+): ?")


@dataclass(frozen=True, slots=True)
class Wording:
    """What is said on success, for types with words of their own; ``{0}`` is the node, ``{1}`` the plugs."""

    login: str = ""
    on: str = "Power to host is on: {0}"
    off: str = "Power to host is off: {0}"
    rebooting: str = "Host is being rebooted: {0}"
    restored: str = "Power restored to host: {0}"


def agents(directories: Sequence[str]) -> list[str]:
    """The names of all installed fence agents."""
    found: set[str] = set()
    for directory in directories:
        try:
            entries = os.listdir(directory)
        except OSError:
            continue
        names = (name for name in entries if _NAME.fullmatch(name) and name not in _NO_AGENTS)
        found.update(name for name in names if not unusable(f"{directory}/{name}"))
    return sorted(found)


def find_agent(name: str, directories: Sequence[str]) -> str:
    """The agent's path. Raises StonithError with Code.OOPS."""
    reasons = []
    if _NAME.fullmatch(name) and name not in _NO_AGENTS:
        for directory in directories:
            path = os.path.join(directory, name)
            reason = unusable(path)
            if not reason:
                return path
            reasons.append(reason)
    raise StonithError(Code.OOPS, "\n".join([f"Invalid device type: '{name}'", *reasons]))


class AgentType:
    """A fence agent under its own name. Parameters are the agent's, as its metadata has them."""

    def __init__(self, name: str, path: str, until: Deadline) -> None:
        """``until``: when its metadata must be there."""
        self.name = name
        self.shows_dialogue = name == OWN_AGENT
        self._path = path
        self._until = until
        self._info: AgentInfo | None = None

    @property
    def info(self) -> AgentInfo:
        if self._info is None:
            self._info = read_metadata(self.name, self._path, self._until)
        return self._info

    def names(self) -> tuple[str, ...]:
        """The required ones first."""
        optional = tuple(p.name for p in self.info.parameters if not p.required and not p.deprecated)
        return (*self.required(), *optional)

    def required(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.info.parameters if p.required and not p.deprecated)

    def environment(self, environ: Mapping[str, str]) -> Parameters:
        return from_environment(tuple(p.name for p in self.info.parameters), environ)

    def describe(self) -> Description:
        elements = [
            parameter_xml(p.name, p.kind, p.shortdesc or p.name, p.shortdesc or p.name, required=p.required)
            for p in self.info.parameters
            if not p.deprecated
        ]
        return Description(
            device_id=self.info.shortdesc,
            text=self.info.longdesc,
            url=self.info.url,
            parameters=f"<parameters>{''.join(elements)}</parameters>",
        )

    def configure(self, parameters: Parameters, log: StonithLog) -> AgentDevice:
        aliases = {p.replaces: p.name for p in self.info.parameters if p.replaces}
        given = {aliases.get(name, name) for name in parameters}
        absent = tuple(name for name in self.required() if name not in given)
        if absent:
            raise missing(self, absent)
        return AgentDevice(self.name, self._path, self.info, parameters, log)


class AgentDevice:
    """An agent with its parameters."""

    def __init__(
        self,
        name: str,
        path: str,
        info: AgentInfo,
        parameters: Parameters,
        log: StonithLog,
        *,
        wording: Wording | None = None,
        own_budget_ms: Callable[[str], int] | None = None,
        names_are_targets: bool = False,
    ) -> None:
        """``names_are_targets``: the second column of the agent's list can be fenced, and is what to show.

        ``own_budget_ms``: how long the agent itself gives an action; it then also gets ``timeout``.
        """
        for parameter, value in parameters.items():
            if not _PARAMETER.fullmatch(parameter):
                raise StonithError(Code.BADCONFIG, f"{parameter[:40]!r} cannot be the name of a parameter")
            if any(ord(char) < 32 for char in value):
                raise StonithError(Code.BADCONFIG, f"the value of {parameter[:40]} has a control character in it")
        self._name = name
        self._path = path
        self._info = info
        self._parameters = {k: v for k, v in parameters.items() if k.lower() not in NEVER_PARAMETERS}
        self._log = log
        self._wording = wording or Wording()
        self._own_budget_ms = own_budget_ms
        self._names_are_targets = names_are_targets

    def budget_ms(self, operation: str) -> int:
        if self._own_budget_ms is None:
            return OPERATION_MS
        return self._own_budget_ms(_ACTIONS.get(operation, operation))

    def status(self, deadline: Deadline) -> None:
        action = "monitor" if "monitor" in self._info.actions else "status"
        self._must(action, self._call(action, "", deadline))

    def hosts(self, deadline: Deadline) -> tuple[str, ...]:
        if "list" not in self._info.actions:
            raise StonithError(Code.OOPS, f"{self._name} cannot list hosts")
        result = self._call("list", "", deadline)
        self._must("list", result)
        separator = self._parameters.get("separator") or ","
        hosts = []
        for line in result.stdout.splitlines():
            plug, _, name = line.strip().partition(separator)
            host = plug.strip()
            if self._names_are_targets:
                # What fence_wti lists as a name it cannot fence; ours can. An unnamed plug is nobody's, and
                # what stands in the first column and is no number is a group.
                host = (name.strip() or ("" if host.isdigit() else host)).lower()
            if host:
                hosts.append(host)
        return tuple(hosts)

    def act(self, action: str, node: str, deadline: Deadline) -> None:
        check_node(node)
        if self._names_are_targets and (self._parameters.get("plug_separator") or ",") in node:
            # One node is one name here, on however many plugs; a list would fence others with it.
            raise StonithError(Code.BADHOST, f"{self._name} doesn't control host [{node}]: that is a list")
        verb = _ACTIONS[action]
        if verb not in self._info.actions:
            raise StonithError(Code.OOPS, f"{self._name} cannot do {verb}")
        result = self._call(verb, node, deadline)
        errors = self._must(verb, result, node)
        if action == "reset":
            self._log.info(self._wording.rebooting.format(node))
            if errors:
                # Power was proved off, which is what fencing is for; the agent says what it could not do.
                self._log.warning(f"Power is not known to be restored to host: {node}")
            else:
                self._log.info(self._wording.restored.format(node))
        else:
            self._log.info((self._wording.on if action == "on" else self._wording.off).format(node))

    def _call(self, action: str, node: str, deadline: Deadline) -> CommandResult:
        lines = {"action": action, **self._parameters}
        if self._own_budget_ms is not None:
            # The agent ends by itself and logs out; being stopped by us is the second line.
            mine_ms = max(1000, deadline.left_ms() - 2000)
            lines["timeout"] = f"{min(mine_ms, self._own_budget_ms(action)) / 1000:g}"
        if node:
            lines["nodename"] = node
            if self._info.host_argument:
                lines[self._info.host_argument] = node
        text = "".join(stdin_line(name, value) for name, value in lines.items())
        try:
            env = {"HOME": os.environ.get("HOME", "/")}
            variable = self._parameters.get("password_env", "")
            if variable in os.environ:
                env.setdefault(variable, os.environ[variable])
            return run_child([self._path], deadline, env=env, stdin=text)
        except CommandTimeout as error:
            raise StonithError(Code.TIMEOUT, f"'{self._name} {action}' was stopped: {error}") from None
        except CommandMissing as error:
            raise StonithError(Code.OOPS, str(error)) from None

    def _must(self, action: str, result: CommandResult, node: str = "") -> bool:
        """Log what the agent said; True when there were errors all the same. Raises StonithError on failure."""
        errors = []
        for line in result.stderr.splitlines():
            head = _LOG_HEAD.match(line)
            text = line[head.end() :] if head else line.strip()
            if not text.strip():
                continue
            if head and head["level"] == "ERROR":
                errors.append(text)
            elif head and head["level"] == "DEBUG":
                self._log.info(text)
            else:
                self._log.warning(text)
        good = (0, _AGENT_EXIT_OFF) if action == "status" else (0,)
        if result.code in good:
            for text in errors:
                self._log.error(text)
            if self._wording.login:
                self._log.info(self._wording.login)
            return bool(errors)
        reason = "\n".join(errors) or f"exit code {result.code}: {result.last_line()}"
        code = _code_of(reason, Code.RESETFAIL if node else Code.OOPS)
        if code is Code.BADHOST:
            reason += f"\n{self._parameters.get('ip') or self._parameters.get('ipaddr') or self._name} "
            reason += f"doesn't control host [{node}]"
        raise StonithError(code, reason)


def _code_of(reason: str, otherwise: Code) -> Code:
    for pattern, code in _FAILURES:
        if pattern.search(reason):
            return code
    return otherwise
