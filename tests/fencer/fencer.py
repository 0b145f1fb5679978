"""A real Pacemaker fencer for tests, in namespaces of its own, with our agents under its /usr/sbin.

    with Fencer(folder, {"fence_wti_ips800": CHECKOUT / "stonith/fence_wti_ips800"}) as fencer:
        fencer.register("benjamin", "fence_wti_ips800", ip="127.0.0.1", ipport=switch.port, password="changeme")
        assert fencer.admin("--fence", "pete").ok()

``pacemaker-fenced`` and a one-node ``corosync`` below it are Debian's. With corosync the fencer takes the way
that it takes in a cluster: query, peer, levels, history. Where corosync does not start, ``no_cluster`` says
why and the fencer runs alone (``--stand-alone``), which has no levels and no history.

No systemd, no CIB, nothing outside is touched: every process hangs on the first one of a pid namespace,
and that one on a pipe to this process. However the test ends, the kernel clears up.
"""

from __future__ import annotations

import os
import pwd
import select
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Self

from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CLEAN_ENV, CommandResult, CommandTimeout, run

ENTER = Path(__file__).parent / "enter.sh"
FENCED = "/usr/lib/pacemaker/pacemaker-fenced"
# Nobody waits that long unless something is broken; a machine under load gets all the room it needs.
START_MS = 60_000
CALL_MS = 120_000
STOP_MS = 20_000

# One node, no network: udpu needs neither multicast nor a second address (corosync.conf(5)).
COROSYNC_CONF = """\
totem {{
  version: 2
  cluster_name: proof
  transport: udpu
}}
nodelist {{
  node {{
    ring0_addr: 127.0.0.1
    name: watcher
    nodeid: 1
  }}
}}
quorum {{
  provider: corosync_votequorum
  expected_votes: 1
}}
logging {{
  to_stderr: no
  to_syslog: no
  to_logfile: yes
  logfile: {folder}/corosync.log
}}
"""


class FencerFailed(Exception):
    """The fencer did not start or died; ``str()`` carries the end of its logs."""


def missing() -> str:
    """Why a fencer cannot run on this machine at all, or an empty string."""
    if os.geteuid() != 0:
        return "needs root for namespaces and mounts"
    programs = [FENCED, "/usr/sbin/stonith_admin", "/usr/sbin/corosync"]
    gone = [path for path in programs if not Path(path).exists()]
    gone += [name for name in ("unshare", "nsenter", "setpriv", "ip") if shutil.which(name) is None]
    if gone:
        return f"needs {', '.join(gone)} (packages pacemaker, pacemaker-cli-utils, corosync, util-linux, iproute2)"
    try:
        pwd.getpwnam("hacluster")
    except KeyError:
        return "needs the user hacluster (package pacemaker-common)"
    probe = ["unshare", "--net", "--mount", "--ipc", "--uts", "--pid", "--fork", "--mount-proc", "/bin/true"]
    result = run(probe, Deadline(START_MS))
    return "" if result.ok() else f"namespaces are not allowed here: {result.last_line()}"


class Fencer:
    """One fencer. ``agents``: name under /usr/sbin, program. ``folder`` takes logs and sockets; keep it short."""

    def __init__(self, folder: Path, agents: Mapping[str, Path | str], *, start_ms: int = START_MS) -> None:
        self.folder = folder
        self._start_ms = start_ms
        self.no_cluster = ""
        self._agents = agents
        self._enter: subprocess.Popen[bytes] | None = None
        self._fenced: subprocess.Popen[bytes] | None = None
        self._init_pid = 0
        self._syslog = _Syslog(folder / "log.sock")

    # --- life --------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Namespaces, corosync, fencer; returns when the fencer answers. Raises FencerFailed."""
        deadline = Deadline(self._start_ms)
        self._syslog.start()
        self._make_namespaces(deadline)
        self.no_cluster = self._start_corosync(deadline)
        mode = "--stand-alone" if self.no_cluster else "--stand-alone-w-cpg"
        env = {"PCMK_logfile": str(self.folder / "fenced.log"), "PCMK_logfacility": "none"}
        with (self.folder / "fenced.err").open("ab") as err:
            self._fenced = subprocess.Popen(
                [*self.prefix(), FENCED, mode],
                stdin=subprocess.DEVNULL, stdout=err, stderr=err, env={**CLEAN_ENV, **env}, cwd="/",
            )  # fmt: skip
        while not self._answers(deadline):
            if self._fenced.poll() is not None or deadline.expired():
                raise FencerFailed(f"pacemaker-fenced does not answer\n{self.logs()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End all of it and wait until it is gone; may be called twice, and after a failed start."""
        enter, self._enter = self._enter, None
        if enter is not None:
            assert enter.stdin is not None
            assert enter.stdout is not None
            enter.stdin.close()
            try:
                enter.wait(STOP_MS / 1000)
            except subprocess.TimeoutExpired:
                enter.kill()  # and with it the namespaces' first process: unshare --kill-child
                enter.wait()
            enter.stdout.close()
        fenced, self._fenced = self._fenced, None
        if fenced is not None:
            fenced.wait(STOP_MS / 1000)
        self._syslog.stop()

    # --- what a test does --------------------------------------------------------------------------

    def prefix(self, *, network_only: bool = False) -> list[str]:
        """What to put before a command line to run it inside.

        ``network_only`` is for a process that the test must be able to signal (an emulator); it is killed when
        the test's process dies.
        """
        if network_only:
            return ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net=/proc/{self._init_pid}/ns/net", "--"]
        names = ["--net", "--mount", "--ipc", "--uts", "--pid"]
        return ["nsenter", "--target", str(self._init_pid), *names, "--"]

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        deadline: Deadline | None = None,
    ) -> CommandResult:
        """Run a command inside. Raises CommandTimeout when it outlasts even the generous CALL_MS."""
        return run([*self.prefix(), *argv], deadline or Deadline(CALL_MS), env=env, stdin=stdin)

    def admin(self, *arguments: str, quick: Deadline | None = None, **secrets: str) -> CommandResult:
        """``stonith_admin``; ``secrets`` are device parameters that must not stand in its argv."""
        options = [word for name in secrets for word in ("--env-option", name)]
        env = {f"OCF_RESKEY_{name}": value for name, value in secrets.items()}
        return self.run(["/usr/sbin/stonith_admin", *arguments, *options], env=env, deadline=quick)

    def register(self, device: str, agent: str, *, password: str = "", **options: object) -> None:
        """Register ``device``; an ``options`` name may be any of the agent's or one of pcmk_*."""
        words = [word for name, value in options.items() for word in ("--option", f"{name}={value}")]
        secrets = {"password": password} if password else {}
        result = self.admin("--register", device, "--agent", agent, *words, **secrets)
        assert result.ok(), f"{result.describe()}\n{self.logs()}"

    def devices(self) -> list[str]:
        """The names of the registered devices."""
        lines = self.admin("--list-registered").stdout.splitlines()
        return [line.strip() for line in lines if line.strip() and "found" not in line]

    def forget(self) -> None:
        """Deregister every device."""
        for device in self.devices():
            self.admin("--deregister", device)

    def log(self, since: int = 0) -> str:
        """What the fencer logged, from offset ``since`` (see mark) on."""
        return (self.folder / "fenced.log").read_text(errors="replace")[since:]

    def mark(self) -> int:
        """Where the log is now."""
        return len(self.log())

    def syslog(self) -> str:
        """Everything that was sent to syslog inside, by whom ever."""
        return self._syslog.text()

    def deaf_syslog(self) -> AbstractContextManager[None]:
        """While this lasts nobody reads /dev/log and its queue is full, as with a logging daemon in trouble."""
        return self._syslog.deaf()

    def logs(self) -> str:
        """The ends of all logs, for a person who looks at a failed test."""
        parts = []
        for name in ("fenced.log", "fenced.err", "corosync.log", "enter.err"):
            path = self.folder / name
            text = path.read_text(errors="replace") if path.exists() else ""
            parts.append(f"--- {name}\n" + "\n".join(text.splitlines()[-60:]))
        return "\n".join([*parts, "--- syslog", self.syslog()])

    # --- inside ------------------------------------------------------------------------------------

    def _answers(self, deadline: Deadline) -> bool:
        try:
            return self.admin("--list-registered", quick=deadline).ok()
        except CommandTimeout:
            return False

    def _make_namespaces(self, deadline: Deadline) -> None:
        argv = ["unshare", "--net", "--mount", "--ipc", "--uts", "--pid", "--fork", "--kill-child=KILL"]
        argv += ["--mount-proc", "--propagation", "private", "/bin/sh", str(ENTER), str(self.folder)]
        argv += [f"{name}={program}" for name, program in self._agents.items()]
        with (self.folder / "enter.err").open("wb") as err:
            self._enter = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, env=CLEAN_ENV, cwd="/"
            )
        assert self._enter.stdout is not None
        ready, _, _ = select.select([self._enter.stdout], [], [], deadline.left_s())
        if not ready or self._enter.stdout.readline() != b"ready\n":
            raise FencerFailed(f"the namespaces could not be furnished\n{self.logs()}")
        pid = self._enter.pid
        self._init_pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def _start_corosync(self, deadline: Deadline) -> str:
        """Start it and wait until it is a cluster of one. Returns why there is none, or an empty string."""
        conf = self.folder / "corosync.conf"
        conf.write_text(COROSYNC_CONF.format(folder=self.folder))
        result = self.run(["/usr/sbin/corosync", "-c", str(conf)], deadline=deadline)
        if not result.ok():
            return f"corosync does not start: {result.last_line()}"
        waiting = deadline.at_most(START_MS // 2)
        while not self.run(["/usr/sbin/corosync-quorumtool", "-s"], deadline=deadline).ok():
            if waiting.expired():
                return "corosync started and does not form a cluster of one"
            time.sleep(0.05)
        return ""


class _Syslog:
    """Stands behind /dev/log of the fencer's world and keeps what it hears.

    A thread, because a unix datagram socket that nobody reads makes syslog(3) of the others wait.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[str] = []
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._path))
        self._listen_in_thread()

    def stop(self) -> None:
        sock, self._socket = self._socket, None
        if sock is None:
            return
        self._stop_listening()
        sock.close()
        self._path.unlink()

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Stop reading, with the queue full to the brim."""
        assert self._socket is not None
        self._stop_listening()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as others:
            others.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    others.sendto(b"somebody else's line", str(self._path))
            try:
                yield
            finally:
                self._listen_in_thread()

    def text(self) -> str:
        return "\n".join(self._lines)

    def _listen_in_thread(self) -> None:
        self._thread = threading.Thread(target=self._listen, args=(self._socket,), daemon=True)
        self._thread.start()

    def _stop_listening(self) -> None:
        assert self._thread is not None
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", str(self._path))
        self._thread.join(STOP_MS / 1000)

    def _listen(self, sock: socket.socket) -> None:
        while data := sock.recv(65536):
            self._lines.append(data.decode("utf-8", "replace"))
