"""The tables in which a host says what it mounts, assembles and exports at boot. Pure; no text makes them raise.

fstab(5), mdadm.conf(5), exports(5). ``/etc/aoe/fs.conf`` and ``/etc/aoe/md.conf`` of the AoE init scripts of the
HOWTO's time have lines like fstab and mdadm.conf; of these only the words are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from failover_kit.check.managed import Export
from failover_kit.kernel.exports import unescape

Lines = Iterable[tuple[int, str]]
"""Numbered lines without comments."""


@dataclass(frozen=True, slots=True)
class FstabEntry:
    """One line: what is mounted where. ``at_boot`` is False with noauto."""

    line: int
    spec: str
    directory: str
    at_boot: bool


def fstab(lines: Lines) -> Iterator[FstabEntry]:
    for number, line in lines:
        fields = line.split()
        if len(fields) < 2 or (len(fields) > 2 and fields[2] == "swap"):
            continue
        options = fields[3].split(",") if len(fields) > 3 else []
        waits = "noauto" in options and "x-systemd.automount" not in options
        directory = _unescaped(fields[1])
        yield FstabEntry(number, spec_of(fields[0]), directory.rstrip("/") or "/", not waits)


def spec_of(text: str) -> str:
    """A device field: octal escapes and quotes taken off, tags in capitals, UUIDs in small letters."""
    text = _unescaped(text)
    tag, equals, value = text.partition("=")
    if not equals or tag.upper() not in ("UUID", "LABEL", "PARTUUID", "PARTLABEL"):
        return text
    value = value.strip('"')
    return f"{tag.upper()}={value.lower() if tag.upper().endswith('UUID') else value}"


def _unescaped(text: str) -> str:
    """Blanks stand as octal digits behind a backslash (fstab(5))."""
    return unescape(text.encode("utf-8", "surrogateescape"))


def arrays(lines: Lines) -> Iterator[tuple[int, str]]:
    """(line, device) of each ARRAY of mdadm.conf; of one that is not to be assembled the device is ``<ignore>``.

    A line that begins with a blank goes on with the one before it; ``Tree.lines`` takes blanks off, so the
    device must stand in the first line of an array, as mdadm writes it.
    """
    for number, line in lines:
        words = line.split()
        if len(words) > 1 and words[0].upper() == "ARRAY":
            yield number, words[1]


def same_array(one: str, other: str) -> bool:
    """``/dev/md0``, ``md0``, ``/dev/md/0`` and ``/dev/md/home`` against ``home`` are the same array."""
    return _array_name(one) == _array_name(other)


def _array_name(device: str) -> str:
    name = device.removeprefix("/dev/").removeprefix("md/")
    return name[2:] if re.fullmatch(r"md[0-9]+", name) else name


def exports(text: str, place: str) -> Iterator[Export]:
    """The pairs of directory and client of an exports(5) text. ``place`` is its path."""
    for number, line in _logical(text):
        words = [found.group() for found in re.finditer(r'(?:"[^"]*"?|[^\s"])+', line)]
        if not words:
            continue
        path = unescape(words[0].replace('"', "").encode("utf-8", "surrogateescape")).rstrip("/") or "/"
        common = ""
        clients = words[1:]
        if clients and clients[0].startswith("-"):
            common = clients.pop(0)[1:]
        for word in clients or ["*"]:
            client, _, rest = word.partition("(")
            options = [option for option in f"{common},{rest.rstrip(')')}".split(",") if option]
            yield Export(path, client or "*", tuple(options), f"{place}:{number}")


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines with continuations joined and comments taken off."""
    whole, first = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        first = first if whole else number
        if line.endswith("\\"):
            whole += line[:-1] + " "
            continue
        whole = (whole + line).partition("#")[0]
        if whole.strip():
            yield first, whole
        whole = ""
    if whole.partition("#")[0].strip():
        yield first, whole.partition("#")[0]


def inittab_lines(lines: Lines, device: str) -> Iterator[int]:
    """Lines of inittab(5) that run something on a terminal device (``T0:23:respawn:/sbin/getty -L ttyS0 …``)."""
    name = device.rpartition("/")[2]
    for number, line in lines:
        fields = line.split(":", 3)
        if len(fields) == 4 and fields[2] in ("respawn", "once", "wait") and name in re.split(r"[\s/]+", fields[3]):
            yield number
