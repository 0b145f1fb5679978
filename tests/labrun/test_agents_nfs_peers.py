"""nfsserver and exportfs beside ClusterLabs' agents of the same names, where users of theirs were hurt.

Numbers in names are issues of ClusterLabs/resource-agents. What theirs does is printed, what ours does is asserted:
theirs is the version that is installed here, and may mend it any day. Under systemd, as it is used today.
"""

from __future__ import annotations

import io
import os
import pathlib
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator

import pytest

from lab import plan
from lab.guest import Guest, Result
from lab.lab import Lab

HERE = pathlib.Path(__file__).resolve().parent
PROVIDERS = "/usr/lib/ocf/resource.d"
OURS, THEIRS = "failover-kit", "heartbeat"
PEER = (f"{PROVIDERS}/{THEIRS}/nfsserver", f"{PROVIDERS}/{THEIRS}/exportfs", "/usr/lib/ocf/lib")

pytestmark = [
    pytest.mark.root,
    pytest.mark.release,
    pytest.mark.skipif(os.geteuid() != 0, reason="not root: a lab needs namespaces and mounts"),
    pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="no qemu-system-x86_64: apt install it"),
    pytest.mark.skipif(not all(map(os.path.exists, PEER)), reason="no peer: apt install resource-agents"),
]

POINT, ADDRESS = plan.MOUNT_POINT, plan.CLUSTER_ADDRESS
PATIENCE_S = 240
KILLED = 255
"""What ssh(1) says of a command that a signal has ended; a lost connection is a GuestError."""
LEASE_S, GRACE_S = 10, 60
DISK = f"""
[ -b {plan.SHELF_DEVICE} ] || modprobe aoe
[ -b {plan.SHELF_DEVICE} ] || aoe-discover
for i in $(seq 300); do [ -b {plan.SHELF_DEVICE} ] && break; sleep 0.2; done
mkdir -p {POINT}
blkid -p {plan.SHELF_DEVICE} >/dev/null || mkfs.xfs -q {plan.SHELF_DEVICE}
mountpoint -q {POINT} || mount {plan.SHELF_DEVICE} {POINT}
mkdir -p {POINT}/data
chmod 1777 {POINT}/data
"""
EXPORT = f"exportfs -o rw,sync,no_root_squash,no_subtree_check,fsid=7 192.0.2.0/24:{POINT}/data\n"
SERVE_ADDRESS = f"ip addr add {ADDRESS}/24 dev eth2\narping -q -U -c 2 -I eth2 {ADDRESS}\n"
# Theirs takes Debian's init script where there is one; what its users have is the units.
UNITS = "[ ! -e /etc/init.d/nfs-kernel-server ] || mv /etc/init.d/nfs-kernel-server /root/\n"
OPTIONS = "vers=4.1,hard,timeo=10,retrans=2"
MOUNT = f"mkdir -p /n4; timeout {PATIENCE_S} mount -t nfs -o {OPTIONS} {ADDRESS}:{POINT}/data /n4\n"
LET_GO = "kill -9 $(pidof python3) || true; umount -f -l /n4 || true; rm -f /root/log4\n"
SERVER = {"nfs_shared_infodir": f"{POINT}/.nfs", "nfs_ip": ADDRESS}
EXPORTED = {"directory": "/srv", "clientspec": "192.0.2.0/24", "options": "rw,sync", "fsid": "1"}


def carry(guest: Guest) -> None:
    """The peer's agents and their library into the guest, which is the same Debian; and short times for both."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", dereference=True) as archive:
        for path in PEER:
            archive.add(path)
    guest.put("/root/peer.tar.gz", packed.getvalue())
    guest.run(["tar", "-x", "-z", "-C", "/", "--skip-old-files", "-f", "/root/peer.tar.gz"], timeout_s=PATIENCE_S)
    guest.put("/etc/nfs.conf.d/lab.conf", f"[nfsd]\nlease-time={LEASE_S}\ngrace-time={GRACE_S}\n")
    guest.sh(UNITS)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    base = tempfile.mkdtemp(prefix="fk-peer-", dir="/var/tmp")
    try:
        with Lab.open(f"{base}/lab", image="systemd") as running:
            running.boot(timeout_s=900)
            for node in (running.pete, running.mclaws):
                carry(node)
            running.kokone.put("/root/nfs_writer.py", (HERE / "nfs_writer.py").read_bytes())
            yield running
    finally:
        shutil.rmtree(base, ignore_errors=True)


def action(guest: Guest, provider: str, name: str, verb: str, *, timeout_s: int = 120, **parameters: str) -> Result:
    """One action as Pacemaker runs it: at the timeout its process group is killed, timeout(1) with it (KILLED)."""
    words = {"CRM_meta_timeout": str(timeout_s * 1000), "CRM_meta_interval": "10000", **parameters}
    argv = ["timeout", "-s", "KILL", str(timeout_s), "env", "OCF_ROOT=/usr/lib/ocf", "OCF_RESOURCE_INSTANCE=tested"]
    argv += [*(f"OCF_RESKEY_{key}={value}" for key, value in words.items()), f"{PROVIDERS}/{provider}/{name}", verb]
    return guest.run(argv, check=False, timeout_s=timeout_s + PATIENCE_S)


def reason(result: Result) -> str:
    """What the operator reads."""
    found = [line for line in result.stderr.splitlines() if "ocf-exit-reason:" in line]
    return found[-1].partition("ocf-exit-reason:")[2] if found else "(no reason)"


def told(story: str, provider: str, verb: str, result: Result) -> None:
    how = "was killed at its timeout" if result.code == KILLED else f"exits {result.code}"
    print(f"{story}, {provider}: {verb} {how}: {reason(result)}")


def renew(lab: Lab, *names: str) -> None:
    """Out with whatever is left: power off and on."""
    for name in names:
        lab.pull_cord(name)
        lab.plug_in(name)
    lab.boot(*names, timeout_s=600)


@pytest.mark.parametrize("provider", [OURS, THEIRS])
def test_835_a_dead_mountd_is_seen(lab: Lab, provider: str) -> None:
    pete = lab.pete
    pete.sh(DISK, timeout_s=PATIENCE_S)
    started = action(pete, provider, "nfsserver", "start", **SERVER)
    assert started.code == 0, started.stderr
    pete.sh("kill -9 $(pidof rpc.mountd)")
    seen = action(pete, provider, "nfsserver", "monitor", **SERVER)
    threads = pete.get("/proc/fs/nfsd/threads").decode().strip()
    told(f"#835 with {threads} threads serving and no mountd", provider, "monitor", seen)
    if provider == OURS:
        assert seen.code == 1
        assert "rpc.mountd (pid" in seen.stderr
        assert action(pete, provider, "nfsserver", "stop", **SERVER).code == 0
    else:
        told("#835", provider, "stop", action(pete, provider, "nfsserver", "stop", **SERVER))
    renew(lab, "pete")


@pytest.mark.parametrize("provider", [OURS, THEIRS])
def test_836_a_start_that_cannot_succeed_ends_in_time_and_says_why(lab: Lab, provider: str) -> None:
    """mountd ends at once, as with a broken library."""
    pete = lab.pete
    pete.sh(DISK + "mount --bind /bin/true /usr/sbin/rpc.mountd\n", timeout_s=PATIENCE_S)
    began = time.monotonic()
    started = action(pete, provider, "nfsserver", "start", timeout_s=60, **SERVER)
    told(f"#836 after {time.monotonic() - began:.0f} s", provider, "start", started)
    if provider == OURS:
        assert started.code == 1
        assert "rpc.mountd" in reason(started)
        pete.sh("umount /usr/sbin/rpc.mountd")
        assert action(pete, provider, "nfsserver", "start", **SERVER).code == 0
        assert action(pete, provider, "nfsserver", "stop", **SERVER).code == 0
    renew(lab, "pete")


@pytest.mark.parametrize(
    ("provider", "scope"),
    [(OURS, ""), (THEIRS, ""), (THEIRS, "clusterb")],
    ids=["ours", "theirs", "theirs with nfs_server_scope"],
)
def test_1644_an_nfsv4_client_reclaims_its_lock_at_the_other_node(lab: Lab, provider: str, scope: str) -> None:
    pete, mclaws, client = lab.pete, lab.mclaws, lab.kokone
    server = {**SERVER, **({"nfs_server_scope": scope} if scope else {})}

    def take(node: Guest) -> None:
        node.sh(DISK, timeout_s=PATIENCE_S)
        started = action(node, provider, "nfsserver", "start", **server)
        assert started.code == 0, started.stderr
        node.sh(EXPORT + SERVE_ADDRESS, timeout_s=PATIENCE_S)

    def lines() -> list[str]:
        return client.sh("cat /root/log4 2>/dev/null || true").stdout.splitlines()

    def wait(enough: int) -> list[str]:
        """Until so many writes were acknowledged, or one has failed."""
        end = time.monotonic() + PATIENCE_S
        while len(seen := lines()) < enough and not any(line.startswith("ERROR") for line in seen):
            assert time.monotonic() < end, f"{len(seen)} writes, then nothing for {PATIENCE_S} s"
            time.sleep(0.5)
        return seen

    pete.sh(DISK + f"rm -rf {POINT}/.nfs\n", timeout_s=PATIENCE_S)
    take(pete)
    client.sh(MOUNT, timeout_s=2 * PATIENCE_S)
    try:
        client.spawn(["python3", "/root/nfs_writer.py", "/n4/file", "/root/log4"], log="/root/out4")
        wait(4)
        lab.pull_cord("pete")
        before = len(lines())
        take(mclaws)
        errors = [line for line in wait(before + 5) if line.startswith("ERROR")]
        locked = " 98:" in mclaws.get("/proc/locks").decode()
        print(f"#1644, {provider} {scope}: the lock is {'held' if locked else 'lost'}, {errors[:1] or 'no error'}")
        if provider == OURS:
            assert (errors, locked) == ([], True)
    finally:
        client.sh(LET_GO, timeout_s=PATIENCE_S)
        lab.plug_in("pete")
        renew(lab, "mclaws")
        lab.boot("pete", timeout_s=600)


@pytest.mark.parametrize("provider", [OURS, THEIRS])
def test_821_what_etab_has_from_before_a_power_cut_is_not_running(lab: Lab, provider: str) -> None:
    pete = lab.pete
    pete.run(["systemctl", "start", "nfs-server"], timeout_s=PATIENCE_S)
    started = action(pete, provider, "exportfs", "start", **EXPORTED)
    assert started.code == 0, started.stderr
    etab = pete.get("/var/lib/nfs/etab")
    assert b"/srv\t" in etab
    renew(lab, "pete")
    pete.put("/var/lib/nfs/etab", etab)
    for interval in ("0", "10000"):
        seen = action(pete, provider, "exportfs", "monitor", **EXPORTED, CRM_meta_interval=interval)
        told(f"#821 interval {interval}", provider, "monitor", seen)
        if provider == OURS:
            assert seen.code == 7
    pete.put("/var/lib/nfs/etab", "")
