"""What the tests of the fence agent share: the agent as a process, the emulator, a certificate, an sshd."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
AGENT = os.path.join(ROOT, "stonith", "fence_wti_ips800")
BRIDGE = os.path.join(ROOT, "tests", "fence", "bridge.py")
PASSWORD = "s3cret-Pa55"
# Long enough for a machine under load; a test that works never waits for it.
PATIENCE_S = 60
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PCMK_service": "pacemaker-fenced"}


@dataclass
class Answer:
    """What the agent left."""

    code: int
    out: str
    err: str


def agent(
    *lines: str, argv: tuple[str, ...] = (), program: str = AGENT, env: Mapping[str, str] | None = None
) -> Answer:
    """Run the agent as the fencer does."""
    done = subprocess.run(
        [program, *argv],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**ENVIRONMENT, **(env or {})},
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def switch(folder: object, *, password: str | None = PASSWORD, **options: Any) -> EmulatorProcess:
    """An emulator with pete on plug 1 and mclaws on plugs 5 and 6, to be used in a ``with``."""
    outlets = {1: OutletConfig("pete"), 5: OutletConfig("mclaws"), 6: OutletConfig("mclaws")}
    return EmulatorProcess(str(folder), outlets=outlets, password=password, **options)


def commands(emulator: EmulatorProcess) -> list[str]:
    return [str(event["text"]) for event in emulator.events("command")]


def settled(emulator: EmulatorProcess) -> list[str]:
    """All commands, once the device has noticed that the last session is over."""
    end = time.monotonic() + PATIENCE_S
    while len(emulator.events("connect")) != len(emulator.events("disconnect")):
        assert time.monotonic() < end, f"a session is still open: {emulator.events()[-5:]}"
        time.sleep(0.02)
    return commands(emulator)


def held_port() -> tuple[socket.socket, int]:
    """A port that nobody else is given while the socket is open; a server with SO_REUSEADDR may listen there."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held, int(held.getsockname()[1])


def certificate(folder: object, *, name: str = "IP:127.0.0.1") -> str:
    """A self-signed certificate with its key in one PEM file, made by the openssl command."""
    path = os.path.join(str(folder), "certificate.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=switch",
         "-addext", f"subjectAltName={name}", "-keyout", path + ".key", "-out", path],
        check=True, capture_output=True, timeout=PATIENCE_S,
    )  # fmt: skip
    with open(path, "a", encoding="ascii") as whole, open(path + ".key", encoding="ascii") as key:
        whole.write(key.read())
    return path


class Sshd:
    """OpenSSH's server on a port of the loopback; whoever logs in gets the device behind the bridge.

    It lives in a mount namespace of its own with a user ``wti`` that exists nowhere else.
    """

    PASSWORD = "ssh-Pa55-w0rd"

    def __init__(self, folder: str, device_port: int) -> None:
        self._held, self.port = held_port()
        self.folder = folder
        self.known_hosts = os.path.join(folder, "known_hosts")
        self.identity = os.path.join(folder, "id")
        self.log = os.path.join(folder, "sshd.log")
        self._child: subprocess.Popen[bytes] | None = None
        self._prepare(device_port)

    def _prepare(self, device_port: int) -> None:
        for name in ("hostkey", "id"):
            path = os.path.join(self.folder, name)
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        shutil.copy(self.identity + ".pub", os.path.join(self.folder, "authorized_keys"))
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"], input=self.PASSWORD, capture_output=True, text=True, check=True
        ).stdout.strip()
        for name, line in (("passwd", "wti:x:0:0::/:/bin/sh"), ("shadow", f"wti:{hashed}:19000:0:99999:7:::")):
            with open(f"/etc/{name}", encoding="utf-8") as file:
                text = file.read()
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
                file.write(f"{text}{line}\n")
        with open(os.path.join(self.folder, "sshd_config"), "w", encoding="ascii") as file:
            file.write(
                f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/hostkey\nPidFile none\n"
                f"AuthorizedKeysFile {self.folder}/authorized_keys\nStrictModes no\n"
                "UsePAM no\nPermitRootLogin yes\n"
                "KbdInteractiveAuthentication no\nLogLevel VERBOSE\nBanner none\n"
                f"ForceCommand /usr/bin/python3 {BRIDGE} {device_port}\n"
            )
        with open(os.path.join(self.folder, "hostkey.pub"), encoding="ascii") as file:
            self.trust(file.read())

    def trust(self, key: str) -> None:
        """Make the client believe that ``key`` is the server's."""
        with open(self.known_hosts, "w", encoding="ascii") as file:
            file.write(f"[127.0.0.1]:{self.port} {key}\n")

    def __enter__(self) -> Sshd:
        script = (
            'mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/shadow" /etc/shadow && '
            'mount -t tmpfs none /run && mkdir /run/sshd && exec /usr/sbin/sshd -D -e -f "$1/sshd_config"'
        )
        with open(self.log, "wb") as log:
            self._child = subprocess.Popen(
                ["unshare", "-m", "sh", "-c", script, "sh", self.folder], stderr=log, start_new_session=True
            )
        end = time.monotonic() + PATIENCE_S
        while "Server listening" not in self.said():
            assert time.monotonic() < end and self._child.poll() is None, self.said()
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._child is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGTERM)
        self._child.wait(PATIENCE_S)
        self._held.close()

    def said(self) -> str:
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def options(self, *more: str) -> tuple[str, ...]:
        """The agent's options for this server."""
        return (
            "ip=127.0.0.1", "ssh=1", f"ipport={self.port}", "username=wti",
            f"ssh_options=-o UserKnownHostsFile={self.known_hosts}", *more,
        )  # fmt: skip


@contextlib.contextmanager
def later(seconds: float, what: Any, *args: Any) -> Iterator[None]:
    """Do ``what`` after a while, in a thread that is joined at the end."""
    import threading

    timer = threading.Timer(seconds, what, args)
    timer.start()
    try:
        yield
    finally:
        timer.join()
