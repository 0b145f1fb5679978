"""Long descriptions of exportfs; imported for meta-data and documentation only."""

LONGDESC = """
Exports directories over NFS with exportfs(8), and takes them back so that their filesystem can be unmounted.
It does not manage the NFS server; exports can be made before it runs and outlive its restart as long as
nothing else rewrites etab (exportfs -r or -a -u, which init scripts call: start the server first).

start succeeds when etab has every pair of directory and client with the options that exportfs made of the
declared ones. /etc/exports is not read for it. A missing directory is an error of this node (5).

monitor reads etab, the mount table and a record of the start; it runs no program and looks at no
directory. It fails when options were changed, when only some pairs are exported, and when the directory
is no longer on the filesystem it was on. What etab has from before a reboot, or from the other node,
is not running.

stop unexports, flushes the kernel's caches until they hold nothing of the exports, and drops the locks
of clients. It succeeds without the directory, too. Each wait ends at the timeout of stop, and the reason names it.
"""

PARAMETERS = {
    "directory": r"""
The directories, absolute paths parted by blanks, written as in exports(5): a path with blanks stands in
double quotes, or has \040 for each; \042 is a double quote. Symbolic links are resolved.
""",
    "clientspec": """
Who may mount them, parted by blanks, each as in exports(5): an address or network (IPv6 with or without
brackets), a host name, a wildcard like *.example.org, a netgroup like @trusted, or * for everybody.
""",
    "options": "Export options as for exportfs -o, without blanks.",
    "fsid": """
A number, root (0, the root of the NFSv4 tree) or a UUID, the same on both nodes: it is part of every file
handle. Each further directory gets the next number. It takes the place of fsid= in options; one of the two
is required.
""",
    "unlock_on_stop": """
Drop the locks that clients hold on the filesystem, when nothing else on it is exported and the NFS
server runs. Before Linux 6.9 these are the locks of NFSv3 only.
""",
    "wait_for_leasetime_on_stop": """
After unexporting, wait until no NFSv4 client holds a file on the filesystem, at most for the lease time and
two seconds; clients that were silent so long lose what they hold. The timeout of stop must be longer
than that. Not needed where the NFS server stops together with the export.
""",
    "expire_clients_on_stop": """
After unexporting, end the lease of every NFSv4 client that holds a file on the filesystem. It loses all its
open files and locks at this server and cannot reclaim them on the other node: only for servers that
keep running when the export moves away, on kernels before 6.9. A parameter of this agent alone.
""",
    "rmtab_backup": """
Accepted so that configurations of other agents go on working. Nothing is copied: for kernel NFS servers
rmtab is a list for showmount(8) and decides nothing.
""",
}

EXAMPLE = {
    "directory": "/mnt/e0.0/data",
    "clientspec": "192.0.2.0/24",
    "options": "rw,sync,no_subtree_check",
    "fsid": "1",
}

SEE_ALSO = ("exportfs(8)", "exports(5)", "showmount(8)")
