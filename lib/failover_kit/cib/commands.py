"""A cluster as commands: a script of ``pcs`` lines, or lines for ``crm configure load update FILE``.

Sources: pcs(8) 0.11; crm(8) 4.4. Values are quoted for the shell, and for crm's own parser.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from failover_kit.cib.model import INFINITY, Cluster, Operation, PacemakerGroup, Primitive, as_comment, as_interval


def as_pcs(cluster: Cluster, comments: Iterable[str] = ()) -> str:
    """A shell script. ``PCS`` may be set to ``"pcs -f FILE"``: then all goes into a file, to be looked at first.

    The cluster of both nodes must exist (``pcs cluster setup``), and nothing of these names in it.
    """
    head = [f"# {as_comment(comment)}" for comment in comments]
    # Not in the first line, where "sh FILE" does not read it: a script that goes on leaves half a cluster.
    lines = ["#!/bin/sh", *head, "set -e", ": ${PCS:=pcs}"]
    lines.append(_pcs("property", "set", *(f"{name}={value}" for name, value in cluster.properties)))
    for group in cluster.groups:
        for member in group.members:
            lines.append(_pcs("resource", "create", *_pcs_words(member), "--group", group.id))
        meta = [f"{name}={value}" for name, value in group.meta]
        if meta:
            lines.append(_pcs("resource", "meta", group.id, *meta))
        lines.append(_pcs("constraint", "location", group.id, "prefers", f"{group.home}={cluster.home_score}"))
    for fence in cluster.fences:
        words = _pcs_words(fence.primitive)
        lines.append(_pcs("stonith", "create", *words))
        lines.append(_pcs("constraint", "location", fence.primitive.id, "avoids", f"{fence.victim}={INFINITY}"))
    for level in cluster.levels:
        lines.append(_pcs("stonith", "level", "add", str(level.index), level.victim, *level.devices))
    return "\n".join(lines) + "\n"


def _pcs(*words: str) -> str:
    return "$PCS " + " ".join(shlex.quote(word) for word in words)


def _pcs_words(primitive: Primitive) -> list[str]:
    agent = primitive.type if primitive.standard == "stonith" else primitive.agent
    words = [primitive.id, agent, *(f"{name}={value}" for name, value in primitive.parameters)]
    for operation in primitive.operations:
        words += ["op", operation.name, f"interval={as_interval(operation.interval_ms)}"]
        words += [f"{name}={value}" for name, value in _op_facts(operation)]
    if primitive.meta:
        words += ["meta", *(f"{name}={value}" for name, value in primitive.meta)]
    return words


def _op_facts(operation: Operation) -> list[tuple[str, str]]:
    found = [("timeout", as_interval(operation.timeout_ms))]
    if operation.on_fail:
        found.append(("on-fail", operation.on_fail))
    if operation.depth:
        found.append(("OCF_CHECK_LEVEL", str(operation.depth)))
    return found


def as_crm(cluster: Cluster, comments: Iterable[str] = ()) -> str:
    """Lines for crmsh, to be loaded from a file: no value ever stands in an argument list."""
    lines = [f"# {as_comment(comment)}" for comment in comments]
    for group in cluster.groups:
        lines += [_crm_primitive(member) for member in group.members]
        lines.append(_crm_group(group))
        lines.append(f"location location-{group.id} {group.id} {cluster.home_score}: {group.home}")
    for fence in cluster.fences:
        name = fence.primitive.id
        lines.append(_crm_primitive(fence.primitive))
        lines.append(f"location location-{name} {name} -inf: {fence.victim}")
    topology = []
    for victim in dict.fromkeys(level.victim for level in cluster.levels):
        steps = [",".join(level.devices) for level in cluster.levels if level.victim == victim]
        topology.append(f"{victim}: {' '.join(steps)}")
    if topology:
        lines.append("fencing_topology " + " ".join(topology))
    lines.append("property " + " ".join(f"{name}={_crm(value)}" for name, value in cluster.properties))
    return "\n".join(lines) + "\n"


def _crm_primitive(primitive: Primitive) -> str:
    parts = [f"primitive {primitive.id} {primitive.agent}"]
    if primitive.parameters:
        parts.append("params " + " ".join(f"{name}={_crm(value)}" for name, value in primitive.parameters))
    for operation in primitive.operations:
        facts = [("interval", as_interval(operation.interval_ms)), *_op_facts(operation)]
        parts.append(f"op {operation.name} " + " ".join(f"{name}={_crm(value)}" for name, value in facts))
    if primitive.meta:
        parts.append("meta " + " ".join(f"{name}={_crm(value)}" for name, value in primitive.meta))
    return " \\\n    ".join(parts)


def _crm_group(group: PacemakerGroup) -> str:
    line = f"group {group.id} {' '.join(member.id for member in group.members)}"
    if group.meta:
        line += " \\\n    meta " + " ".join(f"{name}={_crm(value)}" for name, value in group.meta)
    return line


def _crm(value: str) -> str:
    """crmsh splits its lines with shlex, where double quotes keep blanks and a backslash keeps a quote."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
