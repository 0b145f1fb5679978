"""SM_NOTIFY to NFSv3 clients, pure: datagrams and times come in, datagrams and names go out.

The Network Status Monitor protocol (X/Open Protocols for Interworking: XNFS, chapter 11; messages per RFC
5531, ports from rpcbind per RFC 1833): a server that has restarted sends every client it had recorded its
name and a new state number; the client's statd looks the name up among those it monitors and makes its
kernel reclaim the locks. The reply is empty and comes whether the name was known or not. So each client is
told every name it may know us by, the address first: Linux compares what names resolve to.

sm-notify(8) does the same, but refuses to run when the address has no name in DNS, which a failover must not need.

Over IPv4 the port is asked for by version 2 of rpcbind's protocol (GETPORT), which every client has; over IPv6,
where version 2 does not exist, by version 3 (GETADDR), which answers with a universal address (RFC 5665, 5.2.3.4).
"""

from struct import error as StructError  # noqa: N812  # an exception, and struct calls it so
from struct import pack, unpack_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RPCBIND_PORT = 111
_RPCBIND, _GETPORT_VERSION, _GETADDR_VERSION = 100000, 2, 3
_GETPORT = _GETADDR = 3
_STATUS, _STATUS_VERSION, _NOTIFY = 100024, 1, 6
_UDP = 17
_CALL, _REPLY, _RPC_VERSION = 0, 1, 2
_NAME_LIMIT_BYTES = 1024  # SM_MAXSTRLEN
_FIRST_PAUSE_MS = 1000
_LAST_PAUSE_MS = 30_000
# A client that did not answer so often may have another port by now.
_ASK_PORT_AGAIN = 4


def call_message(xid: int, program: int, version: int, procedure: int, arguments: bytes) -> bytes:
    """A call with no credentials and no verifier (RFC 5531, 9)."""
    return pack(">10I", xid, _CALL, _RPC_VERSION, program, version, procedure, 0, 0, 0, 0) + arguments


def result(data: bytes, xid: int) -> "bytes | None":
    """The result of the call ``xid``; None when this is no answer to it, or says that it failed."""
    if len(data) < 24:
        return None
    got, kind, status, _, length = unpack_from(">5I", data)
    after = 20 + (length + 3) // 4 * 4
    if (got, kind, status) != (xid, _REPLY, 0) or len(data) < after + 4:
        return None
    return data[after + 4 :] if unpack_from(">I", data, after)[0] == 0 else None


def port_call(xid: int, address: str) -> bytes:
    """The question to the rpcbind at ``address`` for the port of its statd."""
    if ":" not in address:
        arguments = pack(">4I", _STATUS, _STATUS_VERSION, _UDP, 0)
        return call_message(xid, _RPCBIND, _GETPORT_VERSION, _GETPORT, arguments)
    # The address is left empty: rpcbind then answers with the one it was asked at. So is the owner.
    arguments = pack(">2I", _STATUS, _STATUS_VERSION) + _string(b"udp6") + _string(b"") + _string(b"")
    return call_message(xid, _RPCBIND, _GETADDR_VERSION, _GETADDR, arguments)


def port_answer(answer: bytes, address: str) -> int:
    """The port in the result of ``port_call``; 0 when statd is not registered (yet), or the result is none."""
    try:
        if ":" not in address:
            return int(unpack_from(">I", answer)[0]) & 0xFFFF
        length = unpack_from(">I", answer)[0]
        high, low = answer[4 : 4 + length].decode("ascii").split(".")[-2:]
        return (int(high) << 8 | int(low)) & 0xFFFF
    except (StructError, ValueError):
        return 0


def notify_arguments(name: str, state: int) -> bytes:
    return _string(name.encode("ascii", "replace")[:_NAME_LIMIT_BYTES]) + pack(">I", state)


def _string(text: bytes) -> bytes:
    """RFC 4506, 4.11."""
    return pack(">I", len(text)) + text + b"\0" * (-len(text) % 4)


class Client:
    """One client that is still to be told. ``port`` 0: not known; ``names`` are those not yet acknowledged."""

    __slots__ = ("address", "due_ms", "names", "pause_ms", "port", "record", "tries", "xid")

    def __init__(self, record: str, address: str, names: "Sequence[str]", xid: int, now_ms: int) -> None:
        self.record = record
        self.address = address
        self.names = list(names)
        self.port = 0
        self.xid = xid
        self.tries = 0
        self.due_ms = now_ms
        self.pause_ms = _FIRST_PAUSE_MS


class Telling:
    """All clients of one address of ours."""

    __slots__ = ("_clients", "_state", "_xid")

    def __init__(
        self, addresses: "Mapping[str, str]", names: "Sequence[str]", state: int, *, xid: int, now_ms: int
    ) -> None:
        """``addresses``: record name to address, as inet_ntop(3) writes it; ``names``: what clients may call us.

        ``xid`` is any number.
        """
        self._state = state
        self._xid = xid
        self._clients = [
            Client(record, address, names, self._next_xid(), now_ms) for record, address in addresses.items()
        ]

    def pending(self) -> "list[str]":
        """The records of the clients that have not answered yet."""
        return [client.record for client in self._clients]

    def next_ms(self) -> int:
        """When something is to be sent again; only while somebody is pending."""
        return min(client.due_ms for client in self._clients)

    def due(self, now_ms: int) -> "list[tuple[bytes, str, int]]":
        """What is to be sent now: datagram, address, port."""
        messages = []
        for client in self._clients:
            if client.due_ms > now_ms:
                continue
            client.tries += 1
            if client.tries % _ASK_PORT_AGAIN == 0:
                client.port = 0
            messages.append(self._message(client))
            client.due_ms = now_ms + client.pause_ms
            client.pause_ms = min(client.pause_ms * 2, _LAST_PAUSE_MS)
        return messages

    def receive(self, data: bytes, address: str, now_ms: int) -> str:
        """An answer from ``address``; the record of a client that now knows everything, else ""."""
        for client in self._clients:
            answer = result(data, client.xid) if client.address == address else None
            if answer is None:
                continue
            client.xid = self._next_xid()
            if client.port:
                client.names.pop(0)
            else:
                client.port = port_answer(answer, address)
                if not client.port:
                    return ""  # it is asked again after the pause
            if not client.names:
                self._clients.remove(client)
                return client.record
            client.due_ms, client.pause_ms, client.tries = now_ms, _FIRST_PAUSE_MS, 0
            return ""
        return ""

    def _message(self, client: Client) -> "tuple[bytes, str, int]":
        if not client.port:
            return port_call(client.xid, client.address), client.address, RPCBIND_PORT
        arguments = notify_arguments(client.names[0], self._state)
        body = call_message(client.xid, _STATUS, _STATUS_VERSION, _NOTIFY, arguments)
        return body, client.address, client.port

    def _next_xid(self) -> int:
        self._xid = (self._xid + 1) & 0xFFFFFFFF
        return self._xid
