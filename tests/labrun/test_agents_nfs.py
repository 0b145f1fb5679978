"""killnfsd and nfsserver on Debian's kernel: what ends, what moves with the disk, what a client keeps.

One lab for the file: pete and mclaws serve in turn, kokone mounts. No manager: the agents are called as one would.
"""

from __future__ import annotations

import io
import itertools
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

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
AGENTS = "/usr/lib/ocf/resource.d/failover-kit"
POINT, DEVICE, ADDRESS = plan.MOUNT_POINT, plan.SHELF_DEVICE, plan.CLUSTER_ADDRESS
LEASE_S = 10
GRACE_S = 60
"""A client of a slow lab needs half a minute to come back, and a lock that is reclaimed after this is lost. Nobody
waits for it to end: NFSv4 ends it when all have reclaimed, NFSv3 locks that are reclaimed are not kept waiting."""
PATIENCE_S = 240
"""A guest may be ten times slower than on an idle machine."""

SERVER = {
    "nfs_shared_infodir": f"{POINT}/.nfs",
    "nfs_ip": ADDRESS,
    "lease_time": str(LEASE_S),
    "grace_time": str(GRACE_S),
    "threads": "4",
}
PORTS = {
    "mountd_port": "892",
    "statd_port": "662",
    "statd_outgoing_port": "2020",
    "lockd_tcp_port": "32803",
    "lockd_udp_port": "32769",
}
DISK = f"""
[ -b {DEVICE} ] || modprobe aoe
[ -b {DEVICE} ] || aoe-discover
for i in $(seq 300); do [ -b {DEVICE} ] && break; sleep 0.2; done
mkdir -p {POINT}
blkid -p {DEVICE} >/dev/null || mkfs.xfs -q {DEVICE}
"""
CLIENT = """
pidof rpcbind >/dev/null || rpcbind -w
pidof rpc.statd >/dev/null || rpc.statd --no-notify
mkdir -p /n3 /n4 /n6
"""
MOUNT = f"timeout {PATIENCE_S} mount -t nfs -o hard,timeo=10,retrans=2"
MOUNT_V3 = f"{MOUNT},vers=3 {ADDRESS}:{POINT}/data /n3\n"
MOUNT_V4 = f"{MOUNT},vers=4.1 {ADDRESS}:{POINT}/data /n4\n"
NETWORK_V6 = "2001:db8:6::"
ADDRESS_V6 = f"{NETWORK_V6}220"
MOUNT_V6 = f"{MOUNT},vers=3,proto=tcp6,mountproto=tcp6 [{ADDRESS_V6}]:{POINT}/data /n6\n"
OTHER_NUMBER = """
/etc/init.d/nfs-common stop
usermod -u 1789 statd
chown -R statd /var/lib/nfs/sm /var/lib/nfs/sm.bak /var/lib/nfs/state
"""
EXPORTS = (f"{ADDRESS.rpartition('.')[0]}.0/24:{POINT}/data", f"[{NETWORK_V6}]/64:{POINT}/data")
TESTER = ("/usr/sbin/ocf-tester", "/usr/lib/ocf/lib", "/usr/share/resource-agents", "/usr/bin/xmllint")


def agent(guest: Guest, name: str, verb: str, **parameters: str) -> Result:
    """One action with a minute by its own clock, and as much again for a slow machine."""
    words = {"CRM_meta_timeout": "120000", "CRM_meta_interval": "10000", **parameters}
    argv = ["env", *(f"OCF_RESKEY_{key}={value}" for key, value in words.items()), f"{AGENTS}/{name}", verb]
    return guest.run(argv, check=False, timeout_s=PATIENCE_S)


def does(guest: Guest, name: str, verb: str, code: int = 0, **parameters: str) -> Result:
    result = agent(guest, name, verb, **parameters)
    assert result.code == code, f"{name} {verb}: {result.code} {result.stderr}"
    return result


def threads(guest: Guest) -> int:
    return int(guest.get("/proc/fs/nfsd/threads").decode() or "0")


def address_at(ip: str) -> dict[str, str]:
    return {"ip": ip, "cidr_netmask": "64" if ":" in ip else "24", "nic": "eth2"}


def take(guest: Guest, ip: str = ADDRESS) -> None:
    """The group, left to right: disk, server, exports, address."""
    guest.sh(DISK, timeout_s=PATIENCE_S)
    does(guest, "Filesystem", "start", device=DEVICE, directory=POINT, fstype="xfs")
    guest.sh(f"mkdir -p {POINT}/data; chmod 1777 {POINT}/data")
    does(guest, "nfsserver", "start", **{**SERVER, "nfs_ip": ip})
    options = "rw,sync,no_root_squash,no_subtree_check,fsid=7"
    guest.run(["exportfs", "-o", options, *EXPORTS], timeout_s=PATIENCE_S)
    does(guest, "IPaddr", "start", **address_at(ip))


def release(guest: Guest, ip: str = ADDRESS) -> None:
    """Right to left; the disk must be free after it, which Filesystem's stop proves."""
    server = {**SERVER, "nfs_ip": ip}
    does(guest, "IPaddr", "stop", **address_at(ip))
    guest.run(["exportfs", "-u", *EXPORTS], timeout_s=PATIENCE_S, check=False)
    does(guest, "nfsserver", "stop", **server)
    does(guest, "nfsserver", "monitor", 7, **server)
    does(guest, "Filesystem", "stop", device=DEVICE, directory=POINT, fstype="xfs")


def locks(guest: Guest) -> int:
    """Locks on the shared disk. AoE's block devices have the major number 152 (98 hex)."""
    return sum(" 98:" in line and "POSIX" in line for line in guest.get("/proc/locks").decode().splitlines())


def eventually(what: str, condition: Callable[[], object], seen: Sequence[Guest] = ()) -> None:
    """Wait for it; at the limit, with what the machines in ``seen`` have logged."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            logs = [f"{guest.name}:\n{logged(guest)}" for guest in seen]
            pytest.fail("\n".join([f"never happened within {PATIENCE_S} s: {what}", *logs]))
        time.sleep(0.5)


def logged(guest: Guest) -> str:
    script = "tail -n 40 /var/log/messages; dmesg | tail -n 20; cat /proc/locks; tail -n 3 /root/log?"
    return guest.sh(script, check=False, timeout_s=PATIENCE_S).stdout


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    base = tempfile.mkdtemp(prefix="fk-nfs-", dir="/var/tmp")
    try:
        with Lab.open(f"{base}/lab") as running:
            running.boot("pete", "mclaws", "kokone", timeout_s=900)
            for node in (running.pete, running.mclaws):
                node.put("/root/nfs_interrupted.py", (HERE / "nfs_interrupted.py").read_bytes())
            running.kokone.put("/root/nfs_writer.py", (HERE / "nfs_writer.py").read_bytes())
            yield running
    finally:
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def pete(lab: Lab) -> Iterator[Guest]:
    """pete with the disk mounted and no server; nothing is left of one afterwards."""
    lab.pete.sh(DISK, timeout_s=PATIENCE_S)
    does(lab.pete, "Filesystem", "start", device=DEVICE, directory=POINT, fstype="xfs")
    yield lab.pete
    for name in ("nfsserver", "killnfsd"):
        does(lab.pete, name, "stop", **(SERVER if name == "nfsserver" else {}))
    does(lab.pete, "Filesystem", "stop", device=DEVICE, directory=POINT, fstype="xfs")
    assert "BUG:" not in lab.pete.run(["dmesg"], timeout_s=PATIENCE_S).stdout


def test_debian_s_init_script_leaves_the_threads_and_killnfsd_ends_them(pete: Guest) -> None:
    """In the HOWTO's order: killnfsd nfs-common nfs-kernel-server, and back."""
    pete.put("/etc/exports", f"{POINT} 192.0.2.0/24(rw,sync,no_root_squash,no_subtree_check)\n")
    does(pete, "killnfsd", "start")
    for script in ("nfs-common", "nfs-kernel-server"):
        pete.run([f"/etc/init.d/{script}", "start"], timeout_s=PATIENCE_S)
    assert threads(pete) == 8
    does(pete, "killnfsd", "monitor")
    does(pete, "killnfsd", "start")
    assert threads(pete) == 8, "a started killnfsd leaves the service alone"
    for script in ("nfs-kernel-server", "nfs-common"):
        assert pete.run([f"/etc/init.d/{script}", "stop"], timeout_s=PATIENCE_S).code == 0
    assert threads(pete) == 8, "the finding of docs/design/0022: SIGINT ends no nfsd"
    does(pete, "killnfsd", "stop")
    does(pete, "killnfsd", "monitor", 7)
    assert threads(pete) == 0
    pete.put("/etc/exports", "")


def ocf_tester(guest: Guest, name: str, **parameters: str) -> Result:
    options = [word for key, value in parameters.items() for word in ("-o", f"{key}={value}")]
    argv = ["ocf-tester", "-n", "tested", *options, f"{AGENTS}/{name}"]
    return guest.run(argv, check=False, timeout_s=3 * PATIENCE_S)


@pytest.fixture(scope="module")
def tester(lab: Lab) -> None:
    """ocf-tester and xmllint with its libraries, of this machine: the guest is the same Debian."""
    missing = [path for path in TESTER if not os.path.exists(path)]
    if missing or "bookworm" not in pathlib.Path("/etc/os-release").read_text():
        pytest.skip(f"no ocf-tester for the guest: {', '.join(missing) or 'this is not Debian 12'}")
    linked = subprocess.run(["ldd", "/usr/bin/xmllint"], check=True, capture_output=True, text=True, timeout=60)
    libraries = [line.split()[2] for line in linked.stdout.splitlines() if "=> /" in line]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", dereference=True) as archive:
        for path in (*TESTER, *libraries):
            archive.add(path)
    lab.pete.put("/root/tester.tar.gz", packed.getvalue())
    lab.pete.run(["tar", "-x", "-z", "-C", "/", "--skip-old-files", "-f", "/root/tester.tar.gz"], timeout_s=120)
    # It tells every agent that it has 20 s, which a machine without load has.
    lab.pete.run(["sed", "-i", "s/meta_timeout=20000/meta_timeout=120000/", "/usr/sbin/ocf-tester"])


def test_ocf_tester_passes_killnfsd(pete: Guest, tester: None) -> None:
    result = ocf_tester(pete, "killnfsd")
    assert "passed all tests" in result.stdout, result.stdout + result.stderr


@pytest.mark.parametrize("parameters", [SERVER, {"nfsv4_only": "yes"}], ids=["shared", "version-4-alone"])
def test_ocf_tester_passes_nfsserver(pete: Guest, tester: None, parameters: dict[str, str]) -> None:
    result = ocf_tester(pete, "nfsserver", **parameters)
    assert "passed all tests" in result.stdout, result.stdout + result.stderr


@pytest.mark.release
def test_what_was_declared_is_what_the_kernel_has(pete: Guest) -> None:
    does(pete, "nfsserver", "start", **SERVER, **PORTS, versions="3,4.1")
    kernel = "/proc/fs/nfsd"
    assert threads(pete) == 4
    assert pete.get(f"{kernel}/versions").decode().split() == ["+3", "+4", "-4.0", "+4.1", "-4.2"]
    assert [int(pete.get(f"{kernel}/nfsv4{name}time")) for name in ("lease", "grace")] == [LEASE_S, GRACE_S]
    assert int(pete.get("/proc/sys/fs/nfs/nlm_grace_period")) == GRACE_S
    assert pete.run(["hostname"]).stdout == "pete\n", "the scope is not the host's name"
    assert "Using nfsdcld" in pete.sh("dmesg | grep NFSD: | tail -2").stdout
    table = [line.split() for line in pete.run(["rpcinfo", "-p"], timeout_s=PATIENCE_S).stdout.splitlines()[1:]]
    ports = {(program, transport, port) for program, _, transport, port, *_ in table}
    assert {("100005", "tcp", "892"), ("100024", "tcp", "662"), ("100021", "tcp", "32803")} <= ports
    does(pete, "nfsserver", "monitor", **SERVER, OCF_CHECK_LEVEL="10")
    does(pete, "nfsserver", "reload-agent", **{**SERVER, "threads": "6"})
    assert threads(pete) == 6
    does(pete, "nfsserver", "monitor", **SERVER)


@pytest.mark.release
def test_the_deep_monitor_sees_a_server_that_cannot_be_reached(pete: Guest) -> None:
    does(pete, "nfsserver", "start", **SERVER)
    pete.sh("ip link set lo down")
    try:
        does(pete, "nfsserver", "monitor", **SERVER)
        assert "answer" in does(pete, "nfsserver", "monitor", 1, **SERVER, OCF_CHECK_LEVEL="10").stderr
    finally:
        pete.sh("ip link set lo up")


@pytest.mark.release
@pytest.mark.parametrize("name", ["rpc.mountd", "rpc.statd", "nfsdcld"])
def test_a_dead_helper_is_a_failure_and_stop_and_start_mend_it(pete: Guest, name: str) -> None:
    does(pete, "nfsserver", "start", **SERVER)
    pete.sh(f"kill -9 $(pidof {name})")
    assert f"{name} (pid " in does(pete, "nfsserver", "monitor", 1, **SERVER).stderr
    does(pete, "nfsserver", "start", **SERVER)
    does(pete, "nfsserver", "monitor", **SERVER)


@pytest.mark.release
def test_a_server_that_somebody_else_started_is_not_running_and_not_stopped(pete: Guest) -> None:
    does(pete, "nfsserver", "monitor", 7, **SERVER)
    pete.sh("pidof rpcbind >/dev/null || rpcbind -w; rpc.mountd; rpc.nfsd 2", timeout_s=PATIENCE_S)
    assert "not started by this resource" in does(pete, "nfsserver", "monitor", 1, **SERVER).stderr
    does(pete, "nfsserver", "start", **SERVER)
    assert threads(pete) == 4


@pytest.mark.release
def test_the_disk_must_be_mounted_first(pete: Guest) -> None:
    does(pete, "Filesystem", "stop", device=DEVICE, directory=POINT, fstype="xfs")
    assert "on the root filesystem" in does(pete, "nfsserver", "start", 1, **SERVER).stderr
    does(pete, "nfsserver", "monitor", 7, **SERVER)
    assert pete.run(["ls", "-A", POINT]).stdout == "", "nothing is written below the mount point"


@pytest.mark.release
@pytest.mark.parametrize("name", ["nfsserver", "killnfsd"])
def test_an_action_killed_at_any_moment_leaves_what_the_next_one_can_use(pete: Guest, name: str) -> None:
    pete.sh("pidof rpcbind >/dev/null || rpcbind -w")
    argv = ["python3", "/root/nfs_interrupted.py", f"{AGENTS}/{name}", DEVICE, POINT, "12", "20261126"]
    result = pete.run(argv, check=False, timeout_s=1800)
    print(result.stdout)
    assert result.code == 0, result.stdout + result.stderr


class Writers:
    """One writer with a locked file on each of the mounts /n3 (NFSv3), /n4 (NFSv4.1), /n6 (NFSv3 over IPv6)."""

    def __init__(self, client: Guest, *mounts: int) -> None:
        self.client = client
        self.mounts = mounts
        for number in mounts:
            argv = ["python3", "/root/nfs_writer.py", f"/n{number}/file{number}", f"/root/log{number}"]
            client.spawn(argv, log=f"/root/out{number}")
        for number in mounts:
            eventually(f"the writer on /n{number} writes", lambda number=number: self.lines(number)[2:])

    def lines(self, number: int) -> list[str]:
        return self.client.sh(f"cat /root/log{number} 2>/dev/null || true").stdout.splitlines()

    def go_on(self, seen: Guest) -> None:
        """All write again, since now; prints how long that took, the address being there."""
        counts = {number: len(self.lines(number)) for number in self.mounts}
        began = time.monotonic()
        for number, count in counts.items():
            eventually(
                f"/n{number} goes on", lambda n=number, c=count: len(self.lines(n)) > c + 3, (seen, self.client)
            )
            print(f"/n{number} goes on {time.monotonic() - began:.1f} s after the address is on {seen.name}")

    def end(self, server: Guest) -> None:
        """The writers end; what each wrote is on the server's disk, and none saw an error. The mounts go."""
        self.client.sh("kill $(pidof python3); while pidof python3; do sleep 0.2; done", timeout_s=PATIENCE_S)
        for number in self.mounts:
            content = server.get(f"{POINT}/data/file{number}")
            print(f"/n{number}: longest pause {self.judge(number, content)} ms")
            self.client.sh(f"umount /n{number}", timeout_s=PATIENCE_S)

    def judge(self, number: int, content: bytes) -> int:
        """The longest pause in ms; every acknowledged write is in ``content``, and nobody saw an error."""
        head, *lines = self.lines(number)
        assert head == "locked"
        assert not [line for line in lines if line.startswith("ERROR")]
        acknowledged = [int(line.split()[0]) for line in lines]
        assert acknowledged == list(range(len(lines)))
        written = [int(line) for line in content.split()]
        assert written[: len(acknowledged)] == acknowledged
        times = [int(line.split()[1]) for line in lines]
        return max(after - before for before, after in itertools.pairwise(times))


@pytest.mark.release
def test_a_lock_of_an_nfsv3_client_over_ipv6_survives_a_move(lab: Lab) -> None:
    """Only SM_NOTIFY makes such a client reclaim, so its lock is back when it has been told over IPv6."""
    for guest, number in ((lab.pete, "218"), (lab.mclaws, "217"), (lab.kokone, "10")):
        guest.sh(f"ip -6 addr replace {NETWORK_V6}{number}/64 dev eth2 nodad")
    take(lab.pete, ADDRESS_V6)
    lab.kokone.sh(CLIENT + MOUNT_V6, timeout_s=2 * PATIENCE_S)
    writers = Writers(lab.kokone, 6)
    assert locks(lab.pete) == 1
    release(lab.pete, ADDRESS_V6)
    take(lab.mclaws, ADDRESS_V6)
    writers.go_on(lab.mclaws)
    eventually("the lock is reclaimed on mclaws", lambda: locks(lab.mclaws) == 1, (lab.mclaws, lab.kokone))
    words = f"is told from {ADDRESS_V6} to reclaim".encode()
    eventually("the client has acknowledged", lambda: words in lab.mclaws.get("/var/log/messages"), (lab.mclaws,))
    writers.end(lab.mclaws)
    release(lab.mclaws, ADDRESS_V6)


@pytest.mark.release
def test_locks_of_nfsv3_and_nfsv4_survive_a_move_and_a_power_cut(lab: Lab) -> None:
    """The address comes last, names are not resolved, and statd has another number on the other node."""
    lab.mclaws.sh(OTHER_NUMBER, timeout_s=PATIENCE_S)
    take(lab.pete)
    lab.kokone.sh(CLIENT + MOUNT_V3 + MOUNT_V4, timeout_s=2 * PATIENCE_S)
    writers = Writers(lab.kokone, 3, 4)
    assert locks(lab.pete) == 2

    release(lab.pete)
    take(lab.mclaws)
    writers.go_on(lab.mclaws)
    eventually("both locks are reclaimed on mclaws", lambda: locks(lab.mclaws) == 2, (lab.mclaws, lab.kokone))
    owner = lab.mclaws.run(["stat", "-c", "%U", f"{POINT}/.nfs/sm"]).stdout.strip()
    assert owner == "statd"
    recorded = lab.mclaws.run(["sh", "-c", f"cat {POINT}/.nfs/sm/*"]).stdout
    assert "192.0.2.10" in recorded, "recorded for the next time"

    lab.pull_cord("mclaws")
    # Only the record still knows where the client is.
    lab.pete.sh("sed -i /kokone/d /etc/hosts")
    take(lab.pete)
    writers.go_on(lab.pete)
    eventually("both locks are reclaimed on pete", lambda: locks(lab.pete) == 2, (lab.pete, lab.kokone))
    writers.end(lab.pete)
    release(lab.pete)
    lab.pete.run(["xfs_repair", "-n", DEVICE], timeout_s=PATIENCE_S)


MOUNTED = {
    "device": f"{ADDRESS}:{POINT}/data",
    "directory": "/n5",
    "fstype": "nfs",
    "options": "vers=4.1,hard,timeo=10,retrans=2",
}
"""A server's directory as a resource: hard, so that what uses it waits for ever for a server that is silent."""


@pytest.mark.release
def test_a_mounted_server_that_falls_silent_hangs_neither_monitor_nor_stop(lab: Lab) -> None:
    """Issues #344, #423: soft mounts hang, too, and fuser hangs on a server that has nothing to do with it."""
    pete, mclaws = lab.pete, lab.mclaws
    take(pete)
    try:
        does(mclaws, "Filesystem", "monitor", 7, **MOUNTED)
        does(mclaws, "Filesystem", "start", **MOUNTED)
        does(mclaws, "Filesystem", "monitor", OCF_CHECK_LEVEL="20", **MOUNTED)
        mclaws.sh("setsid sh -c 'cd /n5 && exec 3>held && while echo x >&3; do sleep 1; done' >/dev/null 2>&1 &")
        does(pete, "IPaddr", "stop", **address_at(ADDRESS))  # as a dead server: nobody answers, nobody refuses
        does(mclaws, "Filesystem", "monitor", **MOUNTED)
        deep = agent(mclaws, "Filesystem", "monitor", OCF_CHECK_LEVEL="20", **MOUNTED)
        assert deep.code == 1 and "/n5" in deep.stderr, deep.stderr
        does(mclaws, "Filesystem", "stop", **MOUNTED)
        assert " /n5 " not in mclaws.get("/proc/mounts").decode()
        does(mclaws, "Filesystem", "monitor", 7, **MOUNTED)
        started = agent(mclaws, "Filesystem", "start", **MOUNTED)
        assert started.code == 1 and "ocf-exit-reason" in started.stderr, started.stderr
        does(mclaws, "Filesystem", "stop", **MOUNTED)
        assert " /n5 " not in mclaws.get("/proc/mounts").decode()
    finally:
        does(pete, "IPaddr", "start", **address_at(ADDRESS))
        release(pete)
