"""What nfsd remembers of exports, and what still pins a filesystem after the last export has gone.

``/proc/net/rpc/nfsd.export/content`` and ``…/nfsd.fh/content`` list the kernel's caches; every entry
holds a reference on its path, also the ones shown with ``# `` in front (no longer valid, not yet dropped;
net/sunrpc/cache.c, c_show()). Paths are written by seq_path(): blank, tab, newline and backslash in octal.
"""

import os

from failover_kit.kernel.exports import unescape

EXPORT_CONTENT = "/proc/net/rpc/nfsd.export/content"
HANDLE_CONTENT = "/proc/net/rpc/nfsd.fh/content"


class Cached:
    """One entry: the path it pins, and the clients (auth domain) it is for: ``192.0.2.0/24,*.example.org``."""

    __slots__ = ("domain", "path")

    def __init__(self, path: str, domain: str) -> None:
        self.path = path
        self.domain = domain

    def clients(self) -> "list[str]":
        return self.domain.lower().split(",")


def parse_exports(data: bytes) -> "list[Cached]":
    """nfsd.export: ``PATH<tab>DOMAIN(FLAGS)`` (fs/nfsd/export.c, svc_export_show())."""
    found = []
    for line in _lines(data):
        path, _, rest = line.partition(b"\t")
        domain = rest.rpartition(b"(")[0] if b"(" in rest else rest
        if path.startswith(b"/"):
            found.append(Cached(unescape(path), unescape(domain.partition(b"(")[0])))
    return found


def parse_handles(data: bytes) -> "list[Cached]":
    """nfsd.fh: ``DOMAIN TYPE FSID [PATH]`` (expkey_show()); without PATH it is negative and pins nothing."""
    found = []
    for line in _lines(data):
        fields = line.split(b" ")
        if len(fields) == 4 and fields[3].startswith(b"/"):
            found.append(Cached(unescape(fields[3]), unescape(fields[0])))
    return found


def _lines(data: bytes) -> "list[bytes]":
    """The lines without the ``# `` of invalid entries; headings (``#path …``) begin otherwise and drop out."""
    return [line.removeprefix(b"# ") for line in data.split(b"\n") if line and not line.startswith(b"#path")]


def pinned() -> "list[Cached]":
    """Every path the caches hold now; none without a kernel NFS server."""
    return parse_exports(_read(EXPORT_CONTENT)) + parse_handles(_read(HANDLE_CONTENT))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            blocks = []
            while block := file.read(1 << 16):
                blocks.append(block)
    except FileNotFoundError:
        return b""
    return b"".join(blocks)


def within(path: str, top: str) -> bool:
    """Whether ``path`` is ``top`` or below it."""
    return path == top or path.startswith(top.rstrip("/") + "/")


class Left:
    """What an export that was taken back may leave in the caches. ``point`` is where its filesystem is mounted.

    ``top`` is that mount point, or the directory itself when it lies on the root filesystem: exports of
    NFSv4 pin the directories on the way to them, too, and those with crossmnt what is mounted below.
    """

    __slots__ = ("client", "path", "point", "top")

    def __init__(self, path: str, client: str, point: str) -> None:
        self.path = path
        self.client = client.lower()
        self.point = point
        self.top = point if point != "/" and within(path, point) else path

    def is_in(self, entry: Cached, others: "list[str]") -> bool:
        """Whether ``entry`` is there on our account; ``others`` are the paths that etab still exports."""
        if entry.path == self.path and self.client in entry.clients():
            return True
        if not within(entry.path, self.top):
            return False
        return not any(within(other, entry.path) or within(entry.path, other) for other in others)


def leftovers(cached: "list[Cached]", gone: "list[Left]", others: "list[str]") -> "list[str]":
    """The paths still pinned on account of the exports ``gone``, each once."""
    return list(dict.fromkeys(entry.path for entry in cached if any(left.is_in(entry, others) for left in gone)))


def is_directory(path: str) -> str:
    """For a child of kernel.attempts: "yes", or "" (missing, or something else). May hang with its disk."""
    return "yes" if os.path.isdir(path) else ""
