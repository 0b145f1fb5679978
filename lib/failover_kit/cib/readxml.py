"""A CIB as plain facts, for import-cib: what of it two files could say, and a remark for each thing they could not.

Nothing outside the document is read: no DTD, no entity, no network (``cibadmin --query`` has none of them).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from lxml import etree

from failover_kit.cib.model import Fate, Fence, Operation, Primitive, Remark
from failover_kit.manager.config import is_secret_name

LIMIT = 1000
"""More elements of one kind are no two-node cluster that haresources could describe."""

_TIME = re.compile(r"(\d{1,9})\s*(us|usec|ms|msec|s|sec|m|min|h|hr)?")
_MS = {"us": 0.001, "usec": 0.001, "ms": 1, "msec": 1, "m": 60_000, "min": 60_000, "h": 3_600_000, "hr": 3_600_000}
_NODES = (None, "", "member", "normal")
_FENCING_NAMES = {"fencing-enabled": "stonith-enabled", "fencing-action": "stonith-action"}


class NotACib(Exception):
    """The text is no CIB of two nodes; ``str()`` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundGroup:
    """A group, or a primitive that stands alone."""

    id: str
    members: tuple[Primitive, ...]
    meta: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that was found. ``scores`` are (resource, node) → score of plain location constraints."""

    nodes: tuple[str, str]
    properties: dict[str, str]
    defaults: dict[str, str]
    groups: tuple[FoundGroup, ...]
    fences: tuple[Fence, ...]
    levels: tuple[tuple[str, int, tuple[str, ...]], ...]
    scores: dict[tuple[str, str], str]


@dataclass(slots=True)
class Reader:
    """Reads one document; ``remarks`` grow on the way."""

    remarks: list[Remark] = field(default_factory=list)

    def read(self, data: bytes) -> Found:
        """Raises NotACib."""
        root = _parsed(data)
        configuration = root.find("configuration")
        if root.tag != "cib" or configuration is None:
            raise NotACib("this is no CIB; give what cibadmin --query prints")
        groups, fences = self._resources(configuration.find("resources"))
        scores = self._constraints(configuration.find("constraints"))
        properties = _pairs(configuration.iterfind("crm_config/cluster_property_set"))
        return Found(
            nodes=self._nodes(configuration, scores, fences),
            properties={_FENCING_NAMES.get(name, name): value for name, value in properties.items()},
            defaults=_pairs(configuration.iterfind("rsc_defaults/meta_attributes")),
            groups=tuple(groups),
            fences=tuple(fences),
            levels=tuple(self._levels(configuration.find("fencing-topology"))),
            scores=scores,
        )

    def lost(self, what: str, why: str, fate: Fate = Fate.LEFT_OUT) -> None:
        """One remark."""
        self.remarks.append(Remark(fate, what, why))

    def _nodes(
        self, configuration: etree._Element, scores: dict[tuple[str, str], str], fences: list[Fence]
    ) -> tuple[str, str]:
        nodes = list(configuration.iterfind("nodes/node"))
        named = [node.get("uname", "") for node in nodes if node.get("type") in _NODES]
        remote = [node.get("uname", "") for node in nodes if node.get("type") == "remote"]
        if remote:
            self.lost(f"remote node {', '.join(remote)}", "a pair is two machines and no more")
        if not named:  # one that was never loaded, as export-cib prints it
            named = [node for _, node in scores] + [fence.victim for fence in fences]
        found = tuple(dict.fromkeys(name.lower() for name in named if name))
        if len(found) != 2:
            raise NotACib(f"{len(found)} nodes ({', '.join(found[:5])}); a pair has exactly two")
        return found[0], found[1]

    # --- resources -------------------------------------------------------------------------------------

    def _resources(self, resources: etree._Element | None) -> tuple[list[FoundGroup], list[Fence]]:
        groups: list[FoundGroup] = []
        fences: list[Fence] = []
        for element in _elements(resources):
            name = element.get("id", "")
            if element.tag == "primitive" and element.get("class") == "stonith":
                primitive = self._primitive(element)
                if primitive is not None:
                    fences += [Fence(victim=victim, primitive=primitive) for victim in _victims(primitive)]
            elif element.tag in ("primitive", "group"):
                inside = [element] if element.tag == "primitive" else element.findall("primitive")
                members = [made for one in inside if (made := self._primitive(one)) is not None]
                meta = _pairs(element.iterfind("meta_attributes"))
                if members:
                    groups.append(FoundGroup(id=name, members=tuple(members), meta=meta))
            else:
                self.lost(f"{element.tag} {name}", "haresources has groups, and each runs on one node at a time")
        return groups, fences

    def _primitive(self, element: etree._Element) -> Primitive | None:
        name = element.get("id", "")
        if element.get("template") or element.xpath(".//*[@id-ref]") or element.xpath(".//rule"):
            self.lost(f"primitive {name}", "a template, a reference or a rule; write out what it comes to")
            return None
        if element.find("utilization") is not None:
            self.lost(f"primitive {name}, utilization", "there is no placement by load", Fate.DROPPED)
        found = [self._operation(name, op) for op in element.iterfind("operations/op")]
        return Primitive(
            id=name,
            standard=element.get("class", ""),
            provider=element.get("provider", ""),
            type=element.get("type", ""),
            parameters=tuple(_pairs(element.iterfind("instance_attributes")).items()),
            operations=tuple(operation for operation in found if operation is not None),
        )

    def _operation(self, owner: str, element: etree._Element) -> Operation | None:
        name = element.get("name", "")
        if name not in ("start", "stop", "monitor"):
            return None
        interval_ms = as_ms(element.get("interval", "0"))
        timeout_ms = as_ms(element.get("timeout", "0"))
        if interval_ms is None or timeout_ms is None:
            self.lost(f"{owner}, op {name}", "a time that is no number with a unit; write it as 10s", Fate.DROPPED)
            return None
        depth = _pairs(element.iterfind("instance_attributes")).get("OCF_CHECK_LEVEL", "0")
        level = int(depth) if depth.isascii() and depth.isdigit() and len(depth) <= 3 else 0
        on_fail = element.get("on-fail", "")
        if on_fail not in ("", "fence" if name == "stop" else "restart"):
            self.lost(f"{owner}, op {name} on-fail={on_fail}", "what follows a failure is fixed", Fate.CHANGED)
        return Operation(name=name, interval_ms=interval_ms, timeout_ms=timeout_ms, depth=level)

    # --- constraints and levels ------------------------------------------------------------------------

    def _constraints(self, constraints: etree._Element | None) -> dict[tuple[str, str], str]:
        scores: dict[tuple[str, str], str] = {}
        for element in _elements(constraints):
            name = element.get("id", "")
            resource, node = element.get("rsc"), element.get("node")
            if element.tag == "rsc_location" and resource and node and len(element) == 0:
                scores[(resource, node.lower())] = element.get("score", "0")
            else:
                why = "order and place are those of a group's members; put them into one group, or give it up"
                self.lost(f"{element.tag} {name}", why)
        return scores

    def _levels(self, topology: etree._Element | None) -> Iterable[tuple[str, int, tuple[str, ...]]]:
        for element in _elements(topology):
            target, index = element.get("target"), element.get("index", "")
            if not target or not index.isdigit():
                self.lost(f"fencing-level {element.get('id', '')}", "only a level of a node by its name fits")
                continue
            devices = tuple(name.strip() for name in element.get("devices", "").split(",") if name.strip())
            yield target.lower(), int(index), devices


def _parsed(data: bytes) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        fact = str(error).removesuffix(f" (<string>, line {getattr(error, 'lineno', 0)})")[:200]
        raise NotACib(f"not XML: {fact}; give what cibadmin --query prints") from None
    if root.getroottree().docinfo.doctype:
        raise NotACib("it has a document type; no CIB has")
    return root


def _elements(parent: etree._Element | None) -> list[etree._Element]:
    found = [] if parent is None else [element for element in parent if isinstance(element.tag, str)]
    if len(found) > LIMIT:
        raise NotACib(f"{len(found)} elements in {parent.tag}; this is no pair")  # type: ignore[union-attr]
    return found


def _pairs(sets: Iterable[etree._Element]) -> dict[str, str]:
    """Name-value pairs of several sets; the first that says something counts, as for Pacemaker."""
    found: dict[str, str] = {}
    for one in sets:
        for pair in one.iterfind("nvpair"):
            found.setdefault(pair.get("name", ""), pair.get("value", ""))
    return found


def _victims(primitive: Primitive) -> list[str]:
    """Whom a device cuts: pcmk_host_map, pcmk_host_list; [""] when it says neither."""
    given = dict(primitive.parameters)
    names = [part.partition(":")[0] for part in re.split(r"[;\s]+", given.get("pcmk_host_map", "")) if part]
    names += [part for part in re.split(r"[,;\s]+", given.get("pcmk_host_list", "")) if part]
    return [name.lower() for name in dict.fromkeys(names)] or [""]


def plug_of(primitive: Primitive, victim: str) -> str:
    """The plug pcmk_host_map gives for that node, else the node's own name."""
    for part in re.split(r"[;\s]+", dict(primitive.parameters).get("pcmk_host_map", "")):
        name, colon, plug = part.partition(":")
        if colon and name.lower() == victim:
            return plug
    return victim


def as_ms(text: str) -> int | None:
    """A time as Pacemaker writes one; None for anything else (ISO 8601 is not read)."""
    found = _TIME.fullmatch(text.strip().lower())
    if found is None:
        return None
    return int(int(found[1]) * _MS.get(found[2] or "s", 1000))


def secrets_of(primitive: Primitive) -> list[str]:
    """The names of its parameters that carry a secret."""
    return [name for name, _ in primitive.parameters if is_secret_name(name)]
