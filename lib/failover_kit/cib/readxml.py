"""A CIB as plain facts, for import-cib: what of it two files could say, and a remark for each thing they could not.

Nothing outside the document is read: no DTD, no entity, no network (``cibadmin --query`` has none of them).
What a name means and what follows where it is absent: Pacemaker Explained.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lxml import etree

from failover_kit.cib import leftovers
from failover_kit.cib.hostmap import victims
from failover_kit.cib.model import Fate, Fence, Operation, Primitive, Remark, as_bool
from failover_kit.manager.config import is_secret_name

LIMIT = 1000
"""More elements of one kind are no two-node cluster that haresources could describe."""

ANY_NODE = "*"
"""In a level whose target is a pattern or an attribute: whom it is about is not known here."""

_TIME = re.compile(r"([0-9]{1,9})\s*(us|usec|ms|msec|s|sec|m|min|h|hr)?")
_MS = {"us": 0.001, "usec": 0.001, "ms": 1, "msec": 1, "m": 60_000, "min": 60_000, "h": 3_600_000, "hr": 3_600_000}
_NODES = (None, "", "member", "normal")
_FENCING_NAMES = {"fencing-enabled": "stonith-enabled", "fencing-action": "stonith-action"}
_NODE_NAME = re.compile(r"[a-z0-9._-]{1,255}")
_UNFENCING = ("fence_scsi", "fence_mpath")
_MOST = 1_000_000


class NotACib(Exception):
    """The text is no CIB of two nodes; ``str()`` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundGroup:
    """A group, or a primitive that stands alone. ``holes``: members that could not be read, by id."""

    id: str
    members: tuple[Primitive, ...]
    meta: dict[str, str]
    holes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A plain location constraint."""

    id: str
    resource: str
    node: str
    score: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that was found. ``scores`` are (resource, node) → the sum of its plain location constraints."""

    nodes: tuple[str, str]
    properties: dict[str, str]
    defaults: dict[str, str]
    groups: tuple[FoundGroup, ...]
    fences: tuple[Fence, ...]
    levels: tuple[tuple[str, int, tuple[str, ...]], ...]
    scores: dict[tuple[str, str], int]


@dataclass(slots=True)
class Reader:
    """Reads one document; ``remarks`` grow on the way."""

    remarks: list[Remark] = field(default_factory=list)
    _defaults: dict[str, str] = field(default_factory=dict)  # rsc_defaults
    _op_defaults: dict[str, str] = field(default_factory=dict)

    def read(self, data: bytes) -> Found:
        """Raises NotACib."""
        root = _parsed(data)
        configuration = root.find("configuration")
        if root.tag != "cib" or configuration is None:
            raise NotACib("this is no CIB; give what cibadmin --query prints")
        self._defaults = self._facts("rsc_defaults", configuration.iterfind("rsc_defaults/meta_attributes"))
        self._op_defaults = self._facts("op_defaults", configuration.iterfind("op_defaults/meta_attributes"))
        self.remarks += leftovers.of_meta("rsc_defaults", tuple(self._defaults.items()), in_a_group=False)
        groups, fences = self._resources(configuration.find("resources"))
        places = self._constraints(configuration.find("constraints"))
        properties = self._facts("crm_config", configuration.iterfind("crm_config/cluster_property_set"))
        nodes = self._nodes(configuration, places, fences)
        self.remarks += leftovers.of_configuration(root, configuration)
        self._places(places, nodes, groups, fences)
        return Found(
            nodes=nodes,
            properties={_FENCING_NAMES.get(name, name): value for name, value in properties.items()},
            defaults=self._defaults,
            groups=tuple(groups),
            fences=tuple(fences),
            levels=tuple(self._levels(configuration.find("fencing-topology"))),
            scores=_sums(places),
        )

    def lost(self, what: str, why: str, fate: Fate = Fate.LEFT_OUT) -> None:
        """One remark."""
        self.remarks.append(Remark(fate, what, why))

    def _nodes(
        self, configuration: etree._Element, places: list[Place], fences: list[Fence]
    ) -> tuple[str, str]:
        nodes = list(configuration.iterfind("nodes/node"))
        named = [node.get("uname", "") for node in nodes if node.get("type") in _NODES]
        remote = [node.get("uname", "") for node in nodes if node.get("type") == "remote"]
        if remote:
            self.lost(f"remote node {', '.join(remote)}", "a pair is two machines and no more")
        if not named:  # one that was never loaded, as export-cib prints it
            named = [place.node for place in places] + [fence.victim for fence in fences]
        found = tuple(dict.fromkeys(name.lower() for name in named if name))
        if any(not _NODE_NAME.fullmatch(name) for name in found):
            raise NotACib("a node's name has a sign that no name of a machine has; correct uname")
        if len(found) != 2:
            raise NotACib(f"{len(found)} nodes ({', '.join(found[:5])}); a pair has exactly two")
        return found[0], found[1]

    def _facts(self, owner: str, sets: Iterable[etree._Element]) -> dict[str, str]:
        """Name-value pairs of several sets; the highest score, then the first that says something counts."""
        plain = []
        for one in sets:
            if one.get("id-ref") or one.xpath(".//*[@id-ref]") or one.find("rule") is not None:
                self.lost(f"{owner}, {one.get('id', one.tag)}", "a rule or a reference; write out what it comes to")
            else:
                plain.append(one)
        plain.sort(key=lambda one: -as_score(one.get("score", "0")))
        found: dict[str, str] = {}
        for one in plain:
            for pair in one.iterfind("nvpair"):
                found.setdefault(pair.get("name", ""), pair.get("value", ""))
        return found

    # --- resources -------------------------------------------------------------------------------------

    def _resources(self, resources: etree._Element | None) -> tuple[list[FoundGroup], list[Fence]]:
        groups: list[FoundGroup] = []
        fences: list[Fence] = []
        for element in _elements(resources):
            if element.tag == "primitive" and element.get("class") == "stonith":
                primitive = self._device(element)
                if primitive is not None:
                    fences += [Fence(victim=victim, primitive=primitive) for victim in victims(primitive)]
            elif element.tag in ("primitive", "group"):
                group = self._group(element)
                if group is not None:
                    groups.append(group)
            else:
                name = element.get("id", "")
                self.lost(f"{element.tag} {name}", "haresources has groups, and each runs on one node at a time")
        return groups, fences

    def _group(self, element: etree._Element) -> FoundGroup | None:
        """A group, or a lone primitive; None after a remark for one that Pacemaker itself does not run."""
        what = f"{element.tag} {element.get('id', '')}"
        alone = element.tag == "primitive"
        inside = [element] if alone else element.findall("primitive")
        meta = {} if alone else self._facts(what, element.iterfind("meta_attributes"))
        if not alone and element.find("instance_attributes") is not None:
            self.lost(what, "parameters of a group, for all its members; write them into each member")
            return None
        made = [self._primitive(one) for one in inside]
        members = [primitive for primitive in made if primitive is not None]
        for primitive in members:
            idle = _idle({**self._defaults, **meta, **dict(primitive.meta)})
            if idle:
                which = "" if alone else f"primitive {primitive.id}, "
                why = f"{which}{idle} there, and failoverd starts every line it has; add the line when it is to run"
                self.lost(what, why)
                return None
            self.remarks += leftovers.of_meta(f"primitive {primitive.id}", primitive.meta, in_a_group=not alone)
        self.remarks += leftovers.of_meta(what, tuple(meta.items()), in_a_group=False)
        if alone and members:
            meta = dict(members[0].meta)
        holes = [one.get("id", "") for one, primitive in zip(inside, made, strict=True) if primitive is None]
        if not members:
            return None
        return FoundGroup(id=element.get("id", ""), members=tuple(members), meta=meta, holes=tuple(holes))

    def _device(self, element: etree._Element) -> Primitive | None:
        """A fence device; None after a remark for one that Pacemaker does not use, or uses otherwise."""
        primitive = self._primitive(element)
        if primitive is None:
            return None
        meta = {**self._defaults, **dict(primitive.meta)}
        what = f"fence device {primitive.id}"
        if meta.get("target-role", "").lower() == "stopped":
            self.lost(what, "target-role=Stopped there, so nothing is cut by it; add it when it is to be used")
            return None
        if meta.get("provides") == "unfencing" or primitive.type in _UNFENCING:
            self.lost(what, "a node it cuts stays cut until it is unfenced, which nobody does here; cut its power")
            return None
        self.remarks += leftovers.of_meta(what, primitive.meta, in_a_group=False)
        return primitive

    def _primitive(self, element: etree._Element) -> Primitive | None:
        name = element.get("id", "")
        if element.get("template") or element.xpath(".//*[@id-ref]") or element.xpath(".//rule"):
            self.lost(f"primitive {name}", "a template, a reference or a rule; write out what it comes to")
            return None
        if (element.get("provider"), element.get("type")) == ("pacemaker", "remote"):
            self.lost(f"primitive {name}", "a remote node; a pair is two machines and no more")
            return None
        if element.find("utilization") is not None:
            self.lost(f"primitive {name}, utilization", "there is no placement by load", Fate.DROPPED)
        what = f"primitive {name}"
        return Primitive(
            id=name,
            standard=element.get("class", ""),
            provider=element.get("provider", ""),
            type=element.get("type", ""),
            parameters=tuple(self._facts(what, element.iterfind("instance_attributes")).items()),
            operations=self._operations(name, element.findall("operations/op")),
            meta=tuple(self._facts(what, element.iterfind("meta_attributes")).items()),
        )

    def _operations(self, owner: str, elements: list[etree._Element]) -> tuple[Operation, ...]:
        """Those failoverd has; where op_defaults gives a timeout, also a start and a stop that are not written."""
        found = [made for element in elements if (made := self._operation(owner, element)) is not None]
        others = dict.fromkeys(element.get("name", "") for element in elements)
        unknown = [name for name in others if name not in ("start", "stop", "monitor")]
        if unknown:
            self.lost(f"{owner}, op {', '.join(unknown)}", "failoverd never calls it", Fate.DROPPED)
        limit_ms = as_ms(self._op_defaults.get("timeout", "0"))
        for name in ("start", "stop"):
            if limit_ms and name not in others:
                found.append(Operation(name=name, timeout_ms=limit_ms))
        return tuple(found)

    def _operation(self, owner: str, element: etree._Element) -> Operation | None:
        name = element.get("name", "")
        if name not in ("start", "stop", "monitor"):
            return None
        what = f"{owner}, op {name}"
        own = self._facts(what, element.iterfind("meta_attributes"))
        facts: dict[str, str] = {**self._op_defaults, **own, **element.attrib}
        parameters = self._facts(what, element.iterfind("instance_attributes"))
        self.remarks += leftovers.of_operation(what, facts, parameters)
        if name == "monitor" and (as_bool(facts.get("enabled", "true")) is False or _when_stopped(facts)):
            return None  # without one op_monitor_interval=0s says the same
        interval_ms = as_ms(facts.get("interval", "0"))
        timeout_ms = as_ms(facts.get("timeout", "0"))
        if interval_ms is None or timeout_ms is None:
            self.lost(what, "a time that is no number with a unit; write it as 10s", Fate.DROPPED)
            return None
        depth = parameters.get("OCF_CHECK_LEVEL", "0")
        level = int(depth) if depth.isascii() and depth.isdigit() and len(depth) <= 3 else 0
        return Operation(name=name, interval_ms=interval_ms, timeout_ms=timeout_ms, depth=level)

    # --- constraints and levels ------------------------------------------------------------------------

    def _constraints(self, constraints: etree._Element | None) -> list[Place]:
        places = []
        for element in _elements(constraints):
            name = element.get("id", "")
            resource, node = element.get("rsc"), element.get("node")
            if element.tag == "rsc_location" and resource and node and len(element) == 0:
                score = as_score(element.get("score", "0"))
                places.append(Place(id=name, resource=resource, node=node.lower(), score=score))
                if element.get("resource-discovery", "always") != "always":
                    what = f"rsc_location {name}, resource-discovery"
                    self.lost(what, "a probe goes to both nodes", Fate.DROPPED)
            else:
                why = "order and place are those of a group's members; put them into one group, or give it up"
                self.lost(f"{element.tag} {name}", why)
        return places

    def _places(
        self, places: list[Place], nodes: tuple[str, str], groups: list[FoundGroup], fences: list[Fence]
    ) -> None:
        """A remark for each place that no line of the two files can say."""
        owners = {member.id: group.id for group in groups for member in group.members}
        known = {group.id for group in groups}
        cut_by: dict[str, list[str]] = {}
        for fence in fences:
            cut_by.setdefault(fence.primitive.id, []).append(fence.victim)
        for place in places:
            what = f"rsc_location {place.id}, {place.resource} on {place.node}"
            if place.node not in nodes:
                self.lost(what, "no node of the pair", Fate.DROPPED)
            elif place.resource in cut_by:
                if place.score >= 0 or cut_by[place.resource] != [place.node]:
                    self.lost(what, "the node that lives uses a device, and never its victim", Fate.DROPPED)
            elif place.resource in owners and place.resource not in known:
                why = f"a member of {owners[place.resource]}, and a line has one place; give the place to the group"
                self.lost(what, why)
            elif place.resource not in known:
                self.lost(what, "it is not in haresources", Fate.DROPPED)

    def _levels(self, topology: etree._Element | None) -> Iterable[tuple[str, int, tuple[str, ...]]]:
        for element in _elements(topology):
            target, index = element.get("target"), element.get("index", "")
            devices = tuple(name.strip() for name in element.get("devices", "").split(",") if name.strip())
            if not target or not (index.isascii() and index.isdigit() and len(index) <= 3):
                why = "only a level of a node by its name fits, with a number from 1 to 9"
                self.lost(f"fencing-level {element.get('id', '')}", why)
                yield (target or ANY_NODE).lower(), 0, devices
            else:
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


def _idle(meta: Mapping[str, str]) -> str:
    """Why Pacemaker does not run it, or not care for it: ``target-role=Stopped``; "" when it does."""
    if meta.get("target-role", "").lower() == "stopped":
        return "target-role=Stopped"
    if as_bool(meta.get("is-managed", "true")) is False:
        return "is-managed=false"
    return "maintenance=true" if as_bool(meta.get("maintenance", "false")) else ""


def _when_stopped(facts: Mapping[str, str]) -> bool:
    """A monitor for the nodes where it must not run."""
    return facts.get("role", "").lower() == "stopped"


def _sums(places: Iterable[Place]) -> dict[tuple[str, str], int]:
    """Scores add up; INFINITY stays what it is, and minus INFINITY wins (Pacemaker Explained, "Scores")."""
    found: dict[tuple[str, str], int] = {}
    for place in places:
        key = (place.resource, place.node)
        known = found.get(key, 0)
        least = min(known, place.score)
        found[key] = -_MOST if least <= -_MOST else min(known + place.score, _MOST)
    return found


def as_score(text: str) -> int:
    """A score as a number: INFINITY is a million (Pacemaker Explained, "Scores"); what is none counts 0."""
    sign = -1 if text.startswith("-") else 1
    body = text.lstrip("+-")
    if body.upper() == "INFINITY":
        return sign * _MOST
    return sign * min(int(body), _MOST) if body.isascii() and body.isdigit() and len(body) < 10 else 0


def as_ms(text: str) -> int | None:
    """A time as Pacemaker writes one; None for anything else (ISO 8601 is not read)."""
    found = _TIME.fullmatch(text.strip().lower())
    if found is None:
        return None
    return int(int(found[1]) * _MS.get(found[2] or "s", 1000))


def secrets_of(primitive: Primitive) -> list[str]:
    """The names of its parameters that carry a secret."""
    return [name for name, _ in primitive.parameters if is_secret_name(name)]
