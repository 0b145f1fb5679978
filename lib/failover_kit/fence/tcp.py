"""A TCP connection to a device: resolving, connecting, sending and receiving, all under deadlines."""

from __future__ import annotations

import errno
import select
import socket
import threading
from typing import Any

from failover_kit.fence.transport import ConnectFailed, ConnectionLost, NoAnswer, reason
from failover_kit.spec.deadline import Deadline

RECEIVE_BYTES = 4096


class TcpTransport:
    """A connected TCP socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes, until: Deadline) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                if not wait_for(self._sock, select.POLLOUT, until):
                    raise NoAnswer("the device does not take what is sent") from None
            except OSError as error:
                raise ConnectionLost(reason(error)) from None

    def receive(self, until: Deadline) -> bytes | None:
        while True:
            try:
                # A device that sends echo and answer in two writes would wait 40 ms for our delayed
                # acknowledgement between them (tcp(7): TCP_QUICKACK is not permanent).
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                return self._sock.recv(RECEIVE_BYTES)
            except BlockingIOError:
                if not wait_for(self._sock, select.POLLIN, until):
                    return None
            except OSError as error:
                raise ConnectionLost(reason(error)) from None

    def close(self) -> None:
        self._sock.close()


def wait_for(what: socket.socket | int, mask: int, until: Deadline) -> bool:
    """Wait until ``what`` is ready for ``mask`` (or broken); False when ``until`` came first."""
    left_ms = until.left_ms()
    if left_ms == 0:
        return False
    poller = select.poll()
    poller.register(what, mask)
    return bool(poller.poll(left_ms))


def connect_tcp(host: str, port: int, family: int, until: Deadline) -> TcpTransport:
    """Connect to ``host``; ``family`` is 4, 6 or 0 for either. Raises ConnectFailed."""
    return TcpTransport(open_socket(host, port, family, until))


def open_socket(host: str, port: int, family: int, until: Deadline) -> socket.socket:
    """A socket connected to ``host``. Raises ConnectFailed."""
    wanted = {4: socket.AF_INET, 6: socket.AF_INET6}.get(family, socket.AF_UNSPEC)
    failure = ConnectFailed(f"{host} has no address", again=False)
    addresses = _addresses(host, port, wanted, until)
    for tried, (kind, address) in enumerate(addresses):
        sock = socket.socket(kind, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            # An address that swallows packets leaves time for the next one.
            sock.settimeout(max(0.001, until.left_s() / (len(addresses) - tried)))
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            failure = ConnectFailed(f"{host} port {port}: {reason(error)}", again=True)
        except BaseException:
            sock.close()
            raise
    raise failure


_Address = tuple[socket.AddressFamily, tuple[Any, ...]]


def _addresses(host: str, port: int, family: int, until: Deadline) -> list[_Address]:
    """Resolve ``host``. A name is looked up in a thread: a dead name server must not outlast the deadline."""
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return [(entry[0], entry[4]) for entry in found]
    except (socket.gaierror, UnicodeError):
        pass
    answer: list[_Address] = []
    trouble: list[OSError] = []

    def look_up() -> None:
        try:
            for entry in socket.getaddrinfo(host, port, family, socket.SOCK_STREAM):
                answer.append((entry[0], entry[4]))
        except (OSError, UnicodeError) as error:
            trouble.append(error if isinstance(error, OSError) else OSError(errno.EINVAL, "not a host name"))

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(until.left_s())
    if thread.is_alive():
        raise ConnectFailed(f"the name {host} is not resolved in time; use an address", again=False)
    if trouble:
        again = trouble[0].errno == socket.EAI_AGAIN
        raise ConnectFailed(f"the name {host} is not resolved: {reason(trouble[0])}", again=again)
    return answer
