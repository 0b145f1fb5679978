"""What of a CIB no line of the two files takes up: a remark for each, so that nothing is dropped in silence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lxml import etree

from failover_kit.cib.model import FORGET_FAILURES_MS, Fate, Remark, as_bool, as_interval, names

_READ = names("crm_config nodes resources constraints rsc_defaults op_defaults fencing-topology")
_META = names("target-role is-managed maintenance")  # what is idle by them was left out by the reader
_META_OF_A_GROUP = names("resource-stickiness migration-threshold")
_OP = names("id name interval timeout enabled role on-fail record-pending description")


def of_configuration(root: etree._Element, configuration: etree._Element) -> Iterator[Remark]:
    """Whole sections, and what is said of nodes."""
    for section in configuration:
        if section.tag in _READ:
            continue
        for element in section:
            what = f"{element.tag} {element.get('id', '')}"
            if section.tag == "alerts":
                yield Remark(Fate.LEFT_OUT, what, "put its script into /etc/ha.d/alerts.d")
            else:
                yield Remark(Fate.DROPPED, what, "there is no such thing")
    for node in configuration.iterfind("nodes/node"):
        for pair in node.iterfind(".//nvpair"):
            yield _of_node(node.get("uname", ""), pair)
    unames = {node.get("id"): node.get("uname", "") for node in configuration.iterfind("nodes/node")}
    for state in root.iterfind("status/node_state"):
        uname = state.get("uname") or unames.get(state.get("id"), "")
        for pair in state.iterfind("transient_attributes//nvpair"):
            if pair.get("name") == "standby" and _on(pair):
                yield _of_node(uname, pair)


def _of_node(node: str, pair: etree._Element) -> Remark:
    name, value = pair.get("name", ""), pair.get("value", "")
    what = f"node {node}, {name}={value}"
    if name == "standby" and _on(pair):
        return Remark(Fate.LEFT_OUT, what, f"here it may serve; failoverctl standby {node} once failoverd runs")
    if name == "maintenance" and _on(pair):
        return Remark(Fate.LEFT_OUT, what, "here it is cared for from the start; see failoverctl maintenance")
    return Remark(Fate.DROPPED, f"node {node}, {name}", "nodes have no attributes")


def _on(pair: etree._Element) -> bool:
    return as_bool(pair.get("value", "")) is True


def of_meta(what: str, meta: tuple[tuple[str, str], ...], *, in_a_group: bool) -> Iterator[Remark]:
    """Meta attributes. ``in_a_group``: of a member, where what counts for the line is the group's."""
    for name, value in meta:
        if name in _META or (name in _META_OF_A_GROUP and not in_a_group):
            continue
        if name == "priority" and value in ("0", "1"):
            continue  # as export-cib writes it: the node that serves has a head start, as here
        named = f"{what}, {name}={value}"
        if name == "failure-timeout":
            if value not in (as_interval(FORGET_FAILURES_MS), str(FORGET_FAILURES_MS // 1000)):
                yield Remark(Fate.CHANGED, named, "here failures are forgotten after ten minutes")
        elif name == "remote-node":
            yield Remark(Fate.LEFT_OUT, named, "a guest node; a pair is two machines and no more")
        elif name in _META_OF_A_GROUP:
            yield Remark(Fate.DROPPED, named, "it counts for a whole line; give it to the group")
        else:
            yield Remark(Fate.DROPPED, named, "there is no such thing")


def of_operation(what: str, facts: Mapping[str, str], parameters: Mapping[str, str]) -> Iterator[Remark]:
    """What is said of an operation beside its times. ``facts`` are attributes, its own and of op_defaults."""
    on_fail = facts.get("on-fail", "")
    if on_fail not in ("", "fence" if facts.get("name") == "stop" else "restart"):
        yield Remark(Fate.CHANGED, f"{what} on-fail={on_fail}", "what follows a failure is fixed")
    if facts.get("role", "").lower() == "stopped":
        yield Remark(Fate.DROPPED, f"{what} role={facts['role']}", "a group that does not run is not monitored")
    if as_bool(facts.get("enabled", "true")) is False and facts.get("name") != "monitor":
        yield Remark(Fate.CHANGED, f"{what} enabled={facts['enabled']}", "here every resource starts and stops")
    for name, value in facts.items():
        if name not in _OP:
            yield Remark(Fate.DROPPED, f"{what} {name}={value}", "there is no such thing")
    for name in parameters:
        if name != "OCF_CHECK_LEVEL":
            why = "an operation has no parameters of its own but its depth"
            yield Remark(Fate.DROPPED, f"{what}, parameter {name}", why)
