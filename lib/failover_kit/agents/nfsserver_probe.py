"""The deeper monitor of nfsserver: the server answers a call that does nothing (NULL, RFC 5531, 12).

It needs a thread that is free, and no disk: a server whose threads all wait for a dead disk does not answer.
"""

import os
from _socket import AF_INET, AF_INET6, SOCK_STREAM
from _socket import socket as Socket  # noqa: N812  # the C type: the socket module costs as much as a monitor
from struct import pack, unpack

from failover_kit.agents.nfsserver_nsm import call_message, result
from failover_kit.kernel import nfsd
from failover_kit.ocf.codes import failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.ocf.agent import Call
    from failover_kit.spec.deadline import Deadline

_PORT = 2049
_PROGRAM, _NULL = 100003, 0
_LAST_FRAGMENT = 0x80000000  # RFC 5531, 11
_ANSWER_LIMIT_BYTES = 1024
_PATIENCE_MS = 10_000


def ask(call: "Call") -> None:
    """AgentError when the server answers at no address of this host it should have."""
    version = 3 if nfsd.versions().get("3") else 4
    patience = call.deadline.at_most(_PATIENCE_MS)
    problem = ""
    for address in ("127.0.0.1", *call.values.text("nfs_ip").split()):
        try:
            if null(address, version, patience):
                return
            problem = problem or f"it does not speak NFSv{version} at {address}"
        except TimeoutError:
            raise failed(
                f"the NFS server did not answer at {address} within {patience.total_ms / 1000:g} s; see whether"
                " its threads (nfsd) are in state D, and the disk they wait for"
            ) from None
        except OSError as error:
            # nfs.conf may bind it to one address; what counts is that it answers at one.
            problem = problem or f"{address}: {error.strerror or error}"
    raise failed(f"the NFS server has threads but does not answer: {problem}")


def null(address: str, version: int, patience: "Deadline") -> bool:
    """Whether the server at ``address`` does the call. OSError, TimeoutError."""
    xid = int.from_bytes(os.urandom(4), "big")
    message = call_message(xid, _PROGRAM, version, _NULL, b"")
    connection = Socket(AF_INET6 if ":" in address else AF_INET, SOCK_STREAM)
    try:
        connection.settimeout(max(0.001, patience.left_s()))
        connection.connect((address, _PORT))
        connection.sendall(pack(">I", _LAST_FRAGMENT | len(message)) + message)
        (head,) = unpack(">I", _exactly(connection, 4, patience))
        length = min(head & ~_LAST_FRAGMENT, _ANSWER_LIMIT_BYTES)
        return result(_exactly(connection, length, patience), xid) is not None
    finally:
        connection.close()


def _exactly(connection: Socket, count: int, patience: "Deadline") -> bytes:
    data = b""
    while len(data) < count:
        connection.settimeout(max(0.001, patience.left_s()))
        block = connection.recv(count - len(data))
        if not block:
            raise ConnectionError("it closed the connection")
        data += block
    return data
