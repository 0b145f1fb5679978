"""Long descriptions of Filesystem; imported for meta-data and documentation only."""

LONGDESC = """
Mounts an XFS or ext4 filesystem of a shared disk, and unmounts it so that the other node may have it.

start waits for the device, refuses when something else is mounted at the directory or when the
device is in use by anybody else on this machine, and mounts with mount(8).

stop unmounts the filesystem wherever it is mounted in this mount namespace, and whatever is mounted
below it. Processes in the way are asked to end (TERM) and then killed (KILL), until the time is used
up. It succeeds only when the block device can then be opened exclusively: while another mount
namespace or a lazy unmount keeps the filesystem alive it fails and says so. It never unmounts lazily.

monitor reads the kernel's mount table and asks the mounted filesystem whether it still answers; it
fails when the kernel shut the filesystem down or made it read-only. With OCF_CHECK_LEVEL 10 it also
reads the device, with 20 it also writes and reads a file. No disk that hangs makes it hang.

Network filesystems and bind mounts are not for this agent.
"""

PARAMETERS = {
    "device": """
The block device: a path, or UUID=..., or LABEL=... (-U ... and -L ... are understood, too). UUIDs and
labels are found without udev, by reading the superblocks of all block devices. Two devices with the
same one are an error.
""",
    "directory": "The mount point, an absolute path. It is made when it does not exist.",
    "fstype": "The type of the filesystem. Left out, mount(8) finds out.",
    "options": "Mount options, as for mount -o.",
    "fast_stop": """
Kill the processes in the way at once, without asking them to end first (which takes at most five
seconds).
""",
    "force_unmount": """
End processes that keep the filesystem busy. With no, stop waits for them until its time is used up and
fails. The value safe of other agents means yes: this one never signals a process that does not hold
the filesystem itself.
""",
    "statusfile": "The file in the directory that a monitor with OCF_CHECK_LEVEL 20 writes and reads.",
}

EXAMPLE = {"device": "/dev/etherd/e0.0", "directory": "/mnt/e0.0", "fstype": "xfs"}

SEE_ALSO = ("mount(8)", "umount(8)", "fsfreeze(8)", "xfs(5)", "ext4(5)")
