"""ha.cf and haresources as a two-node Pacemaker cluster, and a sentence for each thing that is not the same there.

The mapping is docs/howto/to-pacemaker.md; why it is so, docs/design/0043-pacemaker.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from failover_kit.cib.fencing import FenceCarrier, fence_timeout_ms
from failover_kit.cib.model import (
    FORGET_FAILURES_MS,
    Cluster,
    Fate,
    Ids,
    PacemakerGroup,
    Remark,
    as_interval,
    whole_seconds,
)
from failover_kit.cib.resources import Agents, Carrier, telling_name
from failover_kit.manager.callers import Search
from failover_kit.manager.config import (
    ClusterConfig,
    FenceAction,
    Group,
    Note,
    Resource,
    SerialLink,
    UcastLink,
    cable_of,
    without_password,
)

STAYS = "1000"
"""More than a home node's 100. Not INFINITY, as Heartbeat's conversion advised: nothing is more than that, and
``crm_resource --move`` (a preference of INFINITY) would move nothing. Tried with 2.1.5."""

NEW_NAMES_SINCE = (3, 0, 2)
"""Pacemaker 3.0.2 calls ``stonith-enabled`` and its like ``fencing-…`` and keeps the old names for a while."""

_NEW_NAMES = {
    "stonith-enabled": "fencing-enabled",
    "stonith-action": "fencing-action",
    "stonith-timeout": "fencing-timeout",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the administrator chooses."""

    agents: Agents = Agents.OURS
    version: tuple[int, ...] = (2, 1)
    with_secrets: bool = False
    stand_ins: Mapping[str, Resource] = field(default_factory=dict)


def cluster_of(config: ClusterConfig, search: Search, wishes: Wishes, notes: tuple[Note, ...] = ()) -> Cluster:
    """The cluster; ``search`` says where this node's programs are, ``notes`` are those of the files."""
    ids = Ids()
    resources = Carrier(config, search, wishes.agents, wishes.stand_ins, ids)
    groups = []
    for group in config.groups:
        made = _group(config, group, resources, ids)
        if made is not None:
            groups.append(made)
    fencing = FenceCarrier(config, wishes.agents, ids, wishes.with_secrets, wishes.version)
    fencing.carry()
    remarks = [*resources.remarks, *fencing.remarks, *_about_times(config), *_about_links(config)]
    remarks += [*_about_pings(config), *_about_the_rest(config)]
    for name in sorted(set(wishes.stand_ins) - resources.used):
        remarks.append(Remark(Fate.DROPPED, f"--map {name}", "haresources has no resource of that name"))
    remarks += [Remark(Fate.DROPPED, f"{note.file}:{note.line}", note.text) for note in notes]
    order = list(Fate)
    return Cluster(
        nodes=config.nodes,
        properties=tuple(_properties(config, wishes.version)),
        groups=tuple(groups),
        fences=tuple(fencing.fences),
        levels=tuple(fencing.levels),
        remarks=tuple(sorted(remarks, key=lambda remark: order.index(remark.fate))),
    )


def _group(config: ClusterConfig, group: Group, carrier: Carrier, ids: Ids) -> PacemakerGroup | None:
    members, holes = [], []
    for resource in group.resources:
        known = len(carrier.remarks)
        made = carrier.primitive(resource)
        if made is not None:
            members.append(made)
        elif any(remark.fate is Fate.LEFT_OUT for remark in carrier.remarks[known:]):
            holes.append(without_password(resource.name))
    if not members:
        what = f"group {telling_name(group)}"
        carrier.remarks.append(Remark(Fate.LEFT_OUT, what, "nothing of it can be carried"))
        return None
    meta: tuple[tuple[str, str], ...] = (
        ("resource-stickiness", "0" if config.auto_failback else STAYS),
        ("migration-threshold", str(config.monitor_failures)),
        ("failure-timeout", as_interval(FORGET_FAILURES_MS)),
        ("priority", "1"),
    )
    name = ids.make("group", telling_name(group))
    if holes:
        # A service would start without its disk, and write below the mount point.
        meta = (*meta, ("target-role", "Stopped"))
        why = (
            f"{', '.join(holes)} is not in it, so it has target-role=Stopped; put in what is lacking, then "
            f"crm_resource --meta --resource {name} --set-parameter target-role --parameter-value Started"
        )
        carrier.remarks.append(Remark(Fate.TO_DO, f"group {name}", why))
    return PacemakerGroup(id=name, home=group.home, members=tuple(members), meta=meta)


def _properties(config: ClusterConfig, version: tuple[int, ...]) -> list[tuple[str, str]]:
    action = "off" if config.fence_action is FenceAction.OFF else "reboot"
    found = [
        ("stonith-enabled", "true"),
        ("stonith-action", action),
        ("stonith-timeout", as_interval(whole_seconds(fence_timeout_ms(config)))),
        ("priority-fencing-delay", as_interval(whole_seconds(config.fence_delay_ms))),
        ("dc-deadtime", as_interval(whole_seconds(config.timing.initdead_ms))),
    ]
    if version < NEW_NAMES_SINCE:
        return found
    return [(_NEW_NAMES.get(name, name), value) for name, value in found]


def _about_times(config: ClusterConfig) -> list[Remark]:
    timing = config.timing
    found = [
        Remark(
            Fate.CHANGED,
            f"deadtime {as_interval(timing.deadtime_ms)}",
            "corosync's token is that time, 1 s at least; before anybody is fenced it adds consensus, 1.2 times "
            "token, so silence counts later there",
        ),
        Remark(Fate.DROPPED, "keepalive, warntime", "corosync derives its own from token, and never warns"),
        Remark(
            Fate.CHANGED,
            f"initdead {as_interval(timing.initdead_ms)}",
            "dc-deadtime is near it: how long a starting node looks for others",
        ),
        Remark(
            Fate.CHANGED,
            f"fence_delay {as_interval(config.fence_delay_ms)}",
            "priority-fencing-delay is near it: who would shoot the node that serves waits so long",
        ),
    ]
    if config.auto_failback:
        why = "stickiness 0 and a preference for the home node: it goes home as soon as that node is back"
        found.append(Remark(Fate.CHANGED, f"auto_failback_delay {as_interval(config.failback_delay_ms)}", why))
    return found


def _about_links(config: ClusterConfig) -> list[Remark]:
    found = [
        Remark(Fate.DROPPED, f"ha.cf:{link.line}:1: serial {link.device}", "corosync has no serial lines")
        for link in config.links
        if isinstance(link, SerialLink)
    ]
    networks = dict.fromkeys(cable_of(link) for link in config.links if not isinstance(link, SerialLink))
    known = {link.interface for link in config.links if isinstance(link, UcastLink) and link.peer_address}
    if not networks:
        why = "corosync needs a network between the nodes, better two: write its nodelist yourself"
        found.append(Remark(Fate.TO_DO, "links", why))
    for interface in networks:
        if interface not in known:
            why = "corosync wants each node's address there; write them into its nodelist"
            found.append(Remark(Fate.TO_DO, f"link {interface}", why))
    if len(networks) == 1:
        why = "one network is left: when it fails both nodes shoot; give corosync a second link"
        found.append(Remark(Fate.TO_DO, "a second link", why))
    return found


def _about_pings(config: ClusterConfig) -> list[Remark]:
    """Their counterpart is no vote but a preference, and so for the administrator to choose."""
    why = "clone ocf:pacemaker:ping with its addresses in host_list, and give each group a location rule on pingd"
    found = [Remark(Fate.DROPPED, f"ha.cf:{ping.line}:1: ping node {ping.name}", why) for ping in config.pings]
    if config.ping_failover:
        why = "it is that location rule which moves a group to the node that reaches more"
        found.append(Remark(Fate.DROPPED, "ping_failover", why))
    return found


def _about_the_rest(config: ClusterConfig) -> list[Remark]:
    found = [
        Remark(Fate.DROPPED, "authkeys", "corosync has a key of its own: corosync-keygen, and copy it"),
        Remark(
            Fate.DROPPED,
            "proof of OFF",
            "failoverd believes a plug that it read OFF; Pacemaker believes the exit code of the agent (ours is 0 "
            "for a plug that was read OFF, and nothing else). A drill is stonith_admin -B NODE there, and "
            "confirm-dead is stonith_admin -C NODE",
        ),
        Remark(
            Fate.CHANGED,
            "a node that boots alone",
            "wait_for_all: 0 in corosync.conf, it fences the other and starts (boot_alone yes)"
            if config.boot_alone
            else "wait_for_all: 1 in corosync.conf, it waits for the other node",
        ),
    ]
    if config.watchdog_device:
        why = "Pacemaker's watchdog is SBD; install and configure it, fence_sbd or stonith-watchdog-timeout"
        found.append(Remark(Fate.DROPPED, f"watchdog {config.watchdog_device}", why))
    return found
