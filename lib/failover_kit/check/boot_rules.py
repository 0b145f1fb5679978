"""Findings about what starts, mounts and assembles at boot without the cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator

from failover_kit.check import tables
from failover_kit.check.findings import Finding, Severity, found
from failover_kit.check.managed import Volume
from failover_kit.check.subject import Subject

OTHER_MANAGERS = ("heartbeat", "pacemaker", "corosync", "keepalived", "drbd-reactor", "rgmanager", "cman")
_MDADM_FILES = ("/etc/mdadm/mdadm.conf", "/etc/mdadm.conf")
_MOUNT_UNITS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")


def findings(subject: Subject) -> Iterator[Finding]:
    yield from _services(subject)
    yield from _fstab(subject)
    yield from _words(subject)
    yield from _arrays(subject)
    yield from _mount_units(subject)
    yield from _volume_groups(subject)


def _services(subject: Subject) -> Iterator[Finding]:
    seen: set[str] = set()
    for service in subject.managed.services:
        start = subject.boot.of(service.names)
        if start is None or start.place in seen:
            continue
        seen.add(start.place)
        more = f" (and {start.more} links like this one)" if start.more else ""
        fact = f"{start.name} starts at boot{more}; the cluster starts it ({service.place})"
        yield found("boot-enabled", start.place, fact, start.remedy)
    for name in OTHER_MANAGERS:
        start = subject.boot.of((name,))
        if start is not None:
            yield found("other-manager", start.place, f"{start.name} starts at boot", start.remedy)
    running, _, remedy = subject.probes.heartbeat().partition("; ")
    if running:
        yield found("other-manager", "", running, remedy)
    if subject.boot.of(("failoverd",)) is None:
        remedy = "systemctl enable failoverd, or without systemd: update-rc.d failoverd defaults"
        yield found("not-enabled", "/etc/systemd/system", "failoverd does not start at boot", remedy)


def _volume_of(subject: Subject, spec: str, directory: str) -> Volume | None:
    """The cluster's filesystem that a device field or a mount point means; None for any other."""
    spec = tables.spec_of(spec)
    for volume in subject.managed.volumes:
        disk = subject.disks[volume.device]
        known = {tables.spec_of(volume.device), _real(subject, volume.device)}
        known |= {f"UUID={disk.uuid}" if disk.uuid else "", f"LABEL={disk.label}" if disk.label else ""} - {""}
        if spec in known or _real(subject, spec) in known or (directory and directory == volume.directory):
            return volume
    return None


def _real(subject: Subject, device: str) -> str:
    return subject.tree.resolve(device) if device.startswith("/") else device


def _fstab(subject: Subject) -> Iterator[Finding]:
    for entry in tables.fstab(subject.tree.lines("/etc/fstab")):
        volume = _volume_of(subject, entry.spec, entry.directory)
        if volume is None:
            continue
        how = "is mounted at boot" if entry.at_boot else "can be mounted by hand (noauto)"
        fact = f"{entry.spec} on {entry.directory} {how}; the cluster mounts it ({volume.place})"
        severity = Severity.ERROR if entry.at_boot else Severity.WARNING
        yield found("fstab-entry", f"/etc/fstab:{entry.line}", fact, "put # before the line", severity)


def _words(subject: Subject) -> Iterator[Finding]:
    """The AoE init scripts' files: any word that is a device or mount point of the cluster."""
    for path, rule in (("/etc/aoe/fs.conf", "aoe-fs-conf"), ("/etc/aoe/md.conf", "aoe-md-conf")):
        for number, line in subject.tree.lines(path):
            words = [word.rstrip("/") for word in re.split(r"[\s,:=]+", line) if word.startswith("/")]
            arrays = [
                array for array in subject.managed.arrays if any(tables.same_array(array.device, w) for w in words)
            ]
            volume = next((v for word in words if (v := _volume_of(subject, word, word)) is not None), None)
            owner = arrays[0] if arrays else volume
            if owner is not None:
                fact = f"{owner.device} stands there; the cluster has it ({owner.place})"
                yield found(rule, f"{path}:{number}", fact, "put # before the line")


def _arrays(subject: Subject) -> Iterator[Finding]:
    if subject.managed.arrays and not _automatic_assembly_is_off(subject):
        fact = "udev assembles every array it finds, listed or not (mdadm.conf(5), AUTO)"
        remedy = "write: AUTO -all, with an ARRAY line for each of the node's own; then: update-initramfs -u"
        yield found("mdadm-array", _MDADM_FILES[0], fact, remedy, Severity.WARNING)
    for path in _MDADM_FILES:
        for number, device in tables.arrays(subject.tree.lines(path)):
            for array in subject.managed.arrays:
                if tables.same_array(array.device, device):
                    fact = f"{device} is assembled at boot; the cluster has it ({array.place})"
                    remedy = "write: ARRAY <ignore> UUID=… in its place, then: update-initramfs -u"
                    yield found("mdadm-array", f"{path}:{number}", fact, remedy)


def _automatic_assembly_is_off(subject: Subject) -> bool:
    lines = [line.split() for path in _MDADM_FILES for _, line in subject.tree.lines(path)]
    automatic = any(words[0].upper() == "AUTO" and "-all" in words for words in lines)
    return automatic or any(words[0].upper() == "ARRAY" and words[1:2] == ["<ignore>"] for words in lines)


def _mount_units(subject: Subject) -> Iterator[Finding]:
    seen: set[str] = set()
    for folder in _MOUNT_UNITS:
        for name in subject.tree.names(folder):
            path = f"{folder}/{name}"
            if not name.endswith((".mount", ".automount")) or name in seen:
                continue
            seen.add(name)
            facts = dict(line.split("=", 1) for _, line in subject.tree.lines(path) if "=" in line)
            where = facts.get("Where", "").strip().rstrip("/")
            volume = _volume_of(subject, facts.get("What", "").strip(), where)
            if volume is not None:
                fact = f"{name} mounts {volume.device}; the cluster does ({volume.place})"
                yield found("mount-unit", path, fact, f"systemctl mask {name}")


def _volume_groups(subject: Subject) -> Iterator[Finding]:
    """Auto-activation is everything's unless lvm.conf says what (lvm.conf(5), auto_activation_volume_list)."""
    text = "\n".join(line for _, line in subject.tree.lines("/etc/lvm/lvm.conf"))
    listed = re.search(r"auto_activation_volume_list\s*=\s*\[(.*?)\]", text, re.DOTALL)
    names = re.findall(r'"@?([^"/]+)', listed.group(1)) if listed else []
    for group, place in subject.managed.volume_groups:
        if listed is None or group in names or "*" in names:
            fact = f"volume group {group} is activated at boot; the cluster does it ({place})"
            remedy = "write auto_activation_volume_list with the node's own groups only, then: update-initramfs -u"
            yield found("lvm-activation", "/etc/lvm/lvm.conf", fact, remedy)
