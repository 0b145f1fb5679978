"""What is read from the machines' answers. Pure: text in, facts out. ``ReadingError`` when it is no such text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class ReadingError(Exception):
    """The text is not what the command prints; it stands in the message."""


def answering_mac(arping: str) -> str:
    """The one hardware address that answered ``arping`` (iputils). Two different ones are two holders."""
    found = {mac.lower() for mac in re.findall(r"reply from \S+ \[([0-9A-Fa-f:]{17})\]", arping)}
    if len(found) != 1:
        what = f"{len(found)} machines answer: {', '.join(sorted(found))}" if found else "nobody answers"
        raise ReadingError(f"{what}: {arping.strip()[-300:]!r}")
    return found.pop()


@dataclass(frozen=True, slots=True)
class AoeDevice:
    """A line of ``aoe-stat``: ``e0.0  0.536GB  eth3  8192 up``."""

    name: str
    size: str
    interfaces: tuple[str, ...]
    state: str


def aoe_devices(aoe_stat: str) -> dict[str, AoeDevice]:
    """The devices of ``aoe-stat`` by name."""
    found = {}
    for line in aoe_stat.splitlines():
        words = line.split()
        if len(words) >= 4 and re.fullmatch(r"e\d+\.\d+", words[0]):
            interfaces = tuple(words[2].split(","))
            found[words[0]] = AoeDevice(words[0], words[1], interfaces, words[-1].strip("()"))
    return found


def boot_links(listing: str, service: str) -> list[str]:
    """Those of ``ls -d /etc/rc?.d/*`` that start or stop ``service``."""
    return [
        path for path in listing.split() if re.fullmatch(rf"/etc/rc[0-6S]\.d/[SK]\d\d{re.escape(service)}", path)
    ]


def daemons_of_nfs(processes: str) -> list[str]:
    """Names of NFS' daemons and kernel threads in ``ps -e -o comm=``. rpcbind is none of them."""
    wanted = re.compile(r"(rpc\.(statd|mountd|idmapd|nfsd|gssd|svcgssd)|nfsd|lockd|nfsdcld|sm-notify|blkmapd)")
    return sorted({name for line in processes.splitlines() if wanted.fullmatch(name := line.strip())})


def settings(report: str) -> dict[str, tuple[str, ...]]:
    """The rows of the table that ``failoverctl switch setup`` prints: setting to (before, after, outcome).

    Columns stand apart by two blanks or more.
    """
    rows: dict[str, tuple[str, ...]] = {}
    begun = False
    for line in report.splitlines():
        cells = tuple(cell for cell in re.split(r" {2,}", line.strip()) if cell)
        if cells[:3] == ("setting", "before", "after"):
            begun = True
        elif begun and len(cells) >= 4:
            rows[cells[0]] = cells[1:]
    if not rows:
        raise ReadingError(f"no table of settings: {report.strip()[-300:]!r}")
    return rows


def plugs(list_status: str) -> dict[str, tuple[str, str]]:
    """``1,pete,on`` of the fence agent's list-status: plug to (name, state)."""
    rows = [line.split(",") for line in list_status.splitlines() if line.count(",") >= 2]
    return {row[0]: (row[1], row[2].strip().lower()) for row in rows}


@dataclass(frozen=True, slots=True)
class Screen:
    """The status screen of the switch, as far as the document prints it."""

    banner: bool
    heads: bool
    rows: int
    help_line: bool
    prompt: bool

    @property
    def complete(self) -> bool:
        return self.banner and self.heads and self.rows == 8 and self.help_line and self.prompt


HEADS = ("Plug", "Name", "Password", "Status", "Boot/Seq. Delay", "Default")


def screen(text: str) -> Screen:
    """What of the document's screen is in a dialogue with the switch."""
    rule = r"-----\+------------------\+-------------\+--------\+-----------------\+---------\+"
    heads = r"\s*\|\s*".join(re.escape(head) for head in HEADS)
    rows = {int(number) for number in re.findall(r"^[^\n]*?\b([1-8])\s*\|[^\n|]*\|[^\n|]*\|\s*ON\s*\|", text, re.MULTILINE)}
    return Screen(
        banner="Internet Power Switch v1.41h" in text,
        heads=re.search(heads, text) is not None and re.search(rule, text) is not None,
        rows=len(rows),
        help_line='"/H" for help.' in text,
        prompt="IPS>" in text,
    )


def one_uuid(answers: Iterable[str]) -> str:
    """The UUID that every node's ``blkid -o value -s UUID`` says."""
    found = [answer.strip() for answer in answers]
    if not found or not found[0] or len(set(found)) != 1:
        raise ReadingError(f"the nodes do not see the same disk: {found}")
    return found[0]


def lacking(text: str, words: Sequence[str]) -> list[str]:
    """Those of ``words`` that are not in ``text``."""
    return [word for word in words if word not in text]
