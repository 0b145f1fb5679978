"""Long descriptions of killnfsd; imported for meta-data and documentation only."""

LONGDESC = """
Ends the kernel's NFS server: once when the resource is started, so that a stale server does not survive
into the services that follow, and again when it is stopped, so that the filesystem below it can be
unmounted. Its place is between the filesystem and the scripts of the distribution:
Filesystem killnfsd nfs-common nfs-kernel-server. With the agent nfsserver it is not needed.

Since Linux 6.6, and in the stable series of older ones, the server's threads ignore signals: what init
scripts do (and killall -9 nfsd) ends nothing any more. This agent stops the systemd unit if systemd is
pid 1 and believes it to be active, then asks the kernel for zero threads, waits until there is none, and
empties the kernel's export caches, which may hold a filesystem, too. Locks and opens of clients are lost
with the server; they reclaim them from the next one.

start leaves a marker that is valid until the next boot, and monitor reports that marker and nothing else:
between start and stop the NFS server comes and goes as its own resource says. Starting a started resource
does not touch the server.
"""

PARAMETERS = {
    "unit": """
The systemd unit that runs the NFS server. It is stopped first where it is active, so that systemd knows.
""",
}

EXAMPLE: "dict[str, str]" = {}

SEE_ALSO = ("rpc.nfsd(8)", "systemctl(1)")
