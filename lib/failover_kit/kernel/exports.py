"""What is exported over NFS: the table of exportfs(8) and rpc.mountd(8), read without running either.

``etab`` is the truth the kernel asks for through rpc.mountd; the kernel itself only caches answers
(kernel.exports_cache). exportfs replaces the file by rename, so one reading is one state of it.
Format (nfs-utils, support/nfs/exports.c, putexportent() and getexportent()): one line for a directory
and a client, ``PATH<tab>CLIENT(OPTION,…)``; in PATH blanks, control characters, ``"``, ``\\`` and
``#`` stand as a backslash and three octal digits. The options are complete: exportfs writes out every
default.
"""

import posix

from failover_kit.kernel.paths import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

# support/include/exportfs.h: NFS_STATEDIR as Debian and Fedora build it.
STATE_DIRECTORY = "/var/lib/nfs"
NFS_CONF = "/etc/nfs.conf"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_OCTAL = b"01234567"
# What C's isspace() and iscntrl() say yes to in the C locale, and what putexportent() adds.
_ESCAPED = frozenset([*range(0x21), 0x7F, *b'"\\#'])


class Entry:
    """One line of etab. ``options`` is the text between the parentheses."""

    __slots__ = ("client", "options", "path")

    def __init__(self, path: str, client: str, options: str) -> None:
        self.path = path
        self.client = client
        self.options = options

    def is_for(self, path: str, client: str) -> bool:
        """Names of hosts have no case, and exportfs compares all clients without it."""
        return self.path == path and self.client.lower() == client.lower()

    def fsid(self) -> str:
        """The number or UUID after fsid=, "" without one."""
        return next((word[5:] for word in self.options.split(",") if word.startswith("fsid=")), "")


def unescape(field: bytes) -> str:
    r"""A field as text: a backslash with three octal digits is a byte, any other backslash is itself.

    Reads from left to right, as the kernel's qword_get() does. nfs-utils' own reader (xgettok()) looks
    at what it has decoded once more: of ``\134101`` it makes ``A``. See ``survives()``.
    """
    if 0x5C not in field:
        # Almost every field of a long table, whose reading must not cost more than a monitor.
        return decode(field)
    found = bytearray()
    at = 0
    while at < len(field):
        digits = field[at + 1 : at + 4]
        if field[at] == 0x5C and len(digits) == 3 and all(digit in _OCTAL for digit in digits):
            found.append(int(digits, 8) & 0xFF)
            at += 4
        else:
            found.append(field[at])
            at += 1
    return decode(bytes(found))


def escape(text: str) -> str:
    """A path as etab has it; bytes that are not UTF-8 stay surrogates, as in file names."""
    found = (b"\\%03o" % byte if byte in _ESCAPED else bytes((byte,)) for byte in encode(text))
    return decode(b"".join(found))


def plain(text: str) -> str:
    """``text`` in ASCII without blanks, for a file of ours; ``unescape()`` brings it back."""
    return "".join(chr(b) if 0x20 < b < 0x7F and b != 0x5C else f"\\{b:03o}" for b in encode(text))


def shown(path: str) -> str:
    """A path for people: as it is if it can be printed, else as etab has it, without what is not UTF-8."""
    return path if path.isprintable() else encode(escape(path)).decode("utf-8", "backslashreplace")


def survives(path: str) -> bool:
    r"""Whether nfs-utils reads back what it wrote: not with a backslash before three octal digits.

    ``/srv/x\101`` is written as ``/srv/x\134101`` and read, by exportfs and mountd alike, as ``/srv/xA``.
    """
    pieces = encode(path).split(b"\\")[1:]
    return not any(len(piece) >= 3 and all(digit in _OCTAL for digit in piece[:3]) for piece in pieces)


def parse(data: bytes, paths: "Collection[str] | None" = None) -> "list[Entry]":
    """The entries of an etab (of these ``paths`` alone); lines that are none are left out."""
    found = []
    wanted = None if paths is None else frozenset(map(encode, paths))
    for line in data.split(b"\n"):
        path, _, rest = line.partition(b"\t")
        if wanted is not None and path not in wanted and 0x5C not in path:
            # Hundreds of exports of others must not cost hundreds of objects.
            continue
        client, opening, options = rest.partition(b"(")
        if path.startswith(b"/") and opening and client and options.endswith(b")"):
            entry = Entry(unescape(path), decode(client), decode(options[:-1]))
            if paths is None or entry.path in paths:
                found.append(entry)
    return found


def state_directory() -> str:
    """Where nfs-utils keeps etab: nfs.conf(5), ``state-directory-path`` of [mountd], else /var/lib/nfs.

    exportfs reads the section of mountd, too (utils/exportfs/exportfs.c).
    """
    found = ""
    for name in _configuration_files():
        section = ""
        try:
            with open(name, encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read().splitlines()
        except OSError:
            continue
        for line in lines:
            word = line.strip()
            if word.startswith("["):
                section = word.strip("[]").strip().split(" ")[0].lower()
            elif section == "mountd" and word.startswith("state-directory-path"):
                found = word.partition("=")[2].strip().strip('"') or found
    return found or STATE_DIRECTORY


def _configuration_files() -> "list[str]":
    try:
        more = sorted(name for name in posix.listdir(NFS_CONF + ".d") if name.endswith(".conf"))
    except OSError:
        more = []
    return [NFS_CONF, *(f"{NFS_CONF}.d/{name}" for name in more)]


def table(directory: str = "", paths: "Collection[str] | None" = None) -> "list[Entry]":
    """What etab says now (of these ``paths`` alone); nothing when it does not exist."""
    try:
        with open((directory or state_directory()) + "/etab", "rb") as file:
            return parse(file.read(), paths)
    except FileNotFoundError:
        return []


def boot_id() -> str:
    """The identity of this run of the kernel (random(4))."""
    with open(_BOOT_ID, encoding="ascii") as file:
        return file.read().strip()
