"""What the settings of Filesystem mean: which kind of source, which options. Looks at no host."""

from failover_kit.kernel import blockdev
from failover_kit.spec.values import check_boolean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.spec.parameter import Values

DISK_TYPES = ("xfs", "ext4", "ext3", "ext2")
NETWORK_TYPES = ("nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs")
FSTYPES = (*DISK_TYPES, *NETWORK_TYPES, "none")

BLOCK, NETWORK, BIND = "a block device", "a network filesystem", "a bind mount"

# Words of ClusterLabs' force_unmount. The modifiers choose how their agent looks for users, or moves
# the mount out of the way of processes that are started again and again; here they change nothing.
_FORCE_MODIFIERS = ("move", "nomove", "xargs", "noxargs", "ps", "nops")

# mount(8)'s words for one mount, with the attribute each sets or clears: MOUNT_ATTR_* in linux/mount.h.
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _NOATIME, _STRICTATIME, _NODIRATIME = 1, 2, 4, 8, 0x10, 0x20, 0x80
MOUNT_FLAGS = {
    "ro": (_RDONLY, True), "rw": (_RDONLY, False), "nosuid": (_NOSUID, True), "suid": (_NOSUID, False),
    "nodev": (_NODEV, True), "dev": (_NODEV, False), "noexec": (_NOEXEC, True), "exec": (_NOEXEC, False),
    "nodiratime": (_NODIRATIME, True), "diratime": (_NODIRATIME, False),
}  # fmt: skip
# The three ways of keeping access times exclude each other; relatime, 0, is the kernel's default.
ATIME_FLAGS = {"noatime": _NOATIME, "strictatime": _STRICTATIME, "relatime": 0, "atime": 0, "norelatime": 0}
# Words for fstab(5), of no meaning to the kernel.
_IGNORED_WORDS = ("defaults", "auto", "noauto", "nofail", "_netdev", "bind", "")

# kill(1)'s names; the numbers differ between machines.
_SIGNALS = ("HUP", "INT", "QUIT", "ABRT", "ALRM", "TERM", "USR1", "USR2", "CONT", "KILL")


def network_name(text: str) -> bool:
    """Whether ``text`` names what a server has: host:/path, [IPv6]:/path, //host/share. ValueError when nearly."""
    if text.startswith("//"):
        host, _, share = text[2:].partition("/")
        if not host or not share.strip("/"):
            raise ValueError("is not a share; write it like //server/share")
        return True
    host, colon, _ = text.partition(":/")
    if not colon or not host or "/" in host or "=" in host:
        return False
    if host.startswith("["):
        if not host.endswith("]"):
            raise ValueError("is not a server's directory; write an IPv6 address like [2001:db8::1]:/path")
    elif host.count(":") > 1 and "," not in host:
        raise ValueError("is not a server's directory; write an IPv6 address in brackets, like [2001:db8::1]:/path")
    return True


def check_device(text: str) -> str:
    if not network_name(text):
        blockdev.parse_tag(text)
    return text


def check_force(text: str) -> bool:
    """yes, no and safe, with the modifiers of ClusterLabs' agent: safe is what this one always is."""
    word, *modifiers = text.split(",")
    for modifier in modifiers:
        if modifier not in _FORCE_MODIFIERS:
            known = ", ".join(_FORCE_MODIFIERS)
            raise ValueError(f"has '{modifier}' in it; understood are yes, safe and no, then {known}")
    return word == "safe" or check_boolean(word)


def check_signals(text: str) -> str:
    """Names of signals parted by blanks, with or without SIG."""
    names = [name.removeprefix("SIG") for name in text.split()]
    for name in names:
        if name not in _SIGNALS:
            raise ValueError(f"has '{name}' in it; understood are {', '.join(_SIGNALS)}")
    return " ".join(names)


def check_prefix(text: str) -> str:
    """A path inside the filesystem; a slash at its end makes it a directory."""
    if text.startswith("/") or ".." in text.split("/"):
        raise ValueError("is not a path inside the filesystem; leave out / at the beginning and ..")
    return text


def words_of(options: str) -> "list[str]":
    """The options that mean something to the kernel."""
    return [word for word in options.split(",") if word not in _IGNORED_WORDS and not word.startswith("x-")]


def read_only(options: str) -> bool:
    """Whether options ask for ro; the last word counts, as for mount(8)."""
    asked = [word for word in options.split(",") if word in ("ro", "rw")]
    return asked[-1:] == ["ro"]


def kind_of(values: "Values") -> str:
    options = values.text("options").split(",")
    if "bind" in options or "rbind" in options:
        return BIND
    return NETWORK if network_name(values.text("device")) else BLOCK


def consistency(values: "Values") -> "list[str]":
    """What is wrong between device, directory, fstype and options."""
    device, fstype, options = values.text("device"), values.text("fstype"), values.text("options")
    kind = kind_of(values)
    allowed = {BLOCK: DISK_TYPES, NETWORK: NETWORK_TYPES, BIND: ("none",)}[kind]
    wrong = []
    if fstype and fstype not in allowed:
        advice = "; for a bind mount options must have bind" if fstype == "none" else ""
        wrong.append(f"fstype: {fstype} is not for {kind}, which has {' or '.join(allowed)}{advice}")
    if kind != BIND:
        return wrong
    if "rbind" in options.split(","):
        wrong.append("options: rbind takes other mounts along unseen; use bind, and a resource for each of them")
    strange = [word for word in words_of(options) if word != "rbind" and not {word} & {*MOUNT_FLAGS, *ATIME_FLAGS}]
    if strange:
        wrong.append(f"options: {', '.join(strange)} cannot be set for a bind mount, only for its filesystem")
    if not device.startswith("/") or network_name(device):
        wrong.append("device: a bind mount needs an absolute path to a directory")
    elif device.rstrip("/") == values.text("directory"):
        wrong.append("device: a directory cannot be bound to itself here; give another directory")
    return wrong
