"""Findings in the three files themselves: who may read and write them, keys, the order of resources."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from failover_kit.check.findings import Finding, found
from failover_kit.check.managed import ADDRESS_TYPES, BEFORE_ANY_SERVICE, place_of
from failover_kit.check.subject import Subject
from failover_kit.manager.authkeys import SHORT_KEY_BYTES
from failover_kit.manager.callers import plan_groups
from failover_kit.manager.config import AuthMethod, Group, Resource, is_secret_name

_EXAMPLE_KEYS = ("SECRET", "secret", "changeme", "PUT_YOUR_SUPER_SECRET_KEY_HERE", "Hello!")
"""Keys that stand in documents: the HOWTO's, Heartbeat's own example, and what people make of them."""


def findings(subject: Subject) -> Iterator[Finding]:
    yield from _notes(subject)
    yield from _modes(subject)
    yield from _keys(subject)
    for group in subject.loaded.config.groups:
        yield from _order(group)
    for problem in plan_groups(subject.loaded.config, subject.node, subject.search)[1]:
        place, _, text = problem.partition(": ")
        fact, _, remedy = text.rpartition("; ")
        yield found("resource-unusable", place, fact or text, remedy)


def _notes(subject: Subject) -> Iterator[Finding]:
    """What the parsers remarked, but for what has a finding of its own."""
    for note in subject.loaded.notes:
        own = note.file == "authkeys" or note.text.startswith(
            ("stonith_host:", "a password stands here", "watchdog")
        )
        if not own:
            yield found("config-note", f"{note.file}:{note.line}", note.text, "nothing to do, or take the line out")


def _modes(subject: Subject) -> Iterator[Finding]:
    for path in (subject.config_dir, *(subject.file(name) for name in ("ha.cf", "haresources", "authkeys"))):
        mode, owner = subject.tree.mode(path), subject.tree.owner(path)
        if mode is not None and mode & 0o022:
            fact = f"{path} can be written by others than its owner (mode {stat.S_IMODE(mode):04o})"
            yield found("config-writable", path, fact, f"chmod go-w {path}")
        if owner not in (None, 0, os.geteuid()):
            yield found("config-writable", path, f"{path} belongs to user {owner}", f"chown root {path}")
    for name in subject.tree.names(subject.config_dir):
        mode = subject.tree.mode(subject.file(name))
        if name != "authkeys" and "authkeys" in name and mode is not None and mode & 0o044:
            path = subject.file(name)
            if not subject.tree.text(path) or "replace-this" in (subject.tree.text(path) or ""):
                continue
            fact = f"{path} can be read by others (mode {stat.S_IMODE(mode):04o})"
            yield found("secret-copy", path, fact, f"rm {path}, and change the key when others use this node")


def _keys(subject: Subject) -> Iterator[Finding]:
    keys = subject.loaded.authkeys
    new = "write a new one on both nodes: od -An -N32 -tx1 /dev/urandom | tr -d ' \\n'"
    for index, method in sorted(keys.methods.items()):
        place = f"authkeys:{keys.lines.get(index, 0)}"
        secret = keys.keys[index].reveal()
        if method is AuthMethod.CRC:
            yield found("key-crc", place, f"key {index} is crc: a checksum, no key", "use sha256 with a random key")
        elif secret.decode("utf-8", "replace") in _EXAMPLE_KEYS:
            yield found("key-short", place, f"key {index} is one that stands in documents", new)
        elif len(secret) < SHORT_KEY_BYTES:
            fact = f"key {index} has fewer than {SHORT_KEY_BYTES} characters"
            yield found("key-short", place, fact, new)


def _order(group: Group) -> Iterator[Finding]:
    """Addresses that stand before a service, in one finding with the order that is right."""
    resources = group.resources
    early = [
        resource
        for at, resource in enumerate(resources)
        if resource.type in ADDRESS_TYPES and any(_serves(later) for later in resources[at + 1 :])
    ]
    if not early:
        return
    last = [resource for resource in resources if resource.type in ADDRESS_TYPES]
    behind = next(r for r in resources[resources.index(early[0]) + 1 :] if _serves(r))
    line = " ".join([group.home, *(shown(r) for r in resources if r not in last), *(shown(r) for r in last)])
    fact = f"{early[0].name} comes up before {behind.name}"
    yield found("address-first", place_of(early[0]), fact, f"write: {line}")


def _serves(resource: Resource) -> bool:
    """Whether clients are wrongly answered while the address is there and this is not: a filesystem counts, since
    a server that runs already would serve the empty directory below it."""
    return resource.type == "Filesystem" or resource.type not in (*ADDRESS_TYPES, *BEFORE_ANY_SERVICE)


def shown(resource: Resource) -> str:
    """A resource as haresources has it, without its secrets."""
    words = [f"{name}={'***' if is_secret_name(name) else value}" for name, value in resource.parameters]
    if resource.monitor_interval_ms is not None:
        words.append(f"op_monitor_interval={resource.monitor_interval_ms}ms")
    if resource.monitor_depth:
        words.append(f"op_monitor_depth={resource.monitor_depth}")
    words += [f"op_{action}_timeout={limit_ms}ms" for action, limit_ms in resource.timeouts_ms]
    return "::".join((resource.agent, *resource.args, *words))
