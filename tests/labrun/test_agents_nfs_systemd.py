"""killnfsd and nfsserver where systemd is pid 1 and believes that the NFS server is its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from lab import plan
from lab.guest import Guest, Result
from lab.lab import Lab

pytestmark = [
    pytest.mark.root,
    pytest.mark.release,
    pytest.mark.skipif(os.geteuid() != 0, reason="not root: a lab needs namespaces and mounts"),
    pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="no qemu-system-x86_64: apt install it"),
]

AGENTS = "/usr/lib/ocf/resource.d/failover-kit"
PATIENCE_S = 240
SERVER = {"nfs_shared_infodir": f"{plan.MOUNT_POINT}/.nfs", "nfs_ip": plan.CLUSTER_ADDRESS, "threads": "2"}
DISK = f"""
[ -b {plan.SHELF_DEVICE} ] || modprobe aoe
[ -b {plan.SHELF_DEVICE} ] || aoe-discover
for i in $(seq 300); do [ -b {plan.SHELF_DEVICE} ] && break; sleep 0.2; done
mkdir -p {plan.MOUNT_POINT}
blkid -p {plan.SHELF_DEVICE} >/dev/null || mkfs.xfs -q {plan.SHELF_DEVICE}
mountpoint -q {plan.MOUNT_POINT} || mount {plan.SHELF_DEVICE} {plan.MOUNT_POINT}
echo '{plan.MOUNT_POINT} 192.0.2.0/24(rw,sync,no_subtree_check,fsid=7)' >/etc/exports
"""


@pytest.fixture(scope="module")
def pete() -> Iterator[Guest]:
    base = tempfile.mkdtemp(prefix="fk-nfs-", dir="/var/tmp")
    try:
        with Lab.open(f"{base}/lab", image="systemd", guests=("pete",)) as lab:
            lab.boot("pete", timeout_s=900)
            lab.pete.sh(DISK, timeout_s=PATIENCE_S)
            yield lab.pete
    finally:
        shutil.rmtree(base, ignore_errors=True)


def does(guest: Guest, name: str, verb: str, code: int = 0) -> Result:
    words = {"CRM_meta_timeout": "120000", "CRM_meta_interval": "10000", **(SERVER if name == "nfsserver" else {})}
    argv = ["env", *(f"OCF_RESKEY_{key}={value}" for key, value in words.items()), f"{AGENTS}/{name}", verb]
    result = guest.run(argv, check=False, timeout_s=PATIENCE_S)
    assert result.code == code, f"{name} {verb}: {result.code} {result.stderr}"
    return result


def threads(guest: Guest) -> int:
    return int(guest.get("/proc/fs/nfsd/threads").decode() or "0")


def unit(guest: Guest, name: str) -> str:
    return guest.run(["systemctl", "is-active", name], check=False, timeout_s=PATIENCE_S).stdout.strip()


def systemd_serves(guest: Guest) -> None:
    guest.run(["systemctl", "start", "nfs-server"], timeout_s=PATIENCE_S)
    assert (unit(guest, "nfs-server"), threads(guest) > 0) == ("active", True)


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_killnfsd_ends_the_server_and_systemd_knows(pete: Guest, verb: str) -> None:
    does(pete, "killnfsd", "stop")
    systemd_serves(pete)
    does(pete, "killnfsd", verb)
    assert (unit(pete, "nfs-server"), threads(pete)) == ("inactive", 0)
    systemd_serves(pete)
    does(pete, "killnfsd", "monitor", 0 if verb == "start" else 7)
    assert threads(pete) > 0, "a monitor ends nothing"
    does(pete, "killnfsd", "stop")


def test_threads_ended_behind_systemd_s_back_are_what_the_order_is_for(pete: Guest) -> None:
    """Without the unit first, systemd would go on believing, and its next start would do nothing."""
    systemd_serves(pete)
    pete.sh("echo 0 > /proc/fs/nfsd/threads")
    assert unit(pete, "nfs-server") == "active"
    pete.run(["systemctl", "start", "nfs-server"], timeout_s=PATIENCE_S)
    assert threads(pete) == 0
    does(pete, "killnfsd", "stop")
    systemd_serves(pete)
    does(pete, "killnfsd", "stop")


def test_nfsserver_takes_over_from_the_units_and_gives_nothing_back(pete: Guest) -> None:
    systemd_serves(pete)
    assert "not started by this resource" in does(pete, "nfsserver", "monitor", 1).stderr
    does(pete, "nfsserver", "start")
    does(pete, "nfsserver", "monitor")
    assert (unit(pete, "nfs-server"), threads(pete)) == ("inactive", 2)
    does(pete, "nfsserver", "stop")
    does(pete, "nfsserver", "monitor", 7)
    pete.run(["umount", plan.MOUNT_POINT], timeout_s=PATIENCE_S)
    pete.run(["mount", plan.SHELF_DEVICE, plan.MOUNT_POINT], timeout_s=PATIENCE_S)


def test_a_unit_started_while_the_resource_runs_is_stopped_with_it(pete: Guest) -> None:
    does(pete, "nfsserver", "start")
    pete.run(["systemctl", "start", "nfs-server"], check=False, timeout_s=PATIENCE_S)
    does(pete, "nfsserver", "stop")
    does(pete, "nfsserver", "monitor", 7)
    assert unit(pete, "nfs-server") != "active"
