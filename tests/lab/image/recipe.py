"""What is in the guests: pure data. A change here gives another content key, and with it a new image."""

from __future__ import annotations

KERNEL_META = "linux-image-cloud-amd64"
"""The package whose dependency is the kernel: no drivers for hardware that a VM never has, 27 MB."""

COMMON_PACKAGES = (
    # what failover-kit and its agents need on a machine
    "python3",
    "python3-pexpect",
    "python3-serial",
    "python3-lxml",
    "iproute2",
    "iputils-arping",
    "iputils-ping",
    "kmod",
    "mount",
    "procps",
    "psmisc",
    "util-linux",
    "xfsprogs",
    # the HOWTO's pair and its client
    "aoetools",
    "nfs-common",
    "nfs-kernel-server",
    "rpcbind",
    "openssh-server",
    "tcpdump",
)

SYSTEMD_PACKAGES = (*COMMON_PACKAGES, "systemd", "systemd-sysv", "dbus", "udev")
PACKAGES = {
    "sysv": (*COMMON_PACKAGES, "sysvinit-core", "sysv-rc", "insserv", "initscripts", "busybox", "busybox-syslogd"),
    "systemd": SYSTEMD_PACKAGES,
    "pacemaker": (*SYSTEMD_PACKAGES, "corosync", "pacemaker", "pacemaker-cli-utils"),
    "heartbeat": (*SYSTEMD_PACKAGES, "heartbeat", "cluster-glue"),
}
KINDS = tuple(PACKAGES)
INIT = {"sysv": "sysv", "systemd": "systemd", "pacemaker": "systemd", "heartbeat": "systemd"}
"""Which pid 1 a kind has, and with it which of the lab's own files."""

LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
"""Paths that dpkg does not unpack: nobody reads them in a guest, and each file costs time."""

INITRD_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "ext4")
"""With what they depend on; one that the kernel has built in is left out."""

ROOT_MIB = 1100
"""Size of the root file system: 450 MB are used, the rest is for logs and core files of a long run."""

SYSV_REPLACED = (
    # These scripts prepare hardware, clocks, swap and file systems that a guest has not got, or do what the
    # initrd has done already; together they took 8 of 19 s of a boot. lab-early stands in for all of them.
    "bootlogs",
    "bootmisc.sh",
    "brightness",
    "checkfs.sh",
    "checkroot-bootclean.sh",
    "checkroot.sh",
    "hostname.sh",
    "hwclock.sh",
    "mount-configfs",
    "mountall-bootclean.sh",
    "mountall.sh",
    "mountdevsubfs.sh",
    "mountkernfs.sh",
    "mountnfs-bootclean.sh",
    "mountnfs.sh",
    "procps",
    "rc.local",
    "rmnologin",
    "urandom",
)
SYSV_DISABLED = ("aoetools", "busybox-klogd", "kmod")
"""Stay as scripts, without boot links: lab-early loads /etc/modules; the kernel's messages are on the console."""

SYSTEMD_MASKED = (
    # Devices, clocks, keymaps, consoles, logins and clean-ups that a guest has no use for.
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty-static.service",
    "getty.target",
    "keyboard-setup.service",
    "kmod-static-nodes.service",
    "ldconfig.service",
    "logrotate.timer",
    "modprobe@configfs.service",
    "modprobe@dm_mod.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "modprobe@loop.service",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-binfmt.service",
    "systemd-firstboot.service",
    "systemd-hwdb-update.service",
    "systemd-logind.service",
    "systemd-machine-id-commit.service",
    "systemd-pcrphase-sysinit.service",
    "systemd-pcrphase.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-remount-fs.service",
    "systemd-repart.service",
    "systemd-sysctl.service",
    "systemd-sysusers.service",
    "systemd-timesyncd.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
    "systemd-user-sessions.service",
    "xfs_scrub_all.timer",
)
SYSTEMD_GENERATORS_KEPT = ("nfs-server-generator", "rpc-pipefs-generator", "systemd-fstab-generator")
"""Every other generator looks at each boot for something that a guest has not got; systemd-sysv-generator would
also make a second unit of each init script."""

SYSTEMD_DISABLED = ("nfs-server.service", "nfs-blkmap.service", "nfs-client.target", "remote-fs.target")
MANAGERS_DISABLED = {"pacemaker": ("corosync.service", "pacemaker.service"), "heartbeat": ("heartbeat.service",)}
"""Debian enables them, without a configuration that could work."""
SYSTEMD_ENABLED = ("ssh.service", "rpcbind.service", "lab-ready.service")
