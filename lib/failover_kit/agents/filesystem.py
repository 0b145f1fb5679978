"""Filesystem: XFS or ext4 on a shared disk. start and stop have modules of their own.

Running means: the topmost mount at ``directory`` is the whole filesystem of ``device``, and it answers.
Stopped means: that filesystem is mounted nowhere in this mount namespace. In between is a failure.
"""

import os

from failover_kit.kernel import blockdev, mounts
from failover_kit.ocf import codes
from failover_kit.ocf.agent import Agent
from failover_kit.ocf.codes import failed
from failover_kit.spec.parameter import Action, Parameter
from failover_kit.spec.values import check_boolean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.kernel.blockdev import Tag
    from failover_kit.kernel.mounts import Mount, MountTable
    from failover_kit.ocf.agent import Call

FSTYPES = ("xfs", "ext4", "ext3", "ext2")
# ext4 shows these from Linux 6.15 on; before, only stat() or a write tells.
_BROKEN_OPTIONS = ("shutdown", "emergency_ro")
_SUPERBLOCK_PATIENCE_MS = 5000


def check_device(text: str) -> str:
    blockdev.parse_tag(text)
    return text


def check_force(text: str) -> bool:
    """yes, no, and the words of ClusterLabs' agent: ``safe`` and its modifiers mean yes here."""
    word = text.partition(",")[0]
    return word == "safe" or check_boolean(word)


class Observation:
    """What the mount table says about the resource.

    ``mount`` is ours at ``directory`` (None: it is not there); ``elsewhere`` are other mounts of the
    same filesystem; ``foreign`` is something else that is mounted at the directory.
    """

    __slots__ = ("device", "directory", "elsewhere", "foreign", "mount", "table")

    def __init__(
        self,
        table: "MountTable",
        directory: str,
        device: int,
        *,
        mount: "Mount | None",
        elsewhere: "list[Mount]",
        foreign: "Mount | None",
    ) -> None:
        self.table = table
        self.directory = directory
        self.device = device
        self.mount = mount
        self.elsewhere = elsewhere
        self.foreign = foreign


def observe(call: "Call") -> Observation:
    """Read the mount table and tell ours from others. Touches no disk, unless only that can tell."""
    tag = blockdev.parse_tag(call.values.text("device"))
    directory = call.values.text("directory")
    table = mounts.table(directory)
    top = table.at(directory)
    if top is None:
        real = mounts.real_path(directory, table)
        if real != directory:
            directory, table = real, mounts.table(real)
            top = table.at(directory)
    device = known_number(tag)
    ours = top if top is not None and is_ours(call, tag, device, top) else None
    if ours is not None:
        device = ours.device
    same = table.of_device(device) if device else []
    elsewhere = [mount for mount in same if ours is None or mount.id != ours.id]
    return Observation(table, directory, device, mount=ours, elsewhere=elsewhere, foreign=None if ours else top)


def known_number(tag: "Tag") -> int:
    """The device number as far as /dev tells without reading a disk; 0 when it does not."""
    try:
        return blockdev.number_of(tag.value if tag.kind == "path" else blockdev.udev_link(tag))
    except OSError:
        return 0


def recorded_number(call: "Call") -> int:
    """Which device ``device`` was when our start mounted it; 0 when that is not on record.

    It tells whether what is mounted at our directory is what start mounted, and what a stop must see
    free. Never what may be unmounted: the number may have been given to another disk since.
    """
    try:
        with open(call.state_path(record_name(call)), encoding="utf-8") as file:
            device, _, major_minor = file.read().strip().rpartition(" ")
        major, _, minor = major_minor.partition(":")
        if device == call.values.text("device"):
            return os.makedev(int(major), int(minor))
    except (OSError, ValueError):
        pass
    return 0


def record_name(call: "Call") -> str:
    """Where start writes which device its setting meant; stop takes it away."""
    return call.values.text("directory") + ".device"


def is_ours(call: "Call", tag: "Tag", device: int, mount: "Mount") -> bool:
    """Whether ``mount`` is the filesystem asked for."""
    if mount.device == device or mount.device == recorded_number(call):
        # The record counts even if the setting leads to another device now: links of udev's move.
        return True
    if device:
        return False
    if tag.kind == "path":
        # The node is gone (a link of udev's goes with its disk) and so is the record, and something
        # is mounted: the name it was mounted by must do.
        return mount.source == tag.value
    if mount.fstype not in FSTYPES:
        return False
    from failover_kit.kernel.attempts import Attempts, GivenUp
    from failover_kit.spec.deadline import Deadline

    try:
        matching = Attempts().run(
            f"reading the superblock of {mount.source}",
            lambda: "yes" if blockdev.matches(mount.source, tag) else "",
            Deadline(_SUPERBLOCK_PATIENCE_MS),
        )
    except GivenUp as error:
        raise failed(f"cannot tell what is mounted at {mount.point}: {error}") from None
    return bool(matching)


def describe_state(seen: Observation, device: str) -> str:
    """What is wrong with where the filesystem is mounted; "" when running or cleanly stopped."""
    if seen.foreign is not None and any(mount.point == seen.directory for mount in seen.elsewhere):
        return f"{seen.foreign.source} is mounted on top of {device} at {seen.directory}; unmount it"
    if seen.mount is None and seen.elsewhere:
        places = ", ".join(mount.point for mount in seen.elsewhere)
        return f"{device} is mounted at {places}, not at {seen.directory}; unmount it there"
    if seen.mount is not None and seen.mount.root != "/":
        return f"{seen.directory} shows only {seen.mount.root} of {device} (a bind mount), not all of it"
    return ""


def sickness(mount: "Mount", options: str, table: "MountTable") -> str:
    """Why a mounted filesystem is not well, as far as that can be told without waiting; "" if it is."""
    cover = table.covered_by(mount)
    if cover is not None:
        return f"{mount.point} is mounted, but hidden by {cover.source}, mounted at {cover.point}; unmount that"
    for word in _BROKEN_OPTIONS:
        if word in mount.super_options:
            return f"the filesystem at {mount.point} was shut down by the kernel ({word}); see dmesg"
    if "ro" in mount.super_options and "ro" not in options.split(","):
        return f"the filesystem at {mount.point} has become read-only; see dmesg, check the disk, run fsck"
    if table.reached_locally(mount):
        # The root inode of a mounted XFS or ext4 is in memory, and XFS answers EIO once it has shut
        # itself down: stat() tells without touching the disk, so it cannot hang with it.
        try:
            os.stat(mount.point)
        except OSError as error:
            return f"the filesystem at {mount.point} does not answer: {error.strerror}; see dmesg"
    return ""


def monitor(call: "Call") -> int:
    """Depth 0 reads kernel tables; 10 reads the device; 20 writes and reads a file."""
    seen = observe(call)
    problem = describe_state(seen, call.values.text("device"))
    if problem:
        raise failed(problem)
    if seen.mount is None:
        return codes.NOT_RUNNING
    if not seen.device or not os.path.exists(f"/sys/dev/block/{os.major(seen.device)}:{os.minor(seen.device)}"):
        raise failed(f"{call.values.text('device')} has vanished under the filesystem at {seen.directory}")
    options = call.values.text("options")
    problem = sickness(seen.mount, options, seen.table)
    if problem:
        raise failed(problem)
    if call.level >= 10:
        from failover_kit.agents.filesystem_probe import read_device, use_status_file

        read_device(call, seen.mount)
        if call.level >= 20:
            use_status_file(call, seen.mount)
    return codes.SUCCESS


def start(call: "Call") -> int:
    from failover_kit.agents.filesystem_start import start

    return start(call)


def stop(call: "Call") -> int:
    from failover_kit.agents.filesystem_stop import stop

    return stop(call)


def validate(call: "Call") -> int:
    from failover_kit.agents.filesystem_start import validate

    return validate(call)


AGENT = Agent(
    "Filesystem",
    version="0.1",
    shortdesc="Manages a filesystem on a shared disk",
    text_module="failover_kit.agents.filesystem_text",
    parameters=(
        Parameter("device", required=True, unique_group="device", check=check_device, shortdesc="Block device"),
        Parameter("directory", kind="path", required=True, unique_group="directory", shortdesc="Mount point"),
        Parameter("fstype", choices=FSTYPES, shortdesc="Filesystem type"),
        Parameter("options", shortdesc="Mount options"),
        Parameter("fast_stop", kind="boolean", default="no", shortdesc="Kill users without asking them first"),
        Parameter(
            "force_unmount", kind="boolean", default="yes", check=check_force, shortdesc="End processes in the way"
        ),
        Parameter(
            "statusfile", kind="filename", default=".failover-kit-status", shortdesc="File for monitor depth 20"
        ),
    ),
    actions=(
        Action("start", 60),
        Action("stop", 60),
        Action("monitor", 40, interval_s=20, depth=0),
        Action("monitor", 40, interval_s=60, depth=10),
        Action("monitor", 40, interval_s=120, depth=20),
        Action("validate-all", 20),
        Action("meta-data", 5),
    ),
    handlers={"start": start, "stop": stop, "monitor": monitor, "validate-all": validate},
    positional=("device", "directory", "fstype", "options"),
)
