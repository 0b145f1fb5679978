"""The server's memory: the directory on the shared disk, complete and owned by the right users.

What nfs-utils keep in /var/lib/nfs: ``sm``, ``sm.bak`` and ``state`` of statd (which clients hold NFSv3 locks;
RHEL has them in ``statd/``), the clients of NFSv4 in ``nfsdcld`` (an sqlite database) or ``v4recovery``, the
exports in ``etab`` and the mounts in ``rmtab``. Numbers of users differ between nodes, so what belongs to
statd is given to this node's statd at every start.

Each NFSv3 client (one file in ``sm``) is told once: start moves the records aside, into one directory for each
address, before statd and the server run. The notifier takes them from there, and what the new statd writes into
``sm`` meanwhile is left alone. A record is copied and synced before it is removed: a power cut at any moment
leaves it in one place at least, and the next start collects it from all of them.
"""

import os
import stat

from failover_kit.agents.nfsserver import STATE
from failover_kit.ocf.codes import failed, not_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PENDING = "failover-kit-notify"
_SCOPE = "failover-kit-scope"
_ASIDE = ".new"
_DIRECTORIES = ("sm", "sm.bak", "v4recovery", "nfsdcld")
_FILES = ("etab", "rmtab")
_OF_STATD = ("sm", "sm.bak", "state")
_STATE_BYTES = 4  # an int of the machine's byte order; odd while the node is up
_STATE_FIRST = 3
_STATE_LIMIT = 0x7FFFFFFF


class Statd:
    """Where statd keeps its files below a state directory, and to whom they belong on this node."""

    __slots__ = ("base", "gid", "uid")

    def __init__(self, uid: int, gid: int, base: str) -> None:
        """``base``: "statd/" where they have a directory of their own, else ""."""
        self.uid = uid
        self.gid = gid
        self.base = base


def local_statd() -> Statd:
    """As the distribution's own state directory has it; before anything is mounted over that."""
    base = "statd/" if os.path.isdir(f"{STATE}/statd/sm") else ""
    try:
        found = os.stat(f"{STATE}/{base}sm")
    except FileNotFoundError:
        raise not_here(f"{STATE}/{base}sm is not on this node; install nfs-common (nfs-utils)") from None
    return Statd(found.st_uid, found.st_gid, base)


def require_shared(infodir: str) -> str:
    """Refuse a directory that would not move with the service."""
    parent = os.path.dirname(infodir)
    place = infodir if os.path.isdir(infodir) else parent
    try:
        found = os.stat(place)
    except OSError as error:
        raise failed(f"nfs_shared_infodir: {place}: {error.strerror}; is the shared disk mounted?") from None
    if not stat.S_ISDIR(found.st_mode):
        raise failed(f"nfs_shared_infodir: {place} is not a directory")
    if found.st_dev == os.stat("/").st_dev:
        raise failed(
            f"nfs_shared_infodir: {infodir} is on the root filesystem of this node, not on the shared disk;"
            " mount that first (a Filesystem resource to the left of this one)"
        )
    return ""


def complete(root: str, statd: Statd) -> None:
    """Make whatever is missing in ``root``, with the modes of this node's STATE, and give statd its files."""
    _directory(root, STATE)
    if statd.base:
        _directory(f"{root}/statd", f"{STATE}/statd")
    for name in _DIRECTORIES:
        place = statd.base + name if name in _OF_STATD else name
        _directory(f"{root}/{place}", f"{STATE}/{place}")
    for name in _FILES:
        os.close(_open(f"{root}/{name}", os.O_WRONLY | os.O_CREAT))
    state = f"{root}/{statd.base}state"
    if not os.path.lexists(state):
        write_number(state, 1)
    os.lchown(state, statd.uid, statd.gid)
    for name in ("sm", "sm.bak"):
        directory = f"{root}/{statd.base}{name}"
        os.lchown(directory, statd.uid, statd.gid)
        for record in os.listdir(directory):
            os.lchown(f"{directory}/{record}", statd.uid, statd.gid)


def empty_exports(root: str) -> None:
    """What another node or another life exported is not exported here."""
    os.close(_open(f"{root}/etab", os.O_WRONLY | os.O_TRUNC))


def _directory(path: str, model: str) -> None:
    """Make ``path`` with owner and mode of ``model``, where that exists; AgentError if it is anything else.

    Clients may write to the shared disk: what they put in place of a directory is never followed.
    """
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            return
        raise failed(f"{path} is not a directory (or a symbolic link to one); look who made it, and remove it")
    except FileNotFoundError:
        os.mkdir(path, 0o700)
    try:
        seen = os.stat(model)
    except FileNotFoundError:
        return
    os.chmod(path, stat.S_IMODE(seen.st_mode))
    os.chown(path, seen.st_uid, seen.st_gid)


def _open(path: str, flags: int) -> int:
    """A file of ours, never what a symbolic link leads to (OSError ELOOP)."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)


def scope(root: str) -> str:
    """The name of the server for NFSv4 clients, made once and kept on the shared disk.

    Random, because two servers of one name that are not one server would be taken for one.
    """
    path = f"{root}/{_SCOPE}"
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            name = file.read().strip()
        if name:
            return name
    except FileNotFoundError:
        pass
    name = f"failover-kit-{os.urandom(8).hex()}"
    _durably(path, name.encode() + b"\n")
    return name


def read_number(path: str) -> int:
    """NSM state number; 1 when the file is missing or damaged."""
    import sys

    try:
        with open(path, "rb") as file:
            data = file.read(_STATE_BYTES)
    except FileNotFoundError:
        data = b""
    return int.from_bytes(data, sys.byteorder) if len(data) == _STATE_BYTES else 1


def write_number(path: str, number: int) -> None:
    import sys

    _durably(path, number.to_bytes(_STATE_BYTES, sys.byteorder))


def next_number(number: int) -> int:
    """The next odd one: clients believe that the server restarted when the number is not the one they know."""
    following = number + 2 if number % 2 else number + 1
    return following if _STATE_FIRST <= following <= _STATE_LIMIT else _STATE_FIRST


def prepare_notification(root: str, statd: Statd, labels: "Iterable[str]") -> int:
    """Put the record of every client still to be told into ``PENDING/LABEL`` and raise the state number.

    Returns the new number, which the clients are told and statd reads.
    """
    sources = [f"{root}/{statd.base}{name}" for name in ("sm", "sm.bak")]
    pending = f"{root}/{PENDING}"
    if os.path.lexists(pending):
        _directory(pending, "")
        with os.scandir(pending) as entries:
            sources += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    records: dict[str, bytes] = {}
    for source in sources:
        for name in names(source):
            with open(f"{source}/{name}", "rb") as file:
                records.setdefault(name, file.read())
    targets = [f"{pending}/{label}" for label in labels]
    for target in targets:
        _directory(pending, "")
        _directory(target, "")
        for name, data in records.items():
            _durably(f"{target}/{name}", data)
        _sync(target)
    number = next_number(read_number(f"{root}/{statd.base}state"))
    write_number(f"{root}/{statd.base}state", number)
    os.lchown(f"{root}/{statd.base}state", statd.uid, statd.gid)
    for source in sources:
        if source not in targets:
            for name in names(source):
                os.unlink(f"{source}/{name}")
    return number


def keep_records(root: str, labels: "Iterable[str]") -> None:
    """A copy of every record of statd's, where the next ``prepare_notification`` collects from."""
    base = "statd/" if os.path.isdir(f"{root}/statd/sm") else ""
    source = f"{root}/{base}sm"
    found = names(source)
    if not found:
        return
    _directory(f"{root}/{PENDING}", "")
    for label in labels:
        target = f"{root}/{PENDING}/{label}"
        _directory(target, "")
        for name in found:
            with open(f"{source}/{name}", "rb") as file:
                _durably(f"{target}/{name}", file.read())
        _sync(target)


def names(directory: str) -> "list[str]":
    """The records of clients in a directory: files named for the client."""
    try:
        with os.scandir(directory) as entries:
            files = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    return [name for name in files if not name.endswith(_ASIDE)]


def _durably(path: str, data: bytes) -> None:
    """The whole file or the old one, on the disk."""
    aside = path + _ASIDE
    fd = _open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(aside, path)


def _sync(directory: str) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
