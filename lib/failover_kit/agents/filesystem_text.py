"""Long descriptions of Filesystem; imported for meta-data and documentation only."""

LONGDESC = """
Mounts an XFS or ext4 filesystem of a shared disk, and unmounts it so that the other node may have it.
Also mounts what a server has (NFS, CIFS), and shows a directory at a second place (a bind mount).

start waits for the device, refuses when something else is mounted at the directory or when the
device is in use by anybody else on this machine, and mounts with mount(8).

stop unmounts the filesystem wherever it is mounted in this mount namespace, and whatever is mounted
below it. Processes in the way are asked to end (TERM) and then killed (KILL), until the time is used
up. For a disk it succeeds only when the block device can then be opened exclusively: while another
mount namespace or a lazy unmount keeps the filesystem alive it fails and says so. It never unmounts
lazily. Of a bind mount only that mount is unmounted, and only processes that use files through it are
in the way.

monitor reads the kernel's mount table and asks a mounted local filesystem whether it still answers; it
fails when the kernel shut the filesystem down or made it read-only, and when a disk's filesystem is
mounted nowhere but still alive in the kernel. With OCF_CHECK_LEVEL 10 it also reads the device or asks
the server, with 20 it also writes and reads a file. No disk or server that hangs makes it hang.

reload-agent changes ro, nosuid, nodev, noexec, nodiratime, noatime, relatime and strictatime (and
their opposites) in place.
"""

PARAMETERS = {
    "device": """
A block device: a path, or UUID=..., or LABEL=... (-U ... and -L ... are understood, too). UUIDs and
labels are found without udev, by reading the superblocks of all block devices. Two devices with the
same one are an error.

Or what a server has: server:/path, [IPv6 address]:/path, //server/share.

Or, with bind among the options, a directory.
""",
    "directory": "The mount point, an absolute path. It is made when it does not exist.",
    "fstype": "The type of the filesystem; none for a bind mount. Left out, mount(8) finds out.",
    "options": """
Mount options, as for mount -o. bind makes it a bind mount, which takes ro, nosuid, nodev, noexec,
nodiratime, noatime, relatime, strictatime and nothing else; it is never visible without them.
""",
    "run_fsck": """
Run fsck -p before mounting: auto checks a filesystem without a journal (ext2, or an ext4 made so),
force checks every one, no none. Errors left uncorrected (exit status 4 and up) fail the start, as
does an fsck that does not end in time. Disks only.
""",
    "fast_stop": """
Kill the processes in the way at once, without asking them to end first (which takes at most five
seconds, or as long as term_signals need).
""",
    "force_unmount": """
End processes that keep the filesystem busy. With no, stop waits for them until its time is used up and
fails. safe, and the modifiers of ClusterLabs' agent after a comma (move, xargs, ps and each with no
before it), are understood: safe means yes, for this one never signals a process that does not use the
filesystem itself, and the modifiers change nothing. Where move is needed there, because processes are
started again and again, this one unmounts within a millisecond of the kill.
""",
    "term_signals": """
The signals, parted by blanks, that a process in the way gets first, one after the other and
signal_delay seconds apart. They have five seconds, or as long as the list needs, and at most half of
the time for stop.
""",
    "kill_signals": "The signals a process gets after that, in the same way; the last one until it has ended.",
    "signal_delay": "Seconds from one signal of a list to the next. Unmounting is tried all the time.",
    "statusfile_prefix": """
Where a monitor with OCF_CHECK_LEVEL 20 writes: a path inside the filesystem, to which the names of
resource and node are added. A slash at its end makes it a directory.
""",
    "force_clones": """
Without it a clone of a disk's filesystem is refused: mounted on two nodes it destroys itself. Only for
a disk that each node has of its own under the same name.
""",
}

EXAMPLE = {"device": "/dev/etherd/e0.0", "directory": "/mnt/e0.0", "fstype": "xfs"}

SEE_ALSO = ("mount(8)", "umount(8)", "fsfreeze(8)", "xfs(5)", "ext4(5)")
