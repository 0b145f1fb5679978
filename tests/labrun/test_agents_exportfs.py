"""exportfs with a kernel NFS server and a client of its own: what stop must release, on Debian's kernel.

One lab for the file, pete serving and kokone mounting; each test begins with a server that exports nothing.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from lab import plan
from lab.guest import Guest, Result
from lab.lab import Lab

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="not root: a lab needs namespaces and mounts"),
    pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="no qemu-system-x86_64: apt install it"),
]

HERE = pathlib.Path(__file__).resolve().parent
AGENT = "/usr/lib/ocf/resource.d/failover-kit/exportfs"
NET = "192.0.2.0/24"
ALIAS = "192.0.2.220"
LEASE_S = 10
# A guest may be several times slower than on an idle machine.
PATIENCE_S = 120

SERVE = f"""
modprobe nfsd
mountpoint -q /proc/fs/nfsd || mount -t nfsd nfsd /proc/fs/nfsd
[ -b {plan.SHELF_DEVICE} ] || aoe-discover
for i in $(seq 100); do [ -b {plan.SHELF_DEVICE} ] && break; sleep 0.2; done
mkdir -p {plan.MOUNT_POINT} /srv/other
blkid {plan.SHELF_DEVICE} >/dev/null || mkfs.xfs -q {plan.SHELF_DEVICE}
mountpoint -q {plan.MOUNT_POINT} || mount {plan.SHELF_DEVICE} {plan.MOUNT_POINT}
chmod 777 {plan.MOUNT_POINT}
pidof rpcbind >/dev/null || rpcbind -w
pidof rpc.statd >/dev/null || rpc.statd --no-notify
pidof nfsdcld >/dev/null || nfsdcld
pidof rpc.mountd >/dev/null || rpc.mountd
[ "$(cat /proc/fs/nfsd/threads)" != 0 ] || rpc.nfsd -G {LEASE_S} -L {LEASE_S} 4
ip addr replace {ALIAS}/24 dev eth2
"""

HOLDER = """
import fcntl, os, sys, time
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
file.write("held")
file.flush()
os.fsync(file.fileno())
print("locked", flush=True)
time.sleep(3600)
"""

# Two files held open and locked, one by each protocol. "" at the end: the mounts and processes go.
HOLD = f"""
pidof rpcbind >/dev/null || rpcbind -w
pidof rpc.statd >/dev/null || rpc.statd --no-notify
mkdir -p /n3 /n4
timeout {PATIENCE_S} mount -t nfs -o vers=3,hard,timeo=10 {ALIAS}:{plan.MOUNT_POINT} /n3
timeout {PATIENCE_S} mount -t nfs4 -o vers=4.1,hard,timeo=10 {ALIAS}:{plan.MOUNT_POINT} /n4
for v in 3 4; do
    rm -f /run/held$v
    setsid --fork /usr/bin/python3 /root/holder.py /n$v/held$v >/run/held$v 2>&1 </dev/null
done
for i in $(seq {PATIENCE_S * 2}); do
    grep -q locked /run/held3 && grep -q locked /run/held4 && exit 0
    sleep 0.5
done
cat /run/held3 /run/held4
exit 1
"""
LET_GO = """
for pid in $(pidof python3); do
    case "$(tr '\\0' ' ' </proc/$pid/cmdline)" in *holder.py*) kill -9 $pid ;; esac
done
umount -l -f /n3 /n4 2>/dev/null || true
"""


def agent(guest: Guest, verb: str, *, timeout_s: int = 60, **parameters: str) -> Result:
    """One action, with the export of the story unless told otherwise."""
    given = {"directory": plan.MOUNT_POINT, "clientspec": NET, "options": "rw,sync,no_root_squash", "fsid": "1"}
    words = {**given, "CRM_meta_timeout": str(timeout_s * 1000), "CRM_meta_interval": "10000", **parameters}
    argv = ["env", *(f"OCF_RESKEY_{name}={value}" for name, value in words.items()), AGENT, verb]
    return guest.run(argv, check=False, timeout_s=timeout_s + PATIENCE_S)


def codes(guest: Guest, *verbs: str, **parameters: str) -> list[int]:
    return [agent(guest, verb, **parameters).code for verb in verbs]


def lines(guest: Guest, path: str) -> list[str]:
    return guest.get(path).decode().splitlines()


def nfs_locks(guest: Guest) -> int:
    """Locks on the shared disk, by whichever protocol. AoE's block devices have the major number 152 (98 hex)."""
    return sum(" 98:" in line for line in lines(guest, "/proc/locks"))


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    base = tempfile.mkdtemp(prefix="fk-exportfs-", dir="/var/tmp")
    try:
        with Lab.open(f"{base}/lab", guests=("pete", "kokone")) as running:
            running.boot("pete", "kokone", timeout_s=600)
            running.kokone.put("/root/holder.py", HOLDER)
            running.pete.put("/root/nfs_interrupted.py", (HERE / "nfs_interrupted.py").read_bytes())
            yield running
    finally:
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def pete(lab: Lab) -> Iterator[Guest]:
    """pete, with nfsd up, the shared disk mounted and nothing exported."""
    lab.pete.sh(SERVE, timeout_s=PATIENCE_S)
    yield lab.pete
    if lab.kokone.on:
        lab.kokone.sh(LET_GO, timeout_s=PATIENCE_S)
    lab.pete.sh("exportfs -ua\nexportfs -f\necho 0 > /proc/fs/nfsd/threads\n", timeout_s=PATIENCE_S)
    assert "BUG:" not in lab.pete.run(["dmesg"], timeout_s=PATIENCE_S).stdout


@pytest.fixture
def held(lab: Lab, pete: Guest) -> Guest:
    """pete, exporting, with one file held by NFSv3 and one by NFSv4.1."""
    assert codes(pete, "start") == [0]
    lab.kokone.sh(HOLD, timeout_s=4 * PATIENCE_S)
    assert nfs_locks(pete) == 2
    return pete


def unmounts(guest: Guest) -> bool:
    return guest.run(["umount", plan.MOUNT_POINT], check=False, timeout_s=PATIENCE_S).code == 0


def test_life_with_a_server(pete: Guest) -> None:
    verbs = ["validate-all", "monitor", "stop", "start", "start", "monitor", "stop", "stop", "monitor"]
    assert codes(pete, *verbs) == [0, 7, 0, 0, 0, 0, 0, 0, 7]
    assert unmounts(pete)


@pytest.mark.skipif(not shutil.which("ocf-tester"), reason="no ocf-tester: apt install resource-agents")
def test_ocf_tester_with_a_server(pete: Guest) -> None:
    """Debian's own tester, carried into the guest with what it needs; libxml2 is there."""
    for path in ("/usr/sbin/ocf-tester", "/usr/bin/xmllint", "/usr/share/resource-agents/ra-api-1.dtd"):
        pete.run(["mkdir", "-p", os.path.dirname(path)])
        with open(path, "rb") as file:
            pete.put(path, file.read(), mode=0o755)
    given = [f"directory={plan.MOUNT_POINT}", f"clientspec={NET}", "options=rw", "fsid=1"]
    words = [word for one in given for word in ("-o", one)]
    result = pete.run(["ocf-tester", "-n", "tested", *words, AGENT], check=False, timeout_s=5 * PATIENCE_S)
    assert result.code == 0, result.stdout + result.stderr
    assert "passed all tests" in result.stdout


@pytest.mark.release
def test_an_action_killed_at_any_moment_leaves_what_the_next_one_can_use(pete: Guest) -> None:
    argv = ["python3", "/root/nfs_interrupted.py", AGENT, plan.SHELF_DEVICE, plan.MOUNT_POINT, "12", "20261126"]
    result = pete.run(argv, check=False, timeout_s=10 * PATIENCE_S)
    print(result.stdout)
    assert result.code == 0, result.stdout + result.stderr


@pytest.mark.release
def test_v3_locks_go_and_the_v4_client_is_named(held: Guest) -> None:
    """Linux 6.1: what NFSv4 holds stays until nfsd stops, and the operator is told before umount fails."""
    stopped = agent(held, "stop")
    assert stopped.code == 0
    assert nfs_locks(held) == 1
    assert lines(held, "/proc/net/rpc/nfsd.export/content") == ["#path domain(flags)"]
    assert "kokone" in stopped.stderr
    assert f"still holds files on {plan.MOUNT_POINT}" in stopped.stderr
    assert not unmounts(held)
    held.sh("echo 0 > /proc/fs/nfsd/threads", timeout_s=PATIENCE_S)
    assert unmounts(held), "the order that is recommended: export, server, filesystem"


@pytest.mark.release
def test_clients_in_the_way_are_expired_when_told(held: Guest) -> None:
    assert agent(held, "stop", expire_clients_on_stop="1").code == 0
    assert nfs_locks(held) == 0
    assert unmounts(held)


@pytest.mark.release
def test_the_lease_is_waited_out_and_not_longer(held: Guest) -> None:
    """The address has gone, so the client is silent: its state ends with the lease, without the rough way."""
    held.run(["ip", "addr", "del", f"{ALIAS}/24", "dev", "eth2"])
    short = agent(held, "stop", timeout_s=LEASE_S, wait_for_leasetime_on_stop="1")
    assert short.code == 1
    assert "does not fit" in short.stderr
    stopped = agent(held, "stop", wait_for_leasetime_on_stop="1")
    assert stopped.code == 0
    assert unmounts(held)


@pytest.mark.release
def test_reload_agent_makes_a_running_export_read_only(held: Guest) -> None:
    assert agent(held, "reload-agent", options="ro,sync,no_root_squash").code == 0
    assert codes(held, "monitor", options="ro,sync,no_root_squash") == [0]
    assert nfs_locks(held) == 2


@pytest.mark.release
def test_another_export_of_the_filesystem_keeps_its_locks(held: Guest) -> None:
    other = {"clientspec": "192.0.2.217"}
    assert codes(held, "start", "monitor", **other) == [0, 0]
    stopped = agent(held, "stop", **other)
    assert stopped.code == 0
    assert "are kept" in stopped.stderr
    assert nfs_locks(held) == 2
    assert codes(held, "monitor") == [0]


@pytest.mark.release
def test_stop_while_the_server_is_down(held: Guest) -> None:
    """Writing unlock_filesystem now crashes some kernels; the fixture looks for a BUG in the kernel's log."""
    held.sh("echo 0 > /proc/fs/nfsd/threads", timeout_s=PATIENCE_S)
    assert codes(held, "stop", "monitor") == [0, 7]
    assert unmounts(held)


@pytest.mark.release
def test_a_directory_that_the_kernel_cannot_export(pete: Guest) -> None:
    pete.sh("modprobe overlay; mkdir -p /run/l /run/u /run/w /run/o; mount -t overlay o /run/o -o"
            " lowerdir=/run/l,upperdir=/run/u,workdir=/run/w", timeout_s=PATIENCE_S)  # fmt: skip
    try:
        started = agent(pete, "start", directory="/run/o")
        assert started.code == 1
        assert "/run/o does not support NFS export" in started.stderr
        assert pete.get("/var/lib/nfs/etab") == b""
        assert codes(pete, "monitor", directory="/run/o") == [7]
    finally:
        pete.sh("umount /run/o")


@pytest.mark.release
def test_821_an_etab_that_survived_a_power_cut(lab: Lab, pete: Guest) -> None:
    assert codes(pete, "start", "monitor") == [0, 0]
    pete.run(["sync"], timeout_s=PATIENCE_S)
    lab.pull_cord("pete")
    lab.plug_in("pete")
    lab.boot("pete", timeout_s=600)
    # Debian's init script clears etab when /etc/exports has no entry; a shared disk would bring one along.
    line = f"{plan.MOUNT_POINT}\t{NET}(rw,sync,fsid=1)\n"
    pete.put("/var/lib/nfs/etab", line)
    assert codes(pete, "monitor") == [7]
    assert agent(pete, "monitor", CRM_meta_interval="0").code == 7
    pete.sh(SERVE, timeout_s=PATIENCE_S)
    assert codes(pete, "start", "monitor", "stop", "monitor") == [0, 0, 0, 7]
    assert pete.get("/var/lib/nfs/etab") == b""
