"""Findings about NFS exports, in /etc/exports and in exportfs resources."""

from __future__ import annotations

from collections.abc import Iterator

from failover_kit.check import tables
from failover_kit.check.findings import Finding, found
from failover_kit.check.managed import Export
from failover_kit.check.subject import Subject


def findings(subject: Subject) -> Iterator[Finding]:
    own = of_files(subject)
    everything = (*subject.managed.exports, *own)
    for export in everything:
        if not subject.managed.directory_above(export.path):
            continue
        what = f"{export.path} to {export.client}"
        if "async" in export.options and "sync" not in export.options[export.options.index("async") :]:
            yield found("export-async", export.place, f"{what} is async", "write sync in its place")
        if not export.fsid:
            yield found(
                "export-no-fsid", export.place, f"{what} has no fsid=", "add fsid=1, the same on both nodes"
            )
        if export in own and not any(option.partition("=")[0] in ("mp", "mountpoint") for option in export.options):
            above = subject.managed.directory_above(export.path)
            option = "mountpoint" if above == export.path else f"mountpoint={above}"
            yield found(
                "export-bare", export.place, f"{what} is exported when {above} is not mounted, too", f"add {option}"
            )
    yield from _twice(subject, own)
    yield from _fsids(everything)


def of_files(subject: Subject) -> tuple[Export, ...]:
    """The entries of exports(5): /etc/exports, then /etc/exports.d/*.exports."""
    folder = "/etc/exports.d"
    paths = ["/etc/exports"]
    paths += [f"{folder}/{name}" for name in subject.tree.names(folder) if name.endswith(".exports")]
    return tuple(export for path in paths for export in tables.exports(subject.tree.text(path) or "", path))


def _twice(subject: Subject, own: tuple[Export, ...]) -> Iterator[Finding]:
    by_cluster = {export.path: export for export in subject.managed.exports}
    for path in dict.fromkeys(export.path for export in own if export.path in by_cluster):
        entry = next(export for export in own if export.path == path)
        fact = f"{path} is exported by {by_cluster[path].place}, too"
        yield found("export-twice", entry.place, fact, "put # before the line: one place for it, and it moves")


def _fsids(everything: tuple[Export, ...]) -> Iterator[Finding]:
    first: dict[str, Export] = {}
    told: set[tuple[str, str]] = set()
    for export in everything:
        if not export.fsid:
            continue
        other = first.setdefault(export.fsid, export)
        if other.path != export.path and (other.path, export.path) not in told:
            told.add((other.path, export.path))
            fact = f"{export.path} and {other.path} ({other.place}) both have fsid={export.fsid}"
            yield found("fsid-twice", export.place, fact, "give one of them another number, on both nodes")
