"""What is written onto the machines, word by word. Pure data.

The three files of the document are its own but for the addresses (192.0.2.0/24 stands in for a company's network).
Everything else here is what an administrator of Debian 12 adds so that NFS survives the move: each line says why.
"""

from __future__ import annotations

from lab.plan import CLUSTER, CLUSTER_ADDRESS, MOUNT_POINT, SHELF_DEVICE, SWITCH

PASSWORD = "changeme"
"""The document's own example of a system password, in its ha.cf and on its stonith command line."""

HA_CF = f"""\
use_logd yes
keepalive 1
deadtime 10
warntime 5
baud 9600
serial /dev/ttyS0
auto_failback off
stonith_host pete wti_nps {SWITCH} {PASSWORD}
stonith_host mclaws wti_nps {SWITCH} {PASSWORD}
node pete
node mclaws
"""

AUTHKEYS = """\
auth 1
1 sha1 a-secret-of-the-lab-that-opens-nothing
"""

HARESOURCES = f"""\
pete IPaddr::{CLUSTER_ADDRESS} \\
     Filesystem::{SHELF_DEVICE}::{MOUNT_POINT}::xfs \\
     killnfsd nfs-common nfs-kernel-server
"""

BLANK_AFTER_BACKSLASH = HARESOURCES.replace("\\\n", "\\ \n", 1)
"""The document warns of it: the blank is not seen in an editor, and the next line is not joined."""

BLANK_LINE, BLANK_COLUMN = 1, HARESOURCES.index("\\") + 2
"""Where the blank stands."""

WITHOUT_SERIAL = HA_CF.replace("baud 9600\nserial /dev/ttyS0\n", "ucast eth1\n")
"""The document's variant for machines without a serial cable: an interface and no address."""

UCAST_LINE = 1 + WITHOUT_SERIAL.split("\n").index("ucast eth1")

EXPORT_OPTIONS = "rw,sync,no_root_squash,no_subtree_check,fsid=1"
"""The document's options, and two of today's: the ``fsid`` keeps file handles valid on the other node."""

CLIENTS = "192.0.2.0/24"

EXPORTS = f"{MOUNT_POINT} {CLIENTS}({EXPORT_OPTIONS})\n"

STATE_DIR = f"{MOUNT_POINT}/.nfs"
"""Where the state of NFS lives on the shared disk: who holds locks (statd) and leases (nfsdcltrack, nfsdcld)."""

LEASE_S, GRACE_S = 10, 50

NFS_CONF = f"""\
# Short times, so that a takeover is short: clients reclaim their locks in the grace time, and who wants a new one
# waits for its end.
[nfsd]
lease-time={LEASE_S}
grace-time={GRACE_S}
# NFSv3 clients know the server by the cluster's name and address, whichever node it is. sm-notify runs once per
# boot unless forced; a service that comes back to a node must notify again.
[statd]
name={CLUSTER}
[sm-notify]
force=1
outgoing-addr={CLUSTER_ADDRESS}
"""

NFS_CONF_PATH = "/etc/nfs.conf.d/pair.conf"

SCOPE = f"""\

# NFSv4.1 clients reclaim opens and locks only from a server of the same scope, which is the host name nfsd is
# started under: on both nodes the cluster's. (Newer nfs-utils: rpc.nfsd --scope.)
if [ "$1" = start ] && [ "$(uname -n)" != {CLUSTER} ]; then
    exec unshare --uts -- sh -c 'hostname {CLUSTER} && exec "$0" start' "$0"
fi
"""
"""Appended to /etc/default/nfs-kernel-server, which Debian's init script reads first."""

DEFAULTS_PATH = "/etc/default/nfs-kernel-server"

_SERVER = "::".join((
    "ocf:failover-kit:nfsserver",
    f"nfs_shared_infodir={STATE_DIR}",
    f"nfs_ip={CLUSTER_ADDRESS}",
    f"nfs_server_scope={CLUSTER}",
    f"lease_time={LEASE_S}",
    f"grace_time={GRACE_S}",
))  # fmt: skip
_EXPORT = "::".join((
    "ocf:failover-kit:exportfs",
    f"directory={MOUNT_POINT}",
    f"clientspec={CLIENTS}",
    f"options={EXPORT_OPTIONS.removesuffix(',fsid=1')}",
    "fsid=1",
))  # fmt: skip

RECOMMENDED = f"""\
pete Filesystem::{SHELF_DEVICE}::{MOUNT_POINT}::xfs \\
     {_SERVER} \\
     {_EXPORT} \\
     IPaddr::{CLUSTER_ADDRESS}/24/eth2
"""
"""The service as our documentation recommends it: our agents, and the address last."""

AGENTS = ("IPaddr", "Filesystem", "killnfsd", "nfsserver", "exportfs")
BOOT_SERVICES = ("nfs-common", "nfs-kernel-server")
