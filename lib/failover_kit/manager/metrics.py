"""The status as metrics, in Prometheus' text format 0.0.4. Pure.

Three families have the names and labels of ClusterLabs' ha_cluster_exporter (doc/metrics.md there), so that its
dashboards show this cluster, too; a group of haresources stands there as one resource. Everything else begins with
``failover_kit_``. docs/metrics.md lists all of them; a test holds it to ``render``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from failover_kit.manager.records import ClusterView, GroupView, ProofState
from failover_kit.manager.states import GroupState, PeerState
from failover_kit.manager.status import Health, Status, assess

GAP_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
_GAP_BUCKETS_MS = tuple(limit_s * 1000 for limit_s in GAP_BUCKETS_S)
@dataclass(slots=True)
class Gaps:
    """Times between two things that should be regular."""

    last_ms: int | None = None
    longest_ms: int = 0  # since it was last taken
    count: int = 0
    sum_ms: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * len(GAP_BUCKETS_S))  # not cumulated

    def happened(self, now_ms: int) -> None:
        """It happened again."""
        if self.last_ms is not None:
            gap_ms = now_ms - self.last_ms
            self.count += 1
            self.sum_ms += gap_ms
            self.longest_ms = max(self.longest_ms, gap_ms)
            number = bisect_left(_GAP_BUCKETS_MS, gap_ms)
            if number < len(_GAP_BUCKETS_MS):
                self.buckets[number] += 1
        self.last_ms = now_ms

    def take(self, now_ms: int) -> Gaps:
        """A copy; the longest one begins anew. A gap that is open counts as long as it is by now."""
        open_ms = now_ms - self.last_ms if self.last_ms is not None else 0
        longest_ms, self.longest_ms = max(self.longest_ms, open_ms), 0
        return Gaps(self.last_ms, longest_ms, self.count, self.sum_ms, list(self.buckets))


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """What ``Status`` does not say. Times as in ``ClusterView.now_ms``."""

    uptime_ms: int
    maintenance: bool
    persist_error: bool
    journal_error: bool
    turns: Gaps
    beats: dict[str, Gaps]
    counts: dict[tuple[str, ...], int]


Sample = tuple[dict[str, str], float | None]


class _Text:
    """Families in the order they are asked for; a value of None leaves the sample out."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def family(self, name: str, kind: str, about: str, samples: Iterable[Sample]) -> None:
        self.lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
        for labels, value in samples:
            if value is not None:
                self.sample(name, labels, value)

    def sample(self, name: str, labels: dict[str, str], value: float) -> None:
        inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        self.lines.append(f"{name}{{{inner}}} {_number(value)}" if inner else f"{name} {_number(value)}")

    def one(self, name: str, about: str, value: float | None, kind: str = "gauge") -> None:
        self.family(name, kind, about, [({}, value)])

    def states(self, name: str, about: str, labels: dict[str, str], states: Iterable[str], now: str) -> None:
        self.family(name, "gauge", about, [({**labels, "state": state}, state == now) for state in states])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.6g}" if abs(value) < 1e5 else f"{value:.3f}"


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000


def render(status: Status, extra: Extra) -> str:
    """The whole file."""
    text = _Text()
    _cluster(text, status.view, extra)
    _node(text, status, extra)
    _peer(text, status.view)
    _groups(text, status.view.groups, extra)
    _links(text, status, extra)
    _pings(text, status.view)
    _fencing(text, status, extra)
    return "\n".join(text.lines) + "\n"


def _cluster(text: _Text, view: ClusterView, extra: Extra) -> None:
    """ha_cluster_exporter's names."""
    own = "shutdown" if view.leaving else "online"
    peer = {
        PeerState.UP.value: "shutdown" if view.peer_leaving else "online",
        PeerState.NEVER_HEARD.value: "pending",
        PeerState.SILENT.value: "shutdown" if view.peer_leaving else "unclean",
        PeerState.FENCING.value: "unclean",
    }.get(view.peer_state, "offline")
    samples: list[Sample] = []
    for node, now in ((view.node, own), (view.peer, peer)):
        for state in ("online", "pending", "unclean", "shutdown", "maintenance"):
            value = extra.maintenance if state == "maintenance" else state == now
            samples.append(({"node": node, "status": state, "type": "member"}, value))
    text.family("ha_cluster_pacemaker_nodes", "gauge", "Whether the node is in that status, as seen here.", samples)
    samples = []
    for group in view.groups:
        for node, known in ((view.node, group.state), (view.peer, group.peer_state)):
            if known is not None:
                samples += _resource(group, node, known, own=node == view.node, managed=not extra.maintenance)
    text.family(
        "ha_cluster_pacemaker_resources", "gauge", "Whether the group is in that status on that node.", samples
    )
    text.one("ha_cluster_pacemaker_stonith_enabled", "Whether this node can fence its peer.", view.can_fence)


def _resource(
    group: GroupView, node: str, state: GroupState, *, own: bool, managed: bool
) -> list[Sample]:
    role = {GroupState.UNKNOWN: "unknown", GroupState.FAILED: "stopping"}.get(state, state.value)
    labels = {
        "agent": "failover-kit", "clone": "", "group": "", "managed": str(managed).lower(), "node": node,
        "resource": group.name, "role": role,
    }  # fmt: skip
    values = {
        "active": state is GroupState.STARTED,
        "blocked": own and bool(group.parked),
        "failed": state is GroupState.FAILED or (own and group.failed_here),
    }
    return [({**labels, "status": name}, value) for name, value in values.items()]


def _node(text: _Text, status: Status, extra: Extra) -> None:
    view = status.view
    info = {"version": status.version, "node": view.node, "peer": view.peer, "speaks": view.speaks}
    text.family("failover_kit_info", "gauge", "This failoverd.", [(info, 1)])
    text.one("failover_kit_uptime_seconds", "Since failoverd started.", extra.uptime_ms / 1000)
    text.one("failover_kit_written_timestamp_seconds", "When this was written.", status.wall_ms / 1000)
    health = assess(status)[0].value
    text.states("failover_kit_health", "As failoverctl status has it.", {}, [h.value for h in Health], health)
    text.one("failover_kit_ready", "Whether this node as a whole could take over.", not view.ready)
    text.one("failover_kit_maintenance", "Whether this node is in maintenance.", extra.maintenance)
    text.one("failover_kit_config_differs", "Whether the peer runs other files.", view.config_differs)
    text.one("failover_kit_problems", "Other problems that status names.", len(status.problems))
    text.one("failover_kit_persist_error", "Whether the state directory cannot be written.", extra.persist_error)
    failed = extra.counts["persist",]
    text.one("failover_kit_persist_errors_total", "Records that could not be made durable.", failed, "counter")
    text.one("failover_kit_journal_error", "Whether the journal cannot be written.", extra.journal_error)
    text.one(
        "failover_kit_turn_gap_max_seconds",
        "Longest time in which the core did not turn since the file before; far above keepalive: this node stalls.",
        extra.turns.longest_ms / 1000,
    )


def _peer(text: _Text, view: ClusterView) -> None:
    label, states = {"peer": view.peer}, [state.value for state in PeerState]
    text.states("failover_kit_peer_state", "What is known of the peer.", label, states, view.peer_state)
    text.one("failover_kit_peer_last_beat_age_seconds", "Since its last beat.", _seconds(view.peer_heard_ago_ms))
    text.one("failover_kit_peer_hears_us", "Whether its beats say that it hears us.", view.peer_hears_us)
    text.one("failover_kit_peer_ready", "Whether the peer as a whole could take over.", view.peer_ready)
    info = {**label, "version": view.peer_release, "speaks": view.peer_speaks}
    heard: list[Sample] = [(info, 1)] if view.peer_speaks else []
    text.family("failover_kit_peer_info", "gauge", "The failoverd of the peer; absent: not heard yet.", heard)
    differ = bool(view.versions_differ) if view.peer_speaks else None
    text.one("failover_kit_versions_differ", "Whether the peer runs another failoverd.", differ)


def _groups(text: _Text, groups: Sequence[GroupView], extra: Extra) -> None:
    text.family(
        "failover_kit_group_state", "gauge", "State of the group on this node.",
        [({"group": g.name, "state": s.value}, s is g.state) for g in groups for s in GroupState],
    )  # fmt: skip
    facts: dict[str, tuple[str, Callable[[GroupView], float]]] = {
        "right": ("Epoch of this node's right to the group; 0: none.", lambda g: g.right),
        "held": ("Whether this node holds it, or is in doubt.", lambda g: g.held),
        "parked": ("Whether it is not started here until an operator says so.", lambda g: bool(g.parked)),
        "failed_here": ("Whether it failed to start here since its last success.", lambda g: g.failed_here),
    }
    for name, (about, value) in facts.items():
        text.family(f"failover_kit_group_{name}", "gauge", about, [({"group": g.name}, value(g)) for g in groups])
    text.family(
        "failover_kit_takeovers_total", "counter", "Takeovers by this node without the peer's grant.",
        [({"group": key[1]}, count) for key, count in extra.counts.items() if key[0] == "takeover"],
    )  # fmt: skip
    text.family(
        "failover_kit_operations_total", "counter", "Ends of starts and stops, and failed monitors, on this node.",
        [
            ({"group": key[1], "operation": key[2], "result": key[3]}, count)
            for key, count in extra.counts.items() if key[0] == "operation"
        ],
    )  # fmt: skip


def _links(text: _Text, status: Status, extra: Extra) -> None:
    links = status.view.links
    text.family(
        "failover_kit_link_up", "gauge", "Whether beats of the peer come in on the link.",
        [({"link": link.name}, bool(link.up)) for link in links],
    )  # fmt: skip
    text.family(
        "failover_kit_link_last_beat_age_seconds", "gauge", "Since the last beat on the link.",
        [({"link": link.name}, _seconds(link.heard_ago_ms)) for link in links],
    )  # fmt: skip
    text.family(
        "failover_kit_link_error", "gauge", "Whether this side of the link is broken.",
        [({"link": link.name}, bool(link.error)) for link in status.links],
    )  # fmt: skip
    text.family(
        "failover_kit_link_refused_frames_total", "counter", "Frames that were not used: forged, damaged, our own.",
        [({"link": link.name}, link.refused) for link in status.links],
    )  # fmt: skip
    text.family(
        "failover_kit_beat_gap_max_seconds", "gauge", "Longest time without a beat on it since the last file.",
        [({"link": name}, gaps.longest_ms / 1000) for name, gaps in extra.beats.items()],
    )  # fmt: skip
    name = "failover_kit_beat_gap_seconds"
    text.family(name, "histogram", "Times between two beats on the link.", [])
    for link, gaps in extra.beats.items():
        total = 0
        for limit_s, count in zip(GAP_BUCKETS_S, gaps.buckets, strict=True):
            total += count
            text.sample(f"{name}_bucket", {"link": link, "le": f"{limit_s:g}"}, total)
        text.sample(f"{name}_bucket", {"link": link, "le": "+Inf"}, gaps.count)
        text.sample(f"{name}_sum", {"link": link}, gaps.sum_ms / 1000)
        text.sample(f"{name}_count", {"link": link}, gaps.count)


def _pings(text: _Text, view: ClusterView) -> None:
    text.family(
        "failover_kit_ping_reached", "gauge", "Whether the ping node answers; absent: not known.",
        [({"ping": ping.name}, ping.reached) for ping in view.pings],
    )  # fmt: skip
    text.one("failover_kit_peer_pings_reached", "How many of them the peer reaches.", view.peer_reaches)
    text.one("failover_kit_cut_off", "Whether this node waits longer with a shot: it reaches none.", view.cut_off)


def _fencing(text: _Text, status: Status, extra: Extra) -> None:
    view = status.view
    text.one("failover_kit_fence_running", "Whether a shot runs.", view.fence_running_since_ms is not None)
    text.one("failover_kit_fence_failed_attempts", "Shots that failed in a row.", view.fence_attempts)
    text.family(
        "failover_kit_fence_shots_total", "counter", "Ends of shots at the peer.",
        [({"result": key[1]}, count) for key, count in extra.counts.items() if key[0] == "shot"],
    )  # fmt: skip
    text.one("failover_kit_fence_power_owed", "Whether the peer must be given its power back.", view.on_owed)
    text.states(
        "failover_kit_fence_proof_state", "What the last proof drill is worth.", {}, [s.value for s in ProofState],
        view.proof.state.value,
    )  # fmt: skip
    text.one(
        "failover_kit_fence_proof_age_seconds", "Since the last proof drill ended; absent: never.",
        _seconds(status.proof_age_ms),
    )  # fmt: skip
