"""One look at the service as a client has it: ``nfs:``, ``tcp:``, ``http:``, ``https:``, ``file:``, ``ping:``.

Names are resolved once, when the probe is made: a resolver that is down is not a service that is down. Every probe
ends by its deadline and proves one thing only, which its text says.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CLEAN_ENV, CommandMissing, CommandTimeout, run
from failover_kit.watch import rpc, tls

if TYPE_CHECKING:
    import ssl

KINDS = "nfs:HOST[:PORT][/udp], tcp:HOST:PORT, http[s]://HOST[:PORT]/PATH, file:/PATH, ping:HOST"

_STATUS_LINE_LIMIT_BYTES = 512
_PORTS = {"http": 80, "https": 443}
_NFS_VERSIONS = {"tcp": 4, "udp": 3}
"""NFSv4 has no UDP (RFC 7530 §3.1). A server without that version still answers, with a range: see ``_nfs``."""


class ProbeError(ValueError):
    """A probe that cannot be made; ``str()`` says what to write instead."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What is looked at. ``where`` is the address for the kinds that have one."""

    text: str  # as it was given
    kind: str
    family: int = 0
    where: tuple[str, int] = ("", 0)
    path: str = ""
    host: str = ""
    version: int = 0
    tls_name: str = ""
    tls_context: ssl.SSLContext | None = field(default=None, compare=False, repr=False)

    def failure(self, timeout_ms: int) -> str:
        """"" when it answers within ``timeout_ms``, else what happened instead."""
        deadline = Deadline(timeout_ms)
        try:
            return _LOOKS[self.kind](self, deadline)
        except TimeoutError:
            return f"no answer within {timeout_ms / 1000:g} s"
        except (rpc.RpcError, tls.TlsError) as error:
            return str(error)
        except OSError as error:
            return error.strerror or str(error)


def parse(text: str, secured: tls.Settings | None = None) -> Probe:
    """``text`` as one of KINDS; ``secured`` is for https. ProbeError when it is none, or a name has no address."""
    kind, colon, rest = text.partition(":")
    if not colon or not rest or not text.isprintable():
        raise ProbeError(f"{text!r} is no probe; give one of: {KINDS}")
    if kind in _PORTS:
        return _parse_http(text, secured or tls.Settings())
    if kind == "file":
        if not rest.startswith("/"):
            raise ProbeError(f"{text}: give the whole path, file:/PATH")
        return Probe(text, kind, path=rest)
    if kind == "ping":
        if shutil.which("ping", path=CLEAN_ENV["PATH"]) is None:  # else every takeover would be refused one night
            raise ProbeError(f"{text}: ping(8) is not installed; apt install iputils-ping")
        family, where = _resolve(text, rest, 0, socket.SOCK_DGRAM)
        return Probe(text, kind, family, where)
    if kind == "nfs":
        rest, _, protocol = rest.partition("/")
        if protocol not in ("", "tcp", "udp"):
            raise ProbeError(f"{text}: NFS goes over /tcp or /udp")
        protocol = protocol or "tcp"
        host, port = _host_port(text, rest, rpc.NFS_PORT)
        family, where = _resolve(text, host, port, socket.SOCK_STREAM)
        return Probe(text, f"nfs-{protocol}", family, where, version=_NFS_VERSIONS[protocol])
    if kind == "tcp":
        host, port = _host_port(text, rest, 0)
        family, where = _resolve(text, host, port, socket.SOCK_STREAM)
        return Probe(text, kind, family, where)
    raise ProbeError(f"{text!r} is no probe; give one of: {KINDS}")


def _parse_http(text: str, secured: tls.Settings) -> Probe:
    kind = text.partition(":")[0]
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port or _PORTS[kind]
    except ValueError as error:
        raise ProbeError(f"{text}: {error}; give {kind}://HOST[:PORT]/PATH") from None
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    if not host or url.username or not text.isascii() or " " in text:
        raise ProbeError(f"{text}: give {kind}://HOST[:PORT]/PATH")
    family, where = _resolve(text, host, port, socket.SOCK_STREAM)
    if kind == "http":
        return Probe(text, kind, family, where, path=path, host=url.netloc)
    try:
        made = tls.context(secured)
    except tls.SettingsError as error:
        raise ProbeError(f"{text}: {error}") from None
    name = secured.name or host
    return Probe(text, kind, family, where, path=path, host=url.netloc, tls_name=name, tls_context=made)


def _host_port(text: str, rest: str, default: int) -> tuple[str, int]:
    """HOST:PORT, [HOST]:PORT for an IPv6 address."""
    if rest.startswith("["):
        host, bracket, port = rest[1:].partition("]")
        port = port.removeprefix(":") if bracket else "?"
    else:
        host, _, port = rest.partition(":")
    number = int(port) if port.isascii() and port.isdigit() else 0 if port else default
    if not host or not 0 < number < 65536:
        raise ProbeError(f"{text}: give HOST:PORT with a port from 1 to 65535, an IPv6 address in [ ]")
    return host, number


def _resolve(text: str, host: str, port: int, kind: socket.SocketKind) -> tuple[int, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=kind)
    except (OSError, UnicodeError) as error:
        raise ProbeError(f"{text}: {host} has no address ({error}); give the address itself") from None
    family, _, _, _, sockaddr = found[0]
    return family, (str(sockaddr[0]), int(sockaddr[1]))


# --- looks ----------------------------------------------------------------------------------------------


def _nfs(probe: Probe, deadline: Deadline) -> str:
    """Another version than ours is an answer, too: PROG_MISMATCH comes from a program that is served."""
    null = rpc.null_tcp if probe.kind == "nfs-tcp" else rpc.null_udp
    try:
        null(probe.where, probe.family, rpc.NFS_PROGRAM, probe.version, deadline)
    except rpc.VersionMismatch:
        pass
    return ""


def _tcp(probe: Probe, deadline: Deadline) -> str:
    with socket.socket(probe.family, socket.SOCK_STREAM) as connection:
        connection.settimeout(deadline.left_s() or 0.001)
        connection.connect(probe.where)
    return ""


def _http(probe: Probe, deadline: Deadline) -> str:
    """200 to 399 is an answer; what stands behind a redirection is not looked at."""
    lines = (f"GET {probe.path} HTTP/1.0", f"Host: {probe.host}", "User-Agent: failoverctl", "Connection: close")
    request = "".join(f"{line}\r\n" for line in (*lines, ""))
    line = b""
    with contextlib.ExitStack() as held:
        connection = held.enter_context(socket.socket(probe.family, socket.SOCK_STREAM))
        connection.settimeout(deadline.left_s() or 0.001)
        connection.connect(probe.where)
        if probe.tls_context is not None:
            wrapped = tls.handshake(connection, probe.tls_context, probe.tls_name, deadline)
            connection = held.enter_context(wrapped)
            connection.settimeout(deadline.left_s() or 0.001)
        connection.sendall(request.encode("ascii"))
        while b"\n" not in line and len(line) < _STATUS_LINE_LIMIT_BYTES:
            if deadline.expired():
                raise TimeoutError
            connection.settimeout(deadline.left_s() or 0.001)
            more = connection.recv(_STATUS_LINE_LIMIT_BYTES - len(line))
            if not more:
                break
            line += more
    words = line.split(b"\n")[0].split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or len(words[1]) != 3 or not words[1].isdigit():
        return "an answer that is not HTTP"
    status = int(words[1])
    return "" if 200 <= status < 400 else f"HTTP status {status}"


_left_behind: list[subprocess.Popen[bytes]] = []
"""Reads that did not end when they were killed: nfs(5), a hard mount. They are not piled up."""


def _file(probe: Probe, deadline: Deadline) -> str:
    """One byte, read by a child: a read of a hung NFS mount cannot be ended, but it can be left behind."""
    _left_behind[:] = [child for child in _left_behind if child.poll() is None]
    if _left_behind:
        return "an earlier read of it still hangs"
    pipe = subprocess.PIPE
    argv = ["head", "-c", "1", "--", probe.path]
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=CLEAN_ENV, cwd="/")
    try:
        out, err = child.communicate(timeout=deadline.left_s())
    except subprocess.TimeoutExpired:
        child.kill()
        _left_behind.append(child)
        raise TimeoutError from None
    if child.returncode:
        return err.decode("utf-8", "replace").strip() or f"head exited {child.returncode}"
    return "" if out else "the file is empty"


def _ping(probe: Probe, deadline: Deadline) -> str:
    """By ping(8), which has the right to send ICMP; this process needs none."""
    try:
        wait_s = str(deadline.total_ms // 1000 + 1)
        result = run(["ping", "-n", "-q", "-c", "1", "-W", wait_s, probe.where[0]], deadline)
    except CommandTimeout:
        raise TimeoutError from None
    except CommandMissing as error:
        return str(error)
    return "" if result.ok() else f"no echo from {probe.where[0]}"


_LOOKS = {
    "nfs-tcp": _nfs, "nfs-udp": _nfs, "tcp": _tcp, "http": _http, "https": _http, "file": _file, "ping": _ping,
}  # fmt: skip
