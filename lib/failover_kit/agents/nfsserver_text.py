"""Long descriptions of nfsserver; imported for meta-data and documentation only."""

LONGDESC = """
Starts the kernel's NFS server with the daemons it needs (mountd, statd, idmapd, nfsdcld), and moves its
memory with the service: which clients held locks and opens stands in /var/lib/nfs, and with
nfs_shared_infodir that is a directory of the shared disk. The next node then knows whom to tell and whose
reclaims to accept. There can be one such resource on a node.

The agent owns the server: it runs the daemons itself, with or without systemd as pid 1, and stops the
units of the distribution where they are active. Leave them disabled at boot on both nodes.

Order: Filesystem, nfsserver, exportfs, IPaddr. The address comes last, so that no client asks a server
that does not know its exports yet (it would be told "Permission denied"). NFSv3 clients are told to reclaim
their locks (SM_NOTIFY) as soon as the addresses of nfs_ip are on this node; a process of this resource
waits for them, for at most five minutes.

stop ends the server (all threads; signals end none any more), the daemons, and takes the directory off
/var/lib/nfs, so that the disk can be unmounted. monitor fails when a daemon has died.

start holds the number of threads, the versions and the times against what the kernel then has, and fails when
it has not what was declared. Kerberos (rpc.gssd, rpc.svcgssd) is not handled.
"""

_PORT_OF_A_DAEMON = """
For firewalls, and the same on both nodes. Left out, what /etc/nfs.conf says, else any.
"""
_PORT_OF_LOCKD = """
For firewalls, and the same on both nodes. The kernel keeps it until the next boot, and lockd takes it when it
starts. Left out, what the kernel has been told elsewhere, else any.
"""

PARAMETERS = {
    "nfs_shared_infodir": """
A directory on the shared disk for the server's state. It is made, with all it needs, when it does not exist
(its parent must), and mounted over /var/lib/nfs while the resource runs. It must not lie on the root
filesystem. Without it the state stays on the node, and clients lose their locks with a move.
""",
    "nfs_ip": """
The addresses by which clients mount, IPv4 and IPv6, separated by commas. Clients with NFSv3 locks are told to
reclaim them from each of these that is of their family, when it is there. Left out, they are told at once, from
whatever addresses the host has.
""",
    "nfs_no_notify": "Do not tell NFSv3 clients to reclaim their locks: something else does, or they have none.",
    "nfs_smnotify_retry_time": "For how many minutes a client that does not answer is told again (sm-notify -m).",
    "nfs_server_scope": """
What the server calls itself to NFSv4 clients (RFC 8881, 2.10.4). It must be the same on both nodes and
different from any other server's: clients reclaim only from a server of the same name. Left out, a
name is made once and kept in nfs_shared_infodir; without that it is the host name.
""",
    "nfsv4_only": "Serve no NFSv3: neither rpcbind nor statd is needed then.",
    "versions": """
The versions to serve, separated by commas, out of 3, 4 (all of its minor versions), 4.0, 4.1, 4.2.
Left out, what /etc/nfs.conf says.
""",
    "threads": """
How many threads serve. Left out, what /etc/nfs.conf says, else 8. Can be changed while the resource runs;
do not change it by hand, which would give the server another name for its NFSv4 clients.
""",
    "lease_time": """
NFSv4 lease in seconds: a client that is silent for so long may lose its locks. Left out, what /etc/nfs.conf
or the kernel says (90). Short leases make failovers short.
""",
    "grace_time": """
For how many seconds after its start the server accepts nothing but reclaims; NFSv3 locks are kept waiting
for as many, rounded up to tens. Not below lease_time, which is also what it is when left out while
lease_time is given.
""",
    "rpcpipefs_dir": """
Where rpc_pipefs is or shall be mounted. Left out: where it is mounted already, else what /etc/nfs.conf says.
""",
    **dict.fromkeys(("mountd_port", "statd_port", "statd_outgoing_port"), _PORT_OF_A_DAEMON),
    **dict.fromkeys(("lockd_tcp_port", "lockd_udp_port"), _PORT_OF_LOCKD),
    "nfs_init_script": "Refused: this agent runs the server and its daemons itself, with systemd and without.",
    "nfsd_args": "Refused: use threads, versions, lease_time and grace_time, or /etc/nfs.conf.",
    "rquotad_port": "Refused: this agent does not run rpc.rquotad.",
    "nfs_notify_foreground": """
Only as no. The addresses from which clients are told come after this resource, and a start that waited for
them would wait for ever.
""",
}

EXAMPLE = {"nfs_shared_infodir": "/mnt/e0.0/.nfs", "nfs_ip": "192.0.2.220"}

SEE_ALSO = ("rpc.nfsd(8)", "rpc.mountd(8)", "rpc.statd(8)", "sm-notify(8)", "nfsdcld(8)", "nfs.conf(5)")
