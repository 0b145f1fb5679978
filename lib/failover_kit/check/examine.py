"""A check from the beginning to its findings: loads, looks, compares. Writes nothing, switches nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from failover_kit.check import (
    boot_rules,
    daemon_rules,
    disk_rules,
    export_rules,
    fence_rules,
    file_rules,
    link_rules,
    node_rules,
    pair_rules,
    ping_rules,
)
from failover_kit.check.findings import Finding, found, in_order
from failover_kit.check.nodefacts import Facts, facts_of
from failover_kit.check.probes import Probes
from failover_kit.check.subject import STATE_DIR, Subject
from failover_kit.check.tree import Tree
from failover_kit.manager import configfiles
from failover_kit.manager.callers import Search
from failover_kit.manager.config import ConfigError
from failover_kit.manager.status import Status

_RULES = (
    file_rules.findings,
    link_rules.findings,
    ping_rules.findings,
    fence_rules.findings,
    boot_rules.findings,
    disk_rules.findings,
    export_rules.findings,
    node_rules.findings,
    daemon_rules.findings,
)


class Unreadable(Exception):
    """The configuration cannot be used, so nothing can be checked by it; ``findings`` say all that is wrong."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        super().__init__()
        self.findings = in_order(findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Where a node is looked at: itself, or what a test made of it."""

    tree: Tree
    probes: Probes
    search: Search
    config_dir: str = configfiles.CONFIG_DIR
    state_dir: str = STATE_DIR
    node: str = ""  # "" = uname -n


def subject_of(host: Host, status: Status | None = None, silence: str = "") -> Subject:
    """The node under examination. Unreadable when its configuration is, or when it is another machine's."""
    try:
        loaded = configfiles.load(host.tree.real(host.config_dir))
    except ConfigError as error:
        raise Unreadable(_problem(str(problem)) for problem in error.problems) from None
    node = (host.node or host.probes.node()).lower()
    if node not in loaded.config.nodes:
        fact = f"this machine is called {node} (uname -n), and the nodes are {' and '.join(loaded.config.nodes)}"
        raise Unreadable(
            [found("node-name", "ha.cf", fact, "correct the node lines or the host name, or use --node")]
        )
    return Subject(
        node=node,
        peer=loaded.config.peer_of(node),
        loaded=loaded,
        tree=host.tree,
        probes=host.probes,
        search=host.search,
        config_dir=host.config_dir,
        state_dir=host.state_dir,
        status=status,
        silence=silence,
    )


def _problem(text: str) -> Finding:
    place, _, rest = text.partition(": ")
    fact, semicolon, remedy = rest.rpartition("; ")
    return found("config-error", place, fact if semicolon else rest, remedy if semicolon else "correct it")


def own_facts(subject: Subject) -> Facts:
    """All that this node alone can tell, its findings signed with its name."""
    findings = (finding for rules in _RULES for finding in rules(subject))
    return facts_of(subject, tuple(replace(finding, node=subject.node) for finding in in_order(findings)))


def compared(subject: Subject, own: Facts, peer: Facts | None, *, piped: bool = False) -> tuple[Finding, ...]:
    """The findings of both nodes and of the comparison, what both say of the common files once."""
    if peer is None:
        return in_order((*own.findings, pair_rules.not_compared(subject)))
    pair = tuple(pair_rules.findings(subject, own, peer, piped=piped))
    said = {finding.id for finding in pair} & {"link-one-way"}  # each node's failoverd says it, too
    alone = [finding for finding in _merged(own.findings, peer.findings) if finding.id not in said]
    return in_order((*alone, *pair))


def _merged(own: tuple[Finding, ...], peer: tuple[Finding, ...]) -> Iterable[Finding]:
    """What both nodes find in the same words is a finding of the pair."""
    common = {replace(finding, node="") for finding in own} & {replace(finding, node="") for finding in peer}
    return [replace(f, node="") if replace(f, node="") in common else f for f in (*own, *peer)]
