"""What Filesystem finds on this machine, and what is wrong with it. On the path of every monitor."""

import os

from failover_kit.agents.filesystem_source import BLOCK, NETWORK, kind_of, read_only
from failover_kit.kernel import mounts
from failover_kit.spec.values import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from failover_kit.kernel.attempts import Attempts
    from failover_kit.kernel.mounts import Mount, MountTable
    from failover_kit.ocf.agent import Call

# ext4 shows these from Linux 6.15 on; before, only stat() or a write tells.
_BROKEN_OPTIONS = ("shutdown", "emergency_ro")
# Longer names of state files would not fit into 255 bytes, with each odd character as three.
_NAME_LIMIT_BYTES = 70


class Observation:
    """What the mount table says about the resource.

    ``mount`` is ours at ``directory`` (None: it is not there); ``elsewhere`` are other mounts of the
    same filesystem; ``foreign`` is something else that is mounted at the directory. ``root`` is what
    our mount must show of its filesystem.
    """

    __slots__ = ("device", "directory", "elsewhere", "foreign", "mount", "root", "table")

    def __init__(
        self,
        table: "MountTable",
        directory: str,
        device: int,
        *,
        mount: "Mount | None",
        elsewhere: "list[Mount]",
        foreign: "Mount | None",
        root: str = "/",
    ) -> None:
        self.table = table
        self.directory = directory
        self.device = device
        self.mount = mount
        self.elsewhere = elsewhere
        self.foreign = foreign
        self.root = root


class Claim:
    """Mounts that a stop must take away: ``find`` picks them from a table; their users are in the way.

    ``device`` is not 0 when every use of the whole device is in the way, through whatever mount.
    """

    __slots__ = ("device", "find", "path")

    def __init__(self, find: "Callable[[MountTable], list[Mount]]", *, device: int = 0, path: str = "") -> None:
        self.find = find
        self.device = device
        self.path = path


class Source:
    """What is mounted. Each kind answers the same questions in a module of its own."""

    __slots__ = ("call", "device", "directory", "table", "top")

    def __init__(self, call: "Call") -> None:
        self.call = call
        self.device = call.values.text("device")
        self.look()

    def look(self) -> None:
        """Read the mount table; the directory without symbolic links, and what is on top there."""
        self.directory = self.call.values.text("directory")
        self.table = mounts.table(self.directory)
        self.top = self.table.at(self.directory)
        if self.top is None:
            real = mounts.real_path(self.directory, self.table)
            if real != self.directory:
                self.directory, self.table = real, mounts.table(real)
                self.top = self.table.at(real)

    def observe(self) -> Observation:
        """Tell ours from others. Touches no disk and no server, unless only that can tell."""
        raise NotImplementedError

    def ailment(self, seen: Observation) -> str:  # noqa: ARG002
        """What this kind knows to be wrong with what is mounted; "" when nothing."""
        return ""

    def remains(self, seen: Observation) -> str:  # noqa: ARG002
        """Why a filesystem that is not mounted is not stopped either; "" when it is. Never waits."""
        return ""

    def mount(self, directory: str, lock: int) -> None:
        """Mount it; what may outlive this process keeps ``lock`` open."""
        raise NotImplementedError

    def claims(self, seen: Observation, attempts: "Attempts") -> "list[Claim]":
        """What a stop has to unmount; [] when there is nothing of it on this node."""
        raise NotImplementedError

    def prove(self, claims: "list[Claim]", attempts: "Attempts") -> None:
        """After unmounting: AgentError unless nothing on this machine writes to it any more."""

    def host_problems(self) -> "list[str]":
        """What this node lacks to mount it (validate-all, level 10)."""
        raise NotImplementedError


def source_of(call: "Call") -> Source:
    kind = kind_of(call.values)
    if kind == BLOCK:
        from failover_kit.agents.filesystem_block import Block

        return Block(call)
    if kind == NETWORK:
        from failover_kit.agents.filesystem_network import Network

        return Network(call)
    from failover_kit.agents.filesystem_bind import Bind

    return Bind(call)


def observe(call: "Call") -> Observation:
    return source_of(call).observe()


def record_name(call: "Call") -> str:
    """Where start writes what its settings meant; stop takes it away."""
    directory = call.values.text("directory")
    if len(os.fsencode(directory)) > _NAME_LIMIT_BYTES:
        import hashlib

        directory = hashlib.sha256(os.fsencode(directory)).hexdigest()
    return directory + ".device"


def write_record(call: "Call", device: int, root: str, directory: str) -> None:
    numbers = f"{os.major(device)}:{os.minor(device)}"
    texts = (ascii(text) for text in (root, call.values.text("options"), directory))
    lines = (ascii(call.values.text("device")), numbers, *texts)
    call.write_state(record_name(call), "\n".join(lines) + "\n")


class Record:
    """What start found: device number, ``root``, ``options`` and ``directory`` (no symbolic links) by ascii()."""

    __slots__ = ("device", "directory", "options", "root")

    def __init__(self, device: int, root: str, options: str, directory: str) -> None:
        self.device = device
        self.root = root
        self.options = options
        self.directory = directory


def read_record(call: "Call") -> "Record | None":
    """What start wrote down; None when there is nothing, or it is damaged.

    A number may have been given to another disk since, so nothing is ever unmounted on the record alone.
    """
    try:
        with open(call.state_path(record_name(call)), encoding="ascii") as file:
            device, numbers, root, options, directory = file.read().splitlines()
        major, _, minor = numbers.partition(":")
        if device == ascii(call.values.text("device")) and numbers.replace(":", "", 1).isdigit():
            return Record(os.makedev(int(major), int(minor)), root, options, directory)
    except (OSError, ValueError, OverflowError):
        pass
    return None


def describe_state(seen: Observation, device: str) -> str:
    """What is wrong with where the filesystem is mounted; "" when running or cleanly stopped."""
    device, directory = shown(device), shown(seen.directory)
    if seen.foreign is not None and any(mount.point == seen.directory for mount in seen.elsewhere):
        return f"{shown(seen.foreign.source)} is mounted on top of {device} at {directory}; unmount it"
    if seen.mount is None and seen.elsewhere:
        places = ", ".join(shown(mount.point) for mount in seen.elsewhere)
        return f"{device} is mounted at {places}, not at {directory}; unmount it there"
    if seen.mount is not None and seen.mount.root != seen.root:
        return f"{directory} shows only {shown(seen.mount.root)} of {device} (a bind mount), not all of it"
    return ""


def sickness(mount: "Mount", options: str, table: "MountTable") -> str:
    """Why a mounted filesystem is not well, as far as that can be told without waiting; "" if it is."""
    point = shown(mount.point)
    cover = table.covered_by(mount)
    if cover is not None:
        place = f"{shown(cover.source)}, mounted at {shown(cover.point)}"
        return f"{point} is mounted, but hidden by {place}; unmount that"
    for word in _BROKEN_OPTIONS:
        if word in mount.super_options:
            return f"the filesystem at {point} was shut down by the kernel ({word}); see dmesg"
    if read_only(options):
        if "ro" not in mount.options and "ro" not in mount.super_options:
            return f"{point} can be written to, though options say ro; mount -o remount,ro it, or start it again"
    elif "ro" in mount.super_options:
        return f"the filesystem at {point} has become read-only; see dmesg, check the disk, run fsck"
    elif "ro" in mount.options:
        return f"the mount at {point} is read-only, though options do not say so; somebody remounted it"
    if table.reached_locally(mount):
        # The root inode of a mounted XFS or ext4 is in memory, and XFS answers EIO once it has shut
        # itself down: stat() tells without touching the disk, so it cannot hang with it.
        try:
            os.stat(mount.point)
        except OSError as error:
            return f"the filesystem at {point} does not answer: {error.strerror}; see dmesg"
    return ""
