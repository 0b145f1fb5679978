"""The null call of an ONC RPC program: the smallest question that proves that a server answers.

RFC 5531: a call is xid, CALL (0), RPC version 2, program, version, procedure 0, and two empty AUTH_NONE fields
(§9, §8.1); a reply is xid, REPLY (1), MSG_ACCEPTED (0), a verifier, and an accept status. Over TCP each record has
a mark of 4 bytes (§11). NFS is program 100003 on port 2049; the kernel's server answers NULL in the same threads
as every other call, so a server whose threads all hang does not answer it.
"""

from __future__ import annotations

import os
import socket
import struct

from failover_kit.spec.deadline import Deadline

NFS_PROGRAM = 100003
NFS_PORT = 2049

_REPLY = 1
_PROG_MISMATCH = 2
_ACCEPTED = 0
_LAST_FRAGMENT = 1 << 31
_REPLY_LIMIT_BYTES = 1024
_VERIFIER_LIMIT_BYTES = 400  # RFC 5531 §8.2

_ACCEPT_STATUS = {
    1: "does not serve this program",
    3: "does not know the null procedure",
    4: "cannot decode the call",
    5: "has an internal error",
}

_RESEND_MS = 500
"""UDP loses; one lost datagram is no failure."""


class RpcError(Exception):
    """No good answer; ``str()`` says what came instead."""


class VersionMismatch(RpcError):
    """The program is served, in other versions than the one asked for (PROG_MISMATCH)."""


def call(program: int, version: int, xid: int) -> bytes:
    """A null call."""
    return struct.pack(">10I", xid, 0, 2, program, version, 0, 0, 0, 0, 0)


def check_reply(data: bytes, xid: int) -> None:
    """RpcError unless ``data`` is a successful reply to the call ``xid``."""
    if len(data) < 12:
        raise RpcError(f"a reply of {len(data)} bytes")
    got, kind, status = struct.unpack_from(">3I", data)
    if got != xid or kind != _REPLY:
        raise RpcError("a reply to something else")
    if status != _ACCEPTED:
        raise RpcError("the server denies the call (RPC version or authentication)")
    if len(data) < 20:
        raise RpcError("a reply that is cut short")
    _flavor, length = struct.unpack_from(">2I", data, 12)
    at = 20 + (length + 3) // 4 * 4
    if length > _VERIFIER_LIMIT_BYTES or len(data) < at + 4:
        raise RpcError("a reply that is cut short")
    (accepted,) = struct.unpack_from(">I", data, at)
    if accepted == _PROG_MISMATCH:
        raise VersionMismatch("the server does not serve this version of the program")
    if accepted:
        raise RpcError(f"the server {_ACCEPT_STATUS.get(accepted, f'answers status {accepted}')}")


def null_tcp(sockaddr: tuple[str, int], family: int, program: int, version: int, deadline: Deadline) -> None:
    """RpcError or OSError (TimeoutError at the deadline) unless the server answers over TCP."""
    xid = int.from_bytes(os.urandom(4), "big")
    message = call(program, version, xid)
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(_left_s(deadline))
        connection.connect(sockaddr)
        connection.sendall(struct.pack(">I", _LAST_FRAGMENT | len(message)) + message)
        (mark,) = struct.unpack(">I", _exactly(connection, 4, deadline))
        size = mark & ~_LAST_FRAGMENT
        if not mark & _LAST_FRAGMENT or size > _REPLY_LIMIT_BYTES:
            raise RpcError("a reply to a null call in several or huge parts")
        check_reply(_exactly(connection, size, deadline), xid)


def null_udp(sockaddr: tuple[str, int], family: int, program: int, version: int, deadline: Deadline) -> None:
    """As ``null_tcp``, over UDP; the call is repeated while no answer comes."""
    xid = int.from_bytes(os.urandom(4), "big")
    message = call(program, version, xid)
    with socket.socket(family, socket.SOCK_DGRAM) as connection:
        connection.connect(sockaddr)  # answers from elsewhere are not ours; a refused port is an error at once
        while True:
            _left_s(deadline)
            connection.send(message)
            connection.settimeout(max(0.001, deadline.at_most(_RESEND_MS).left_s()))
            try:
                data = connection.recv(_REPLY_LIMIT_BYTES)
            except TimeoutError:
                continue
            check_reply(data, xid)
            return


def _exactly(connection: socket.socket, size: int, deadline: Deadline) -> bytes:
    data = b""
    while len(data) < size:
        connection.settimeout(_left_s(deadline))
        more = connection.recv(size - len(data))
        if not more:
            raise RpcError("the server closes the connection without an answer")
        data += more
    return data


def _left_s(deadline: Deadline) -> float:
    """What is left for a socket, never 0: that would mean not to wait at all. TimeoutError at the end."""
    if deadline.expired():
        raise TimeoutError("timed out")
    return deadline.left_s() or 0.001
