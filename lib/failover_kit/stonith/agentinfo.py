"""What a fence agent's metadata says: its parameters, its actions, what its host argument is called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CommandMissing, CommandTimeout
from failover_kit.stonith.child import run_child
from failover_kit.stonith.codes import Code, StonithError

# The node and the action come from our own command line; the rest is for people at a terminal.
NEVER_PARAMETERS = frozenset(("action", "option", "plug", "port", "nodename", "help", "version"))


@dataclass(frozen=True, slots=True)
class AgentParameter:
    """``replaces`` is the older name that ``name`` obsoletes."""

    name: str
    required: bool = False
    deprecated: bool = False
    replaces: str = ""
    kind: str = "string"
    shortdesc: str = ""


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """``host_argument`` is chosen as Pacemaker's fencer does: plug, else port, else none."""

    parameters: tuple[AgentParameter, ...]
    actions: frozenset[str]
    host_argument: str
    shortdesc: str = ""
    longdesc: str = ""
    url: str = ""


def read_metadata(name: str, path: str, deadline: Deadline) -> AgentInfo:
    """Run the agent for its metadata. Raises StonithError with Code.OOPS."""
    try:
        result = run_child([path], deadline, env={}, stdin="action=metadata\n")
    except (CommandMissing, CommandTimeout) as error:
        raise StonithError(Code.OOPS, f"{name} gives no metadata: {error}") from None
    if not result.ok():
        raise StonithError(Code.OOPS, f"{name} gives no metadata: exit code {result.code}: {result.last_line()}")
    try:
        return parse_metadata(result.stdout)
    except ValueError as error:
        raise StonithError(Code.OOPS, f"{name}: its metadata cannot be read: {error}") from None


def parse_metadata(text: str) -> AgentInfo:
    """Read the document. Raises ValueError."""
    from lxml import etree

    # Agents are programs of this machine, and still: no entities, no network.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error)) from None
    if root.tag != "resource-agent":
        raise ValueError(f"it is a <{root.tag}>, not a <resource-agent>")
    every = list(_parameters(root))
    names = {parameter.name for parameter in every}
    return AgentInfo(
        parameters=tuple(p for p in every if p.name not in NEVER_PARAMETERS),
        actions=frozenset(action.get("name", "") for action in root.iterfind("actions/action")),
        host_argument=next((name for name in ("plug", "port") if name in names), ""),
        shortdesc=root.get("shortdesc", ""),
        longdesc=(root.findtext("longdesc") or "").strip(),
        url=(root.findtext("vendor-url") or "").strip(),
    )


def _parameters(root: Any) -> Iterator[AgentParameter]:
    for element in root.iterfind("parameters/parameter"):
        content = element.find("content")
        name = element.get("name", "")
        if not name:
            raise ValueError("a parameter without a name")
        yield AgentParameter(
            name=name,
            required=element.get("required") == "1",
            deprecated=element.get("deprecated") == "1",
            replaces=element.get("obsoletes", ""),
            kind=content.get("type", "string") if content is not None else "string",
            shortdesc=(element.findtext("shortdesc") or "").strip(),
        )
