"""A third machine watches two real daemons: real sshd, ssh and keys between them, the real Mon, the real rpcbind.

The watcher has a network namespace of its own with a cable to each node. The heartbeats go on all the time: what
breaks is the service, which the nodes' own monitors do not see.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pair import PATIENCE_S, REPOSITORY, Node, Pair, wait_until

from failover_kit.rehearsal.namespaces import NetworkNamespace
from failover_kit.spec.deadline import Deadline
from failover_kit.watch import rpc

pytestmark = pytest.mark.root

PORT = 7000
SSH_PORT = 2222
HOLD_OFF_S = 1
SERVICE = "10.78.1.1"  # of the first node, as the watcher sees it
GATEWAY = "10.78.9.9"  # nobody: the witness that does not answer

# In a mount namespace of its own: the directory that sshd insists on is not left behind.
SSHD = 'mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec /usr/sbin/sshd -D -e -f "$1"'

LISTENER = "import socket, sys, time; held = socket.create_server(('', int(sys.argv[1]))); time.sleep(3600)"


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            pytest.skip(f"{program} is not installed")


class Site:
    """A pair, the watcher's machine, and what runs besides the daemons."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.folder = pair.folder / "watch"
        self.folder.mkdir()
        self.namespace = f"fkwatch-{os.getpid()}"
        self.children: list[subprocess.Popen[bytes]] = []
        self._ip("netns", "add", self.namespace)
        self._ip("-n", self.namespace, "link", "set", "lo", "up")
        for number, node in enumerate(pair.nodes, 1):
            card = f"to{number}"
            self._ip(
                "link", "add", card, "netns", self.namespace, "type", "veth",
                "peer", "name", "eth0", "netns", node.namespace,
            )
            self._ip("-n", self.namespace, "address", "add", f"10.78.{number}.9/24", "dev", card)
            self._ip("-n", node.namespace, "address", "add", f"10.78.{number}.1/24", "dev", "eth0")
            self._ip("-n", self.namespace, "link", "set", card, "up")
            self._ip("-n", node.namespace, "link", "set", "eth0", "up")

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    def start(self, namespace: str, *argv: str, **environment: str) -> subprocess.Popen[bytes]:
        """Something that runs until the end of the test; what it says is in the folder's ``log``."""
        with (self.folder / "log").open("ab") as log:
            child = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{namespace}", *argv],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment},
            )
        self.children.append(child)
        return child

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def serve(self, node: Node) -> subprocess.Popen[bytes]:
        """The service, as far as a client that only connects can tell."""
        child = self.start(node.namespace, sys.executable, "-I", "-c", LISTENER, str(PORT))
        wait_until("the service listens", lambda: self.look(f"tcp:{SERVICE}:{PORT}") == 0)
        return child

    def look(self, probe: str) -> int:
        return self.watch("--once", "--failures", "1", "--dry-run", "--probe", probe).returncode

    def open_gates(self) -> None:
        """A key for the watcher that can do one thing, and an sshd on each node."""
        for name in ("watcher", "host"):
            path = str(self.folder / name)
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path], check=True)
        host = " ".join((self.folder / "host.pub").read_text().split()[:2])
        known = self.folder / "known_hosts"
        known.write_text("")
        self.key = (self.folder / "watcher.pub").read_text().strip()
        stanzas = [f"IdentityFile {self.folder}/watcher", "User root", f"Port {SSH_PORT}", "IdentitiesOnly yes"]
        stanzas.append(f"UserKnownHostsFile {known}")
        for number, node in enumerate(self.pair.nodes, 1):
            with known.open("a") as file:
                file.write(f"[10.78.{number}.1]:{SSH_PORT} {host}\n")
            stanzas += [f"Host {node.name}", f"HostName 10.78.{number}.1"]
            self.allow(node)
            self._sshd(node)
        (self.folder / "ssh_config").write_text("\n".join(stanzas) + "\n")
        for node in self.pair.nodes:
            wait_until(f"sshd of {node.name}", lambda n=node: "seen" in self.ssh(n, f"status {self.group}").stdout)

    @property
    def group(self) -> str:
        return str(self.pair.nodes[0].view()["groups"][0]["name"])

    def allow(self, node: Node, hold_off_s: int = HOLD_OFF_S) -> None:
        """The watcher's line in authorized_keys."""
        control = node.home / "run" / "control.sock"
        gate = f"{REPOSITORY}/bin/failoverctl --socket {control} watch-gate --name kokone --hold-off {hold_off_s}"
        keys = self.folder / f"{node.name}.keys"
        keys.write_text(f'restrict,command="{gate} {self.group}" {self.key}\n')

    def _sshd(self, node: Node) -> None:
        config = self.folder / f"{node.name}.sshd"
        config.write_text(
            f"Port {SSH_PORT}\nHostKey {self.folder}/host\n"
            f"AuthorizedKeysFile {self.folder}/{node.name}.keys\n"
            "StrictModes no\nUsePAM no\nPidFile none\n"
            "PermitRootLogin forced-commands-only\nPasswordAuthentication no\n"
        )
        self.start(node.namespace, "unshare", "-m", "sh", "-c", SSHD, "sh", str(config))

    def ssh(self, node: Node, words: str) -> subprocess.CompletedProcess[str]:
        argv = ["ssh", "-F", str(self.folder / "ssh_config"), "-o", "BatchMode=yes", node.name, words]
        return self.run(argv)

    def run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        entry = ["nsenter", f"--net=/run/netns/{self.namespace}"]
        return subprocess.run(
            [*entry, *argv], capture_output=True, text=True, check=False, timeout=PATIENCE_S * 3
        )

    def arguments(self) -> list[str]:
        nodes = [word for node in self.pair.nodes for word in ("--node", node.name)]
        files = ["--ssh-config", str(self.folder / "ssh_config"), "--lock", str(self.folder / "lock")]
        return [self.group, *nodes, *files]

    def watch(self, *extra: str) -> subprocess.CompletedProcess[str]:
        argv = [str(REPOSITORY / "bin" / "failoverctl"), "watch", *self.arguments(), "--interval", "0.1", *extra]
        return self.run(argv)

    def rest(self) -> None:
        """The hold-off counts from the start of failoverd and from every move."""
        time.sleep(HOLD_OFF_S)

    def close(self) -> None:
        for child in self.children:
            child.terminate()
        for child in self.children:
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        subprocess.run(["ip", "netns", "delete", self.namespace], check=False, capture_output=True)


@pytest.fixture
def site(pair: Pair) -> Iterator[Site]:
    need("ssh", "sshd", "ssh-keygen")
    made = Site(pair)
    yield made
    if (made.folder / "log").exists():
        print(made.log())
    made.close()


def test_a_service_that_broke_is_moved_while_heartbeats_go_on(site: Site) -> None:
    first, second = site.pair.start()
    site.open_gates()
    service = site.serve(first)
    probe = ("--probe", f"tcp:{SERVICE}:{PORT}")
    assert site.watch("--once", *probe).stdout == ""
    site.rest()
    service.kill()
    service.wait()

    # The witness does not answer either: the fault may be the watcher's own.
    ours = site.watch("--once", *probe, "--timeout", "1", "--failures", "2", "--witness", f"tcp:{GATEWAY}:1")
    assert ours.returncode == 3, ours.stdout + ours.stderr
    assert "the fault is probably between here and there" in ours.stdout
    assert first.group() == "started"

    for _ in range(20):
        moved = site.watch("--once", *probe, "--failures", "3", "--witness", "ping:127.0.0.1")
        if "was paused" not in moved.stdout:  # a busy machine held that node up: it is asked again
            break
    assert moved.returncode == 0, moved.stdout + moved.stderr
    assert f"asks {second.name} to take it over from {first.name}" in moved.stdout
    assert (first.group(), second.group()) == ("stopped", "started")
    assert "asked for by kokone (10.78.2.9): admitted" in second.log()

    # Broken there, too: asked again within the hold-off, it is refused.
    site.allow(first, 3600)
    again = site.watch("--once", *probe, "--failures", "1")
    assert again.returncode == 3, again.stdout + again.stderr
    assert "held off for another" in again.stdout
    assert "held off" in first.log()
    assert second.group() == "started"
    assert site.pair.switch_log() == []
    site.pair.prove_one_holder()


def test_the_key_opens_nothing_else(site: Site) -> None:
    first, second = site.pair.start()
    site.open_gates()
    site.rest()
    for words in ("", "id", "failoverctl standby", f"takeover {site.group}", f"takeover {site.group} 1; id"):
        said = site.ssh(second, words)
        assert said.returncode == 2, said.stdout + said.stderr
        assert "not understood" in said.stdout and "uid=" not in said.stdout
    # A request is for one epoch: what was recorded yesterday, or invented, does nothing.
    epoch = first.view()["groups"][0]["right"]
    for other in (epoch + 1, 10**17):
        said = site.ssh(second, f"takeover {site.group} {other}")
        assert said.returncode == 3 and f"asked about epoch {other}" in said.stdout
    said = site.ssh(first, f"takeover {site.group} {epoch}")
    assert said.returncode == 3 and f"{first.name} has group" in said.stdout
    assert first.group() == "started"
    site.pair.prove_one_holder()


def test_a_node_that_is_gone_is_no_matter_for_the_watcher(site: Site) -> None:
    first, second = site.pair.start()
    site.open_gates()
    site.rest()
    second.leave()
    wait_until("the first node knows", lambda: first.peer() != "up")
    said = site.watch("--once", "--probe", f"tcp:{SERVICE}:{PORT}", "--failures", "1")
    assert said.returncode == 5, said.stdout + said.stderr
    assert "failoverd does not run on this node" in said.stdout
    assert first.group() == "started"


# alertevery is short: a node that a busy machine held up declines what it is asked, and must be asked again.
MON_CF = """\
alertdir = {folder}/alert.d
mondir = {folder}/mon.d
logdir = {folder}
statedir = {folder}
cfbasedir = {folder}
pidfile = {folder}/mon.pid
serverbind = 127.0.0.1
trapbind = 127.0.0.1
maxprocs = 4

hostgroup pair {service}

watch pair
    service web
        interval 1s
        monitor tcp.monitor -p {port}
        period
            alert failover.alert {arguments} --witness ping:127.0.0.1
            upalert failover.alert {arguments}
            alertafter 2
            alertevery 5s
"""

# Its own /dev, so that syslog(3) of all that runs in it ends in the test, and none of the machine's is needed.
MON = """
for name in null zero urandom random tty; do touch "$1/$name"; mount --bind /dev/$name "$1/$name"; done
mount --bind "$1" /dev && exec /usr/sbin/mon -c "$2" -d
"""


class Syslog:
    """A /dev/log."""

    def __init__(self, path: Path) -> None:
        self.lines: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                data = self._socket.recv(8192)
            except OSError:
                return
            self.lines.append(data.decode("utf-8", "replace"))

    def said(self, words: str) -> bool:
        return any(words in line for line in self.lines)

    def close(self) -> None:
        self._socket.close()


def test_the_real_mon_asks_for_it(site: Site) -> None:
    need("mon")
    first, second = site.pair.start()
    site.open_gates()
    site.serve(first).kill()
    site.rest()
    dev = site.folder / "dev"
    for name in ("dev", "alert.d", "mon.d"):
        (site.folder / name).mkdir()
    shutil.copy(REPOSITORY / "etc" / "mon" / "failover.alert", site.folder / "alert.d")
    shutil.copy("/usr/lib/mon/mon.d/tcp.monitor", site.folder / "mon.d")
    arguments = " ".join(site.arguments())
    config = site.folder / "mon.cf"
    config.write_text(MON_CF.format(folder=site.folder, service=SERVICE, port=PORT, arguments=arguments))
    config.chmod(0o644)
    (site.folder / "auth.cf").write_text("")  # nobody may order Mon about
    site.allow(first, 3600)  # nothing serves on the other node either: Mon goes on asking, and nothing moves back
    syslog = Syslog(dev / "log")
    try:
        control = str(REPOSITORY / "bin" / "failoverctl")
        argv = ("unshare", "-m", "sh", "-c", MON, "sh", str(dev), str(config))
        site.start(site.namespace, *argv, FAILOVERCTL=control)
        wait_until("Mon's alert moved the group", lambda: second.group() == "started")
        wait_until("its outcome is in syslog", lambda: syslog.said(f"done, says {second.name}"))
    finally:
        print("\n".join(syslog.lines))
        syslog.close()
    assert syslog.said("calling alert failover.alert")
    assert first.group() == "stopped"
    assert "asked for by kokone (10.78.2.9): admitted" in second.log()
    assert site.pair.switch_log() == []
    site.pair.prove_one_holder()


# --- an independent peer for the null call --------------------------------------------------------------

# Without -h: with one, rpcbind 1.2.6 ends by a double free.
RPCBIND = "mount -t tmpfs none /run && exec rpcbind -f"


def test_the_system_s_rpcbind_answers_the_null_call() -> None:
    need("rpcbind")
    namespace = NetworkNamespace()
    server: subprocess.Popen[bytes] | None = None
    try:
        namespace.ip("link set lo up")
        server = subprocess.Popen(
            [*namespace.prefix(), "unshare", "-m", "sh", "-c", RPCBIND], stdin=subprocess.DEVNULL
        )
        where = ("127.0.0.1", 111)

        def answers() -> bool:
            try:
                namespace.inside(lambda: rpc.null_tcp(where, socket.AF_INET, 100000, 2, Deadline(1_000)))
            except OSError:
                return False
            return True

        wait_until("rpcbind answers over TCP", answers)
        for null in (rpc.null_tcp, rpc.null_udp):
            def ask(program: int, version: int, null=null) -> None:  # type: ignore[no-untyped-def]
                namespace.inside(lambda: null(where, socket.AF_INET, program, version, Deadline(20_000)))

            ask(100000, 2)
            with pytest.raises(rpc.VersionMismatch):
                ask(100000, 77)
            with pytest.raises(rpc.RpcError, match="does not serve this program"):
                ask(rpc.NFS_PROGRAM, 4)
    finally:
        if server is not None:
            server.kill()
            server.wait()
        namespace.close()
