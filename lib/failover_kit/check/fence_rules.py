"""Findings about fencing: devices, plugs, circuits, passwords, and management boards."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from ipaddress import ip_address

from failover_kit.check.findings import Finding, Severity, found
from failover_kit.check.subject import Subject
from failover_kit.manager.config import FenceDevice, is_secret_name
from failover_kit.manager.fencedevices import find_agents
from failover_kit.manager.hacf_fencing import WTI_AGENT

BOARD = re.compile(r"ipmi|ilo|drac|redfish|bmc|rsa|imm\b|amt|ibmasm|riloe", re.IGNORECASE)
"""Agents of management boards: they live from the power of the node they cut."""

_WTI = re.compile(r"wti|ips", re.IGNORECASE)
_ADDRESS_NAMES = ("ip", "ipaddr", "hostname", "ipport_host", "address", "server")
_EXAMPLE_PASSWORDS = (
    "changeme",
    "password",
    "secret",
    "PASSWORD",
    "THE-PASSWORD",
    "admin",
    "ADMIN",
    "calvin",
    "test",
)
_CIRCUIT_PLUGS = 4  # of an IPS-800: plugs 1 to 4 on inlet A, 5 to 8 on inlet B


def findings(subject: Subject) -> Iterator[Finding]:
    config = subject.loaded.config
    for node in config.nodes:
        if not config.can_fence(node):
            remedy = "add to ha.cf: fence_device NAME AGENT ip=ADDRESS password_file=FILE plug.NODE=PLUG"
            yield found("no-fence", "ha.cf", f"no fence device cuts {node}", remedy)
        elif len(config.devices_for(node)) == 1:
            names = " + ".join(device.name for device in config.devices_for(node)[0])
            remedy = f"add a device of another kind and: fence_level {node} 2 DEVICE"
            yield found(
                "one-fence-way", _place(config.devices_for(node)[0][0]), f"{node} is cut by {names} alone", remedy
            )
    for problem in find_agents(config, subject.peer, subject.search)[1]:
        place, _, text = problem.partition(": ")
        fact, _, remedy = text.rpartition("; ")
        yield found("fence-agent-missing", place, fact, remedy)
    used = _used(subject)
    for device in used:
        yield from _passwords(subject, device)
        yield from _address(subject, device)
        yield from _plugs(subject, device)
    yield from _shared(subject, used)
    yield from _boards(subject)


def _used(subject: Subject) -> list[FenceDevice]:
    """The devices of all levels of both nodes, in file order."""
    config = subject.loaded.config
    names = {device.name for node in config.nodes for level in config.devices_for(node) for device in level}
    return [device for device in config.fence_devices if device.name in names]


def _place(device: FenceDevice) -> str:
    return f"ha.cf:{device.line}"


def _passwords(subject: Subject, device: FenceDevice) -> Iterator[Finding]:
    path = dict(device.parameters).get("password_file") or dict(device.parameters).get("passwd_file", "")
    instead = f"password_file=/etc/ha.d/{device.name}.password in its place, mode 600"
    for name, value in device.parameters:
        if not is_secret_name(name):
            continue
        if value in _EXAMPLE_PASSWORDS:
            address = dict(device.parameters).get("ip", "ADDRESS")
            remedy = f"write {instead}, and set another one: failoverctl switch setup --ip {address} --new-password"
            yield found(
                "example-password", _place(device), f"the {name} of {device.name} is one of documents", remedy
            )
        mode = subject.tree.mode(subject.file("ha.cf"))
        if mode is not None and mode & 0o044:
            fact = f"the {name} of {device.name} stands in ha.cf, mode {stat.S_IMODE(mode):04o}"
            yield found(
                "password-readable", _place(device), fact, f"chmod 600 {subject.file('ha.cf')}, or {instead}"
            )
    if not path:
        return
    mode = subject.tree.mode(path)
    if mode is None:
        yield found(
            "password-file",
            _place(device),
            f"{path} is not there",
            f"write it on this node: umask 077; cat > {path}",
        )
    elif mode & 0o077:
        fact = f"{path} is open to others (mode {stat.S_IMODE(mode):04o})"
        yield found("password-file", _place(device), fact, f"chmod 600 {path}")


def address_of(device: FenceDevice) -> str:
    """The address or name by which a device is called; "" for a serial line."""
    parameters = dict(device.parameters)
    return next((parameters[name] for name in _ADDRESS_NAMES if parameters.get(name)), "")


def _address(subject: Subject, device: FenceDevice) -> Iterator[Finding]:
    name = address_of(device)
    if not name or _is_address(name):
        return
    written = {word for _, line in subject.tree.lines("/etc/hosts") for word in line.lower().split()[1:]}
    if name.lower() in written:
        return
    known = subject.probes.addresses_of(name)
    fact = f"{name} is not in /etc/hosts"
    if not known:
        fact += " and does not resolve now"
    remedy = f"add to /etc/hosts on both nodes: {known[0] if known else 'ADDRESS'} {name}"
    yield found("fence-address-dns", _place(device), fact, remedy, None if known else Severity.ERROR)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _plugs(subject: Subject, device: FenceDevice) -> Iterator[Finding]:
    config = subject.loaded.config
    if not (device.agent == WTI_AGENT or _WTI.search(device.agent)):
        return
    nodes = [node for node in config.nodes if any(device in level for level in config.devices_for(node))]
    plugs = {node: device.plugs_for(node) for node in nodes}
    named = [node for node in nodes if not all(plug.isascii() and plug.isdigit() for plug in plugs[node])]
    if named:
        own = " ".join(f"plug.{node}=NUMBER" for node in nodes)
        fact = f"{device.name} finds its plugs by name: " + ", ".join(f"{n} by {'+'.join(plugs[n])}" for n in named)
        remedy = f"see failoverctl switch show, and write: fence_device {device.name} {device.agent} … {own}"
        yield found("fence-by-name", _place(device), fact, remedy)
    if len(nodes) < 2:
        return
    if named:
        fact = f"whether {' and '.join(nodes)} hang on both circuits of {device.name} cannot be seen from here"
        yield found("circuits", _place(device), fact, "look: one node on a plug of 1 to 4, the other one on 5 to 8")
        return
    circuits = {
        node: {(int(plug) - 1) // _CIRCUIT_PLUGS for plug in plugs[node] if len(plug) < 4} for node in nodes
    }
    if len(set.union(*circuits.values())) == 1:
        fact = f"the plugs of {' and '.join(nodes)} are on one circuit of {device.name}"
        remedy = "move one node to a plug of the other four, and its plug.NODE with it"
        yield found("circuits", _place(device), fact, remedy, Severity.WARNING)


def _shared(subject: Subject, used: list[FenceDevice]) -> Iterator[Finding]:
    """One plug under two devices: the parser sees equal parameters only, not two names of one address."""
    config = subject.loaded.config
    feeds: dict[tuple[str, str], tuple[str, FenceDevice]] = {}
    where: dict[str, str] = {}
    for device in used:
        name = address_of(device)
        if not name:
            continue
        if name not in where:
            where[name] = name if _is_address(name) else next(iter(subject.probes.addresses_of(name)), name)
        for node in config.nodes:
            if not any(device in level for level in config.devices_for(node)):
                continue
            for plug in device.plugs_for(node):
                other, first = feeds.setdefault((where[name], plug.lower()), (node, device))
                if other != node:
                    feeding = f"{other} (by {first.name}) and {node} (by {device.name})"
                    fact = f"plug {plug} at {where[name]} feeds {feeding}"
                    yield found("plug-shared", _place(device), fact, f"correct plug.{node} of {device.name}")


def _boards(subject: Subject) -> Iterator[Finding]:
    config = subject.loaded.config
    for node in config.nodes:
        levels = config.devices_for(node)
        if levels and all(all(BOARD.search(device.agent) for device in level) for level in levels):
            device = levels[0][0]
            remedy = f"add a power switch, and: fence_level {node} 2 SWITCH"
            yield found(
                "bmc-alone", _place(device), f"{node} is cut by {device.name} ({device.agent}) only", remedy
            )
    own = [device for level in config.devices_for(subject.node) for device in level if BOARD.search(device.agent)]
    if own:
        yield from _power_button(subject)


def _power_button(subject: Subject) -> Iterator[Finding]:
    """What this node does when its power button is pressed (logind.conf(5); acpid)."""
    tree = subject.tree
    if tree.exists("/run/systemd/system") or tree.exists("/etc/systemd/logind.conf"):
        files = ["/etc/systemd/logind.conf"]
        for folder in (
            "/usr/lib/systemd/logind.conf.d",
            "/run/systemd/logind.conf.d",
            "/etc/systemd/logind.conf.d",
        ):
            files += [f"{folder}/{name}" for name in tree.names(folder) if name.endswith(".conf")]
        said = [
            line.partition("=")[2].strip()
            for path in files
            for _, line in tree.lines(path)
            if re.match(r"HandlePowerKey\s*=", line)
        ]
        key = said[-1] if said else "poweroff"
        if key != "ignore":
            fact = f"logind answers the power button with {key} ({'as written' if said else 'its default'})"
            remedy = "write HandlePowerKey=ignore under [Login], then: systemctl restart systemd-logind"
            yield found("soft-off", "/etc/systemd/logind.conf", fact, remedy)
    for name in tree.names("/etc/acpi/events"):
        path = f"/etc/acpi/events/{name}"
        if any("button/power" in line for _, line in tree.lines(path)):
            yield found("soft-off", path, "acpid answers the power button", f"rm {path}, then restart acpid")
