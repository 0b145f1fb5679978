"""What one node tells the other one for comparison: findings and facts, as JSON. No secret is in it.

Lines and keys travel as keyed digests (HMAC-SHA256 with the key of authkeys): they show which line differs and not
what it says. With a key that can be guessed they can be tried, as every beat on the wire can be.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass

from failover_kit import VERSION
from failover_kit.check import export_rules
from failover_kit.check.findings import Finding
from failover_kit.check.subject import Subject
from failover_kit.manager.codec import CodecError, from_plain, to_plain
from failover_kit.manager.config import AuthKeys

FORMAT = 1
LIMIT_BYTES = 1 << 20

_MAY_DIFFER = re.compile(r"(?:serial|ucast6?|[bm]cast6?|udp|baud|watchdog)\b")
_HAS_SECRET = re.compile(r"(?:fence_device|stonith_host|stonith)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFact:
    """One line that means something, as its digest."""

    number: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFact:
    """A filesystem of the cluster as this node sees it; ``uuid`` is "" when it could not be read."""

    device: str
    uuid: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFact:
    """An export of /etc/exports below a mount point of the cluster; options sorted, without fsid."""

    path: str
    client: str
    options: tuple[str, ...]
    fsid: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardFact:
    """Whether failoverd hears the other node on a link; None: it does not run, or never did."""

    name: str
    serial: bool
    heard: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything of one node. ``wall_ms`` is its clock when this was made."""

    format: int
    version: str
    node: str
    wall_ms: int
    meaning: str  # ClusterConfig.digest
    keys: str
    ha_cf: tuple[LineFact, ...]
    haresources: tuple[LineFact, ...]
    disks: tuple[DiskFact, ...]
    exports: tuple[ExportFact, ...]
    addresses: tuple[str, ...]
    links: tuple[HeardFact, ...]
    findings: tuple[Finding, ...]


class NoFacts(Exception):
    """The text is not what ``check --facts`` of this version prints; ``str()`` says why."""


def facts_of(subject: Subject, findings: tuple[Finding, ...]) -> Facts:
    """The facts of this node, taken now."""
    config, keys = subject.loaded.config, subject.loaded.authkeys
    status = subject.status
    heard = {link.name: link.up for link in status.view.links} if status is not None else {}
    serial = {link.name: hasattr(link, "device") for link in config.links}
    return Facts(
        format=FORMAT,
        version=VERSION,
        node=subject.node,
        meaning=config.digest,
        keys=_digest(keys, "keys"),
        ha_cf=_lines(subject, "ha.cf"),
        haresources=_lines(subject, "haresources"),
        disks=tuple(
            DiskFact(device=device, uuid=disk.uuid, bytes=disk.bytes) for device, disk in subject.disks.items()
        ),
        exports=tuple(
            ExportFact(
                path=export.path,
                client=export.client,
                options=tuple(sorted(word for word in export.options if not word.startswith("fsid="))),
                fsid=export.fsid,
                place=export.place,
            )
            for export in export_rules.of_files(subject)
            if subject.managed.directory_above(export.path)
        ),
        addresses=tuple(text.partition("/")[0] for texts in subject.probes.networks().values() for text in texts),
        links=tuple(HeardFact(name=name, serial=serial[name], heard=heard.get(name)) for name in serial),
        findings=findings,
        wall_ms=subject.probes.wall_ms(),
    )


def write(facts: Facts) -> str:
    return json.dumps(to_plain(facts), indent=1) + "\n"


def read(text: str) -> Facts:
    """NoFacts when ``text`` is something else."""
    if len(text) > LIMIT_BYTES:
        raise NoFacts(f"more than {LIMIT_BYTES >> 20} MiB")
    try:
        facts = from_plain(Facts, json.loads(text))
    except (CodecError, ValueError, RecursionError) as error:
        kind = str(error) if isinstance(error, CodecError) else "no JSON"
        raise NoFacts(f"{kind}; use the output of failoverctl check --facts, of the same version") from None
    if facts.format != FORMAT:
        raise NoFacts(f"format {facts.format}, and this is {FORMAT}; use the same version on both nodes")
    return facts


def _lines(subject: Subject, name: str) -> tuple[LineFact, ...]:
    """Spelling in the large: blanks and comments do not count, and what may differ is left out."""
    keys = subject.loaded.authkeys
    found = []
    for number, line in subject.tree.lines(subject.file(name)):
        if name == "ha.cf" and (_MAY_DIFFER.match(line) or (keys.unkeyed and _HAS_SECRET.match(line))):
            continue
        found.append(LineFact(number=number, digest=_digest(keys, f"{name} {' '.join(line.split())}")))
    return tuple(found)


def _digest(keys: AuthKeys, text: str) -> str:
    key = hashlib.sha256(b"failover-kit check 1\n")
    for index in sorted(keys.keys):
        secret = keys.keys[index].reveal()
        key.update(b"%d %s %d " % (index, keys.methods[index].value.encode(), len(secret)) + secret)
    key.update(b"%d" % keys.sign_index)
    return hmac.new(key.digest(), text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:16]
