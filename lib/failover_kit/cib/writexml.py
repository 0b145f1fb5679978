"""A cluster as CIB XML. The schema is Pacemaker's ``pacemaker-3.0.rng``, which all of 2.x and 3.x read."""

from __future__ import annotations

from lxml import etree

from failover_kit.cib.model import INFINITY, Cluster, Operation, PacemakerGroup, Primitive, as_comment, as_interval

SCHEMA = "pacemaker-3.0"
BOOTSTRAP = "cib-bootstrap-options"

Pairs = tuple[tuple[str, str], ...]


def as_text(cluster: Cluster, comments: tuple[str, ...] = ()) -> str:
    """The whole document, indented; ``comments`` stand before the configuration."""
    root = as_xml(cluster)
    for number, comment in enumerate(comments):
        root.insert(number, etree.Comment(f" {as_comment(comment)} "))
    etree.indent(root, "  ")
    text: str = etree.tostring(root, encoding="unicode")
    return text + "\n"


def as_xml(cluster: Cluster) -> etree._Element:
    """The ``cib`` element. Raises ValueError for a value XML cannot hold."""
    root = etree.Element("cib", {"validate-with": SCHEMA, "admin_epoch": "0", "epoch": "1", "num_updates": "0"})
    configuration = etree.SubElement(root, "configuration")
    config = etree.SubElement(configuration, "crm_config")
    _pairs(config, "cluster_property_set", BOOTSTRAP, cluster.properties)
    # Pacemaker fills it in from corosync. With nodes that nobody has seen yet crm_verify warns of their fencing.
    etree.SubElement(configuration, "nodes")
    resources = etree.SubElement(configuration, "resources")
    for group in cluster.groups:
        _group(resources, group)
    for fence in cluster.fences:
        _primitive(resources, fence.primitive)
    _constraints(etree.SubElement(configuration, "constraints"), cluster)
    if cluster.levels:
        topology = etree.SubElement(configuration, "fencing-topology")
        for level in cluster.levels:
            facts = {"id": f"level-{level.victim}-{level.index}", "target": level.victim}
            facts |= {"index": str(level.index), "devices": ",".join(level.devices)}
            etree.SubElement(topology, "fencing-level", facts)
    etree.SubElement(root, "status")
    return root


def _group(parent: etree._Element, group: PacemakerGroup) -> None:
    element = etree.SubElement(parent, "group", {"id": group.id})
    _pairs(element, "meta_attributes", f"{group.id}-meta", group.meta)
    for member in group.members:
        _primitive(element, member)


def _primitive(parent: etree._Element, primitive: Primitive) -> None:
    facts = {"id": primitive.id, "class": primitive.standard}
    if primitive.provider:
        facts["provider"] = primitive.provider
    element = etree.SubElement(parent, "primitive", {**facts, "type": primitive.type})
    _pairs(element, "meta_attributes", f"{primitive.id}-meta", primitive.meta)
    _pairs(element, "instance_attributes", f"{primitive.id}-params", primitive.parameters)
    if primitive.operations:
        operations = etree.SubElement(element, "operations")
        for operation in primitive.operations:
            _operation(operations, primitive.id, operation)


def _operation(parent: etree._Element, owner: str, operation: Operation) -> None:
    interval = as_interval(operation.interval_ms)
    name = f"{owner}-{operation.name}-{interval}"
    facts = {"id": name, "name": operation.name, "interval": interval}
    facts["timeout"] = as_interval(operation.timeout_ms)
    if operation.on_fail:
        facts["on-fail"] = operation.on_fail
    element = etree.SubElement(parent, "op", facts)
    if operation.depth:
        _pairs(element, "instance_attributes", f"{name}-params", (("OCF_CHECK_LEVEL", str(operation.depth)),))


def _pairs(parent: etree._Element, tag: str, name: str, pairs: Pairs) -> None:
    if not pairs:
        return
    element = etree.SubElement(parent, tag, {"id": name})
    for key, value in pairs:
        etree.SubElement(element, "nvpair", {"id": f"{name}-{key}", "name": key, "value": value})


def _constraints(parent: etree._Element, cluster: Cluster) -> None:
    """Where each group is at home, and that no device runs on the node it cuts."""
    places = [(group.id, group.home, cluster.home_score) for group in cluster.groups]
    places += [(fence.primitive.id, fence.victim, f"-{INFINITY}") for fence in cluster.fences]
    for resource, node, score in places:
        facts = {"id": f"location-{resource}", "rsc": resource, "node": node, "score": score}
        etree.SubElement(parent, "rsc_location", facts)
