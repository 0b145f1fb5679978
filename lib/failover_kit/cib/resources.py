"""A resource of haresources as a primitive: which agent, which parameters, which operations.

Which program a plain name stands for is looked up on this node, by the rules failoverd has (``manager.callers``).
Pacemaker has OCF agents, units of systemd and LSB init scripts; Heartbeat's own class for scripts of
``/etc/ha.d/resource.d`` is gone since Pacemaker 1.1.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from failover_kit.cib.model import Fate, Ids, Operation, Primitive, Remark, names
from failover_kit.manager import heartbeatnames
from failover_kit.manager.callers import OUR_PROVIDER, Caller, CallKind, Search, plan_groups
from failover_kit.manager.config import (
    ClusterConfig,
    Group,
    Resource,
    ResourceKind,
    is_secret_compared,
    is_secret_name,
    without_password,
)


class Agents(Enum):
    """Whose agents the cluster is to run, where both are there."""

    OURS = "ours"
    CLUSTERLABS = "clusterlabs"


@dataclass(frozen=True, slots=True)
class _Meant:
    """What a resource is in Pacemaker's words."""

    standard: str
    type: str
    provider: str = ""
    parameters: tuple[tuple[str, str], ...] = ()


# resource-agents 4.12 (Debian 12): parameters of theirs that ours has under the same name and meaning.
_THEIRS: dict[str, tuple[str, frozenset[str]]] = {
    "IPaddr": (
        "IPaddr2",
        names(
            "ip nic cidr_netmask broadcast iflabel lvs_support arp_interval arp_count arp_count_refresh run_arping "
            "preferred_lft nodad noprefixroute flush_routes network_namespace"
        ),
    ),
    "Filesystem": (
        "Filesystem",
        names(
            "device directory fstype options statusfile_prefix run_fsck fast_stop force_clones force_unmount"
        ),
    ),
    "exportfs": (
        "exportfs",
        names("directory clientspec options fsid unlock_on_stop wait_for_leasetime_on_stop rmtab_backup"),
    ),
    "nfsserver": (
        "nfsserver",
        names(
            "nfs_init_script nfsv4_only nfs_no_notify nfs_notify_foreground nfs_smnotify_retry_time "
            "nfs_server_scope nfs_ip nfs_shared_infodir rpcpipefs_dir"
        ),
    ),
}
# lib/services/systemd.c, systemd_unit_extension: behind any other name Pacemaker puts ".service".
_UNITS_KNOWN = ".service, .socket, .mount, .timer and .path"
_UNITS_UNKNOWN = names("target swap slice scope device automount")

_THEY_NEED = {"Filesystem": ("fstype",), "exportfs": ("fsid",)}


class Carrier:
    """Makes primitives; ``stand_ins``: by name what the administrator puts in the place of a script."""

    def __init__(
        self, config: ClusterConfig, search: Search, agents: Agents, stand_ins: Mapping[str, Resource], ids: Ids
    ) -> None:
        self._config = config
        self._search = search
        self._agents = agents
        self._stand_ins = stand_ins
        self._ids = ids
        self.remarks: list[Remark] = []
        self.used: set[str] = set()  # stand-ins that were needed

    def primitive(self, resource: Resource) -> Primitive | None:
        """The primitive, or None after a remark that says why there is none."""
        meant = self._meant(resource)
        if meant is None:
            return None
        if meant.provider == OUR_PROVIDER and self._agents is Agents.CLUSTERLABS:
            theirs = self._theirs(resource, meant)
            if theirs is None:
                return None
            meant = theirs
        kind = meant.type.rpartition(".")[2]
        if meant.standard == "systemd" and kind in _UNITS_UNKNOWN:
            why = (
                f"Pacemaker knows {_UNITS_KNOWN}, and would ask for {meant.type}.service; write a .service that "
                f"starts it, and name that in haresources"
            )
            self.remarks.append(Remark(Fate.LEFT_OUT, _place(resource), why))
            return None
        parameters = tuple(
            (name, self._option(resource, name, value))
            for name, value in meant.parameters
            if not self._secret(resource, name)
        )
        first = without_password(resource.name).partition(":")[2].rstrip("/").rpartition("/")[2]
        if resource.type in ("IPaddr", "IPaddr2") and resource.args:
            first = resource.args[0].partition("/")[0]
        return Primitive(
            id=self._ids.make(meant.type, first),
            standard=meant.standard,
            provider=meant.provider,
            type=meant.type,
            parameters=parameters,
            operations=self._operations(resource, meant),
        )

    def _secret(self, resource: Resource, name: str) -> bool:
        if not is_secret_name(name):
            return False
        why = "a secret would stand in the CIB, where more people read; set it yourself with crm_resource"
        self.remarks.append(Remark(Fate.LEFT_OUT, f"{_place(resource)}, parameter {name}", why))
        return True

    def _option(self, resource: Resource, name: str, value: str) -> str:
        """The value; of mount options what is left without the password in them."""
        told = without_password(value) if name == "options" else value
        if told != value:
            why = "a secret would stand in the CIB; put it into a file of root's and write credentials=FILE"
            self.remarks.append(Remark(Fate.LEFT_OUT, f"{_place(resource)}, the password in {name}", why))
        return told

    def _operations(self, resource: Resource, meant: _Meant) -> tuple[Operation, ...]:
        config = self._config
        interval_ms = resource.monitor_interval_ms
        if interval_ms is None:
            interval_ms = config.monitor_interval_ms

        def limit_ms(action: str) -> int:
            return resource.timeout_ms(action, config.op_timeout_ms)

        depth = resource.monitor_depth if meant.standard == "ocf" else 0
        if resource.monitor_depth and not depth:
            why = f"{meant.standard} has no OCF_CHECK_LEVEL"
            self.remarks.append(Remark(Fate.DROPPED, f"{_place(resource)}, op_monitor_depth", why))
        found = [
            Operation(name="start", timeout_ms=limit_ms("start")),
            Operation(name="stop", timeout_ms=limit_ms("stop"), on_fail="fence"),
        ]
        # One of interval 0 never recurs, and is the probe's time alone. Without any pcs adds the agent's own.
        depth = depth if interval_ms else 0
        limit = limit_ms("monitor")
        found.append(Operation(name="monitor", interval_ms=interval_ms, timeout_ms=limit, depth=depth))
        return tuple(found)

    # --- which agent -----------------------------------------------------------------------------------

    def _meant(self, resource: Resource) -> _Meant | None:
        if resource.kind is ResourceKind.SCRIPT and resource.type in self._stand_ins:
            self.used.add(resource.type)
            return self._stand_in(resource)
        if resource.kind is ResourceKind.OCF:
            return _Meant("ocf", resource.type, resource.provider, resource.parameters)
        if resource.kind in (ResourceKind.UNIT, ResourceKind.LSB):
            return _Meant(resource.kind.value, resource.type)
        if resource.type in heartbeatnames.NAMES:
            return self._heartbeats(resource)
        caller, problem = self._caller(resource)
        if caller is None:
            return self._unknown(resource, problem)
        if caller.kind is CallKind.OCF:
            return _Meant("ocf", caller.type, caller.provider, caller.parameters)
        if caller.kind is CallKind.UNIT:
            return _Meant("systemd", caller.args[0].removesuffix(".service"))
        return self._script(resource, caller)

    def _caller(self, resource: Resource) -> tuple[Caller | None, str]:
        """How failoverd of this node would call it, or why it could not."""
        alone = replace(self._config, groups=(Group(name="x", home=self._config.nodes[0], resources=(resource,)),))
        plans, problems = plan_groups(alone, self._config.nodes[0], self._search)
        return (plans[0].callers[0], "") if plans[0].callers else (None, problems[0].partition(": ")[2])

    def _stand_in(self, resource: Resource) -> _Meant:
        other = self._stand_ins[resource.type]
        if resource.args:
            told = " ".join(without_password(word) for word in resource.args)
            why = f"its arguments ({told}) are not handed on to {other.agent}"
            self.remarks.append(Remark(Fate.CHANGED, _place(resource), why))
        return _Meant(other.kind.value, other.type, other.provider, other.parameters)

    def _heartbeats(self, resource: Resource) -> _Meant | None:
        """A name that Heartbeat brought a script for: Pacemaker calls the agent behind it."""
        try:
            parameters = heartbeatnames.parameters_for(resource.type, resource.args)
        except ValueError as error:
            self.remarks.append(Remark(Fate.LEFT_OUT, _place(resource), str(error)))
            return None
        return _Meant("ocf", resource.type, heartbeatnames.PROVIDER, tuple(parameters.items()))

    def _unknown(self, resource: Resource, problem: str) -> _Meant | None:
        """A name that stands for nothing on this node: a unit, if it can be one at all."""
        advice = heartbeatnames.ADVICE.get(resource.type, "")
        if advice or resource.args or resource.type in _THEIRS or resource.type == "killnfsd":
            why = f"{problem}; or give what stands in for it: --map {resource.type}=RESOURCE"
            self.remarks.append(Remark(Fate.LEFT_OUT, _place(resource), why))
            return None
        why = f"nothing of that name is on this node; taken for a unit of systemd, or use --map {resource.type}=…"
        self.remarks.append(Remark(Fate.TO_DO, _place(resource), why))
        return _Meant("systemd", resource.type)

    def _script(self, resource: Resource, caller: Caller) -> _Meant | None:
        """A script failoverd would run: as its unit, else by the LSB, if it is where Pacemaker looks."""
        folder = os.path.dirname(caller.program)
        if folder != self._search.init or resource.args:
            name = resource.type
            what = "takes arguments" if resource.args else f"is not in {self._search.init}"
            why = (
                f"{caller.program} {what}, and Pacemaker runs OCF agents, units and LSB scripts only; "
                f"give what stands in for it: --map {name}=ocf:PROVIDER:TYPE, --map {name}=systemd:UNIT or, for a "
                f"script there that obeys the LSB, --map {name}=lsb:SCRIPT"
            )
            self.remarks.append(Remark(Fate.LEFT_OUT, _place(resource), why))
            return None
        if self._has_unit(resource.type):
            return _Meant("systemd", resource.type)
        why = (
            "Pacemaker goes by the exit code of its status (LSB: 0 runs, 3 stopped), failoverd by its words; "
            "look at both before you rely on it"
        )
        self.remarks.append(Remark(Fate.TO_DO, f"{_place(resource)}, {caller.program}", why))
        return _Meant("lsb", resource.type)

    def _has_unit(self, name: str) -> bool:
        """Whether systemd has a unit of that name that is not masked."""
        for folder in self._search.units:
            path = os.path.join(folder, f"{name}.service")
            if os.path.lexists(path):
                return os.path.realpath(path) != "/dev/null" and os.path.exists(path)
        return False

    # --- their agents ----------------------------------------------------------------------------------

    def _theirs(self, resource: Resource, meant: _Meant) -> _Meant | None:
        """ClusterLabs' agent for one of ours."""
        if meant.type not in _THEIRS:
            # Their agents have no such thing, and systemd's own ordering stops nfsd where it is a unit.
            why = f"ClusterLabs has no {meant.type}; use --agents ours, or let systemd:nfs-server stop it"
            self.remarks.append(Remark(Fate.DROPPED, _place(resource), why))
            return None
        name, known = _THEIRS[meant.type]
        given = dict(meant.parameters)
        for parameter in sorted(set(given) - known):
            why = f"ocf:heartbeat:{name} has no such parameter"
            self.remarks.append(Remark(Fate.DROPPED, f"{_place(resource)}, {parameter}", why))
        lacking = [parameter for parameter in _THEY_NEED.get(name, ()) if not given.get(parameter)]
        if lacking:
            why = f"ocf:heartbeat:{name} needs {' and '.join(lacking)}; write it in haresources first"
            self.remarks.append(Remark(Fate.LEFT_OUT, _place(resource), why))
            return None
        parameters = tuple((key, value) for key, value in meant.parameters if key in known)
        return _Meant("ocf", name, heartbeatnames.PROVIDER, parameters)


def telling_name(group: Group) -> str:
    """The group's name, or its first resource's type where the name was made of a secret."""
    first = group.resources[0]
    secret = any(is_secret_name(name) and not is_secret_compared(name) for name, _ in first.parameters)
    values = (*first.args, *(value for _, value in first.parameters))
    return first.type if secret or any(without_password(value) != value for value in values) else group.name


def _place(resource: Resource) -> str:
    return f"haresources:{resource.line}:{resource.column}: {without_password(resource.name)}"
