"""Findings about the machine: names, clock, watchdog, the state directory."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface

from failover_kit.check.findings import Finding, Severity, found
from failover_kit.check.subject import Subject

LITTLE_BYTES = 64 << 20
NO_BYTES = 4 << 20
"""Two journals of bounded size and a short record fit in the first; nothing fits in the second."""

_VOLATILE = ("tmpfs", "ramfs", "overlay", "rootfs")


def findings(subject: Subject) -> Iterator[Finding]:
    yield from _names(subject)
    yield from _clock(subject)
    yield from _watchdog(subject)
    yield from _state(subject)


def _names(subject: Subject) -> Iterator[Finding]:
    networks = subject.probes.networks()
    own = {str(ip_interface(text).ip) for texts in networks.values() for text in texts}
    for node in subject.loaded.config.nodes:
        addresses = subject.probes.addresses_of(node)
        if not addresses:
            fact = f"{node} does not resolve on {subject.node}"
            yield found("name-unresolved", "/etc/hosts", fact, f"add to /etc/hosts on both nodes: ADDRESS {node}")
        elif node != subject.node and any(address in own or _is_loopback(address) for address in addresses):
            fact = f"{node} is {', '.join(addresses)} here, and {subject.node} is this machine"
            yield found("name-loopback", "/etc/hosts", fact, f"correct the line of {node} in /etc/hosts")


def _is_loopback(text: str) -> bool:
    try:
        return ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _clock(subject: Subject) -> Iterator[Finding]:
    if subject.probes.clock_synchronised() is False:
        remedy = "install chrony, give both nodes the same server, and look with: chronyc tracking"
        yield found(
            "clock-unsynchronised", "/etc/chrony", f"the kernel of {subject.node} says so (adjtimex)", remedy
        )


def _watchdog(subject: Subject) -> Iterator[Finding]:
    device = subject.loaded.config.watchdog_device
    if device is None:
        remedy = "where the hardware has none modprobe softdog; add to ha.cf: watchdog /dev/watchdog"
        yield found("watchdog-none", "ha.cf", "ha.cf has no watchdog", remedy)
        return
    mode = subject.tree.mode(device)
    if mode is None or not stat.S_ISCHR(mode):
        remedy = "load its driver at boot: echo softdog > /etc/modules-load.d/watchdog.conf; modprobe softdog"
        yield found("watchdog-device", "ha.cf", f"{device} is not there", remedy)


def _state(subject: Subject) -> Iterator[Finding]:
    path = subject.state_dir
    while subject.tree.mode(path) is None and path != "/":
        path = os.path.dirname(path)
    holder = max(
        (mount for mount in subject.probes.mounts() if _contains(mount.point, path)),
        key=lambda mount: len(mount.point),
        default=None,
    )
    if holder is not None and holder.fstype in _VOLATILE and holder.point != "/":
        fact = f"{subject.state_dir} is on {holder.fstype} ({holder.point})"
        yield found("state-volatile", subject.state_dir, fact, "put it on a local disk")
    free = subject.probes.free_bytes(subject.tree.real(path))
    if free is not None and free < LITTLE_BYTES:
        fact = f"{free >> 20} MiB are free where {subject.state_dir} is"
        severity = Severity.ERROR if free < NO_BYTES else Severity.WARNING
        yield found(
            "state-space",
            subject.state_dir,
            fact,
            "make room on that filesystem, or give it one of its own",
            severity,
        )


def _contains(point: str, path: str) -> bool:
    return point in ("/", path) or path.startswith(point + "/")
