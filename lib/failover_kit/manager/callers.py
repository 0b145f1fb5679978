"""How one resource is called and how its answers are read: OCF agents, haresources and init scripts, units.

A plain name is looked for as one of our agents, then in /etc/ha.d/resource.d and /etc/init.d, then among the
names that Heartbeat had (``heartbeatnames``), then as a unit of systemd; the first that is there is meant.

Nothing runs here. ``plan_groups`` looks at the host once, when failoverd starts, and finds every program
the configuration needs, or says all that is missing; nothing is ever executed by guess.

Sources: OCF Resource Agent API 1.1; Pacemaker's ``services_linux.c`` for the environment; Heartbeat 3.0.6
``ResourceManager`` for scripts, where the *text* of ``status`` tells who owns a resource; systemctl(1).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from failover_kit.agents.haresources import parameters_for
from failover_kit.manager import heartbeatnames, units
from failover_kit.manager.actionspace import Cell
from failover_kit.manager.children import Ended
from failover_kit.manager.config import ClusterConfig, Group, Resource, ResourceKind

OUR_PROVIDER = "failover-kit"
UNIT_FOLDERS = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
EXIT_REASON_PREFIX = "ocf-exit-reason:"

OCF_SUCCESS, OCF_NOT_RUNNING, OCF_DEGRADED = 0, 7, 190
LSB_RUNNING, LSB_NOT_RUNNING = 0, 3  # LSB Core, init script actions; 1 and 2: dead, with something left behind

_OCF_MEANING = {
    1: "error",
    2: "wrong arguments",
    3: "not implemented",
    4: "not permitted",
    5: "something it needs is not installed",
    6: "wrong configuration",
    7: "not running",
    190: "degraded",
}


class CallKind(Enum):
    """Whose calling convention a resource follows."""

    OCF = "ocf"
    SCRIPT = "script"  # of Heartbeat: what ``status`` prints counts
    LSB = "lsb"  # an init script by the standard: its exit code counts
    UNIT = "unit"


class Finding(Enum):
    """What a monitor says. Doubt is an answer of its own and never taken for stopped."""

    RUNNING = "running"
    STOPPED = "stopped"
    DOUBT = "doubt"


@dataclass(frozen=True, slots=True)
class Search:
    """Where programs are looked for; tests and the checkout give other places."""

    ocf_own: tuple[str, ...]  # agents of our provider
    ocf_root: str = "/usr/lib/ocf"
    scripts: tuple[str, ...] = ("/etc/ha.d/resource.d", "/etc/init.d")
    init: str = "/etc/init.d"  # for ``lsb:``
    units: tuple[str, ...] = UNIT_FOLDERS
    systemctl: str = "/usr/bin/systemctl"
    fence: tuple[str, ...] = ("/usr/sbin", "/usr/bin")
    stonith: tuple[str, ...] = ("/usr/sbin/stonith",)  # the command for plugins of cluster-glue


def default_search(environment: Mapping[str, str]) -> Search:
    """The checkout's own agents when run from one, else the installed ones."""
    here = os.path.dirname(os.path.abspath(__file__))
    checkout = os.path.normpath(os.path.join(here, "..", "..", ".."))
    ocf_root = environment.get("OCF_ROOT", "/usr/lib/ocf")
    installed = os.path.join(ocf_root, "resource.d", OUR_PROVIDER)
    own = (os.path.join(checkout, "ocf"), installed)
    fence = (os.path.join(checkout, "stonith"), "/usr/lib/failover-kit/stonith", "/usr/sbin", "/usr/bin")
    stonith = (
        os.path.join(checkout, "stonith", "stonith"),
        "/usr/lib/failover-kit/compat/stonith",
        "/usr/sbin/stonith",
    )
    return Search(ocf_own=own, ocf_root=ocf_root, fence=fence, stonith=stonith)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One resource of a group, ready to be called. Times in milliseconds."""

    name: str  # for people: Filesystem:/dev/etherd/e0.0
    instance: str  # for files and agents: letters, digits, dots and dashes, unique on the node
    kind: CallKind
    program: str
    args: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    type: str = ""
    provider: str = ""
    node: str = ""
    ocf_root: str = "/usr/lib/ocf"
    monitor_interval_ms: int
    monitor_depth: int = 0  # OCF_CHECK_LEVEL of the recurring monitor
    default_timeout_ms: int
    timeouts_ms: tuple[tuple[str, int], ...] = ()

    def timeout_ms(self, action: str) -> int:
        """The time limit of one call."""
        return dict(self.timeouts_ms).get(action, self.default_timeout_ms)

    def argv(self, action: str, *, now: bool = False) -> tuple[str, ...]:
        """The command for start, stop or monitor. ``now``: the stop of a unit shall wait for no other unit."""
        if self.kind is CallKind.OCF:
            return (self.program, action)
        if self.kind in (CallKind.SCRIPT, CallKind.LSB):
            return (self.program, *self.args, "status" if action == "monitor" else action)
        if action == "monitor":
            return (self.program, "show", f"--property={','.join(units.PROPERTIES)}", self.args[0])
        mode = ("--job-mode=ignore-dependencies",) if now else ()
        return (self.program, action, *mode, self.args[0])

    def environment(self, action: str, interval_ms: int = 0) -> dict[str, str]:
        """What Pacemaker would set, so that any OCF agent feels at home; for scripts what Heartbeat set.

        The depth is for the recurring monitor (the one with an interval): a probe, a start and a stop only ask
        whether it runs. Heartbeat's scripts hand it through to the OCF agents behind them.
        """
        depth = self.monitor_depth if action == "monitor" and interval_ms else 0
        if self.kind is not CallKind.OCF:
            return {"HA_CURHOST": self.node} | ({"OCF_CHECK_LEVEL": str(depth)} if depth else {})
        environment = {
            "OCF_ROOT": self.ocf_root,
            "OCF_RA_VERSION_MAJOR": "1",
            "OCF_RA_VERSION_MINOR": "1",
            "OCF_EXIT_REASON_PREFIX": EXIT_REASON_PREFIX,
            "OCF_RESOURCE_INSTANCE": self.instance,
            "OCF_RESOURCE_TYPE": self.type,
            "OCF_RESOURCE_PROVIDER": self.provider,
            "OCF_CHECK_LEVEL": str(depth),
            "OCF_RESKEY_CRM_meta_timeout": str(self.timeout_ms(action)),
            "OCF_RESKEY_CRM_meta_interval": str(interval_ms),
            "OCF_RESKEY_CRM_meta_name": action,
            "OCF_RESKEY_CRM_meta_on_node": self.node,
            "HA_debug": "0",
        }
        environment.update((f"OCF_RESKEY_{name}", value) for name, value in self.parameters)
        return environment

    def failure(self, ended: Ended) -> str:
        """"" when a start or stop succeeded, else the reason in the agent's own words."""
        if ended.failure:
            return ended.failure
        if ended.code == 0:
            return ""
        return self._words(ended)

    def finding(self, ended: Ended) -> tuple[Finding, str]:
        """What a monitor found, and the reason when that is not plainly running or stopped."""
        if ended.failure or ended.code is None:
            return Finding.DOUBT, ended.failure
        if self.kind is CallKind.OCF:
            found = {
                OCF_SUCCESS: Finding.RUNNING,
                OCF_DEGRADED: Finding.RUNNING,
                OCF_NOT_RUNNING: Finding.STOPPED,
            }.get(ended.code, Finding.DOUBT)
        elif self.kind is CallKind.SCRIPT:
            found = script_finding(ended.stdout, ended.code)
        elif self.kind is CallKind.LSB:
            lsb = {LSB_RUNNING: Finding.RUNNING, LSB_NOT_RUNNING: Finding.STOPPED}
            found = lsb.get(ended.code, Finding.DOUBT)
        else:
            found, reason = unit_finding(units.read(ended.stdout))
            if reason:
                return found, reason
        return found, "" if found is Finding.RUNNING else self._words(ended)

    def degraded(self, ended: Ended) -> str:
        """What is wrong with an OCF resource that runs all the same (OCF_DEGRADED), in its words; else ""."""
        is_so = self.kind is CallKind.OCF and not ended.failure and ended.code == OCF_DEGRADED
        return self._words(ended) if is_so else ""

    def is_queued(self, ended: Ended) -> bool:
        """Whether systemd has a job for this unit, by the answer of a monitor."""
        return self.kind is CallKind.UNIT and units.read(ended.stdout).queued

    def left_behind(self, ended: Ended) -> Cell | None:
        """Where a unit that was stopped left processes, by the answer of a monitor."""
        return units.read(ended.stdout).left if self.kind is CallKind.UNIT else None

    def _words(self, ended: Ended) -> str:
        """The exit reason an OCF agent gave, else the last line, with the code."""
        reasons = [line for line in ended.stderr.splitlines() if EXIT_REASON_PREFIX in line]
        said = reasons[-1].partition(EXIT_REASON_PREFIX)[2].strip() if reasons else ended.last_line()
        if self.kind is CallKind.OCF and ended.code in _OCF_MEANING:
            code = f"exit {ended.code}, {_OCF_MEANING[ended.code]}"
        elif ended.code is not None and ended.code < 0:
            code = f"killed by signal {-ended.code}"
        else:
            code = f"exit {ended.code}"
        for name, value in self.parameters:
            if value and re.search(r"pass|secret|token", name, re.IGNORECASE):
                said = said.replace(value, "***")
        return f"{said} ({code})" if said else code


# "(pid 12) is running", "running..."; not "checking for running processes:", the head of a list.
_RUNS = re.compile(r"\b(is|are) running\b|\brunning[.)\s]*$")


def script_finding(stdout: str, code: int) -> Finding:
    """Heartbeat's test of the text of ``status``, narrowed: what says nothing is doubt, not "no".

    "not running" is no; "running", "Running" or "OK" is yes whatever the exit code; both, as of a script with
    two daemons of which one has died, is doubt (Heartbeat took it for no, and started the other node). Else
    LSB's 3 (and 7, which haresources wrappers hand through from OCF agents) mean stopped.
    """
    lines = stdout.lower().splitlines()
    if "not running" in stdout.lower():
        both = any(_RUNS.search(line) for line in lines if "not running" not in line)
        return Finding.DOUBT if both else Finding.STOPPED
    if "running" in stdout or "Running" in stdout or "OK" in stdout:
        return Finding.RUNNING
    return Finding.STOPPED if code in (LSB_NOT_RUNNING, OCF_NOT_RUNNING) else Finding.DOUBT


def unit_finding(unit: units.Unit) -> tuple[Finding, str]:
    """A unit is stopped when systemd says so, no process of it is left, and its last stop did not fail."""
    if unit.runs:
        return Finding.RUNNING, ""
    reason = unit.doubt or (f"systemd says {unit.state}" if unit.state else "")
    return Finding.STOPPED if unit.rests and not unit.doubt else Finding.DOUBT, reason


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """A group with everything found that is needed to run it."""

    name: str
    callers: tuple[Caller, ...]


def plan_groups(config: ClusterConfig, node: str, search: Search) -> tuple[tuple[GroupPlan, ...], tuple[str, ...]]:
    """The plans of all groups, and one sentence for everything that is missing on this host."""
    plans: list[GroupPlan] = []
    problems: list[str] = []
    for group in config.groups:
        callers: list[Caller] = []
        for index, resource in enumerate(group.resources):
            try:
                callers.append(_caller((config, group, index), resource, node, search))
            except _Missing as missing:
                problems.append(f"haresources:{resource.line}:{resource.column}: {missing}")
        plans.append(GroupPlan(group.name, tuple(callers)))
    return tuple(plans), tuple(problems)


class _Missing(Exception):
    """A program or an argument that is needed is not there; fact and remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Convention:
    """How one resource is to be called, as found on this host."""

    kind: CallKind
    program: str
    args: tuple[str, ...] = ()
    type: str
    provider: str = ""
    parameters: tuple[tuple[str, str], ...] = ()


def _convention(resource: Resource, search: Search) -> _Convention:
    provider, kind, parameters = resource.provider, resource.type, resource.parameters
    if resource.kind is ResourceKind.LSB:
        places = [os.path.join(search.init, kind)]
        found = _executable(places)
        if not found:
            raise _Missing(f"no init script {kind!r}: {_looked(places)}; install it or correct the name")
        return _Convention(kind=CallKind.LSB, program=found, type=kind)
    if resource.kind is ResourceKind.UNIT:
        convention = _unit(kind, search)
        if convention is None:
            raise _Missing(f"there is no systemd unit {_unit_name(kind)}; install it or correct the name")
        return convention
    if resource.kind is ResourceKind.SCRIPT:
        ours = _own_parameters(resource)
        if ours is None:
            return _by_name(resource, search)
        # IPaddr2 of a haresources line is our IPaddr; there is one agent.
        provider, kind, parameters = OUR_PROVIDER, "IPaddr" if kind == "IPaddr2" else kind, ours
    program = _ocf_agent(provider, kind, search)
    return _Convention(kind=CallKind.OCF, program=program, type=kind, provider=provider, parameters=parameters)


def _caller(place: tuple[ClusterConfig, Group, int], resource: Resource, node: str, search: Search) -> Caller:
    config, group, index = place
    how = _convention(resource, search)
    interval_ms = resource.monitor_interval_ms
    return Caller(
        name=resource.name,
        instance=re.sub(r"[^A-Za-z0-9.-]", "_", f"{group.name}-{index + 1}-{resource.type}"),
        kind=how.kind,
        program=how.program,
        args=how.args,
        parameters=how.parameters,
        type=how.type,
        provider=how.provider,
        node=node,
        ocf_root=search.ocf_root,
        monitor_interval_ms=config.monitor_interval_ms if interval_ms is None else interval_ms,
        monitor_depth=resource.monitor_depth,
        default_timeout_ms=config.op_timeout_ms,
        timeouts_ms=resource.timeouts_ms,
    )


def _own_parameters(resource: Resource) -> tuple[tuple[str, str], ...] | None:
    try:
        parameters = parameters_for(resource.type, resource.args)
    except ValueError as error:
        raise _Missing(f"{resource.type}: {error}") from None
    return None if parameters is None else tuple(parameters.items())


def _ocf_agent(provider: str, kind: str, search: Search) -> str:
    folders = search.ocf_own if provider == OUR_PROVIDER else ()
    places = [os.path.join(folder, kind) for folder in folders]
    if not places:
        places = [os.path.join(search.ocf_root, "resource.d", provider, kind)]
    found = _executable(places)
    if not found:
        raise _Missing(f"no OCF agent {provider}:{kind}: {_looked(places)}; install it or correct the name")
    return found


def _by_name(resource: Resource, search: Search) -> _Convention:
    """A script where one is, else the agent that Heartbeat's script of that name ran, else the unit."""
    name = resource.type
    places = [os.path.join(folder, name) for folder in search.scripts]
    found = _executable(places)
    if found:
        return _Convention(kind=CallKind.SCRIPT, program=found, args=resource.args, type=name)
    agent = os.path.join(search.ocf_root, "resource.d", heartbeatnames.PROVIDER, name)
    if name in heartbeatnames.NAMES and _executable([agent]):
        return _heartbeats(resource, agent)
    unit = _unit(name, search)
    if unit is not None:
        if resource.args:
            extra = "::".join(resource.args)
            raise _Missing(f"{name} is a systemd unit and takes no arguments; remove {extra}")
        return unit
    lacking = f", no agent {agent}" if name in heartbeatnames.NAMES else ""
    advice = heartbeatnames.ADVICE.get(name, "install it on this node or correct the name")
    raise _Missing(
        f"no script {name!r}: {_looked(places)}{lacking}, and there is no systemd unit {_unit_name(name)}; {advice}"
    )


def _heartbeats(resource: Resource, agent: str) -> _Convention:
    try:
        parameters = heartbeatnames.parameters_for(resource.type, resource.args)
    except ValueError as error:
        raise _Missing(f"{resource.type}: {error}") from None
    return _Convention(
        kind=CallKind.OCF,
        program=agent,
        type=resource.type,
        provider=heartbeatnames.PROVIDER,
        parameters=tuple(parameters.items()),
    )


def _unit(name: str, search: Search) -> _Convention | None:
    """The unit of that name, if systemd knows one."""
    unit = _unit_name(name)
    files = [os.path.join(folder, _template(unit)) for folder in search.units]
    if not any(os.path.lexists(path) for path in files) or not os.access(search.systemctl, os.X_OK):
        return None
    return _Convention(kind=CallKind.UNIT, program=search.systemctl, args=(unit,), type=name)


def _unit_name(name: str) -> str:
    return name if name.endswith((".service", ".mount", ".target")) else f"{name}.service"


def _template(unit: str) -> str:
    """``getty@tty1.service`` is made from the file ``getty@.service`` (systemd.unit(5))."""
    name, at, rest = unit.partition("@")
    return f"{name}@.{rest.rpartition('.')[2]}" if at else unit


def _executable(places: list[str]) -> str:
    for path in places:
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return ""


def _looked(places: list[str]) -> str:
    plain = [path for path in places if os.path.isfile(path)]
    if plain:
        return f"{plain[0]} is not executable"
    return f"neither {' nor '.join(places)} exists" if len(places) > 1 else f"{places[0]} does not exist"
