"""rtnetlink without a library: rtnetlink(7), netlink(7), include/uapi/linux/{netlink,rtnetlink}.h.

``_socket``, ``_struct`` and ``posix`` are what ``socket``, ``struct`` and ``os`` wrap; they cost a tenth to
import, and a monitor needs nothing of the wrapping.
"""

import _socket
import posix
from _struct import Struct

RTM_NEWLINK = 16
RTM_GETLINK = 18
RTM_NEWADDR = 20
RTM_DELADDR = 21
RTM_GETADDR = 22
RTM_GETROUTE = 26

AF_INET = 2
AF_INET6 = 10


def family_of(address: bytes) -> int:
    """AF_INET for four bytes, AF_INET6 for sixteen."""
    return AF_INET if len(address) == 4 else AF_INET6


NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP_INTR = 0x10
NLM_F_DUMP = 0x300
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400

_NLMSG_ERROR = 2
_NLMSG_DONE = 3

# struct nlmsghdr: length, type, flags, sequence, port. struct rtattr: length, type.
_HEADER = Struct("=IHHII")
_ATTRIBUTE = Struct("=HH")
_NUMBER = Struct("=I")
_SIGNED = Struct("=i")

# The kernel answers at once; this only bounds a wait behind a held RTNL lock.
_TIMEOUT_S = 5.0
_BUFFER_BYTES = 1 << 17
# A dump the kernel marks as torn is read again this often before we give up.
_DUMP_ATTEMPTS = 20


def attribute(kind: int, payload: bytes) -> bytes:
    """One struct rtattr, padded to four bytes."""
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + bytes(-length % 4)


def number(payload: bytes) -> int:
    """A 32 bit attribute."""
    return int(_NUMBER.unpack(payload)[0])


def pack_number(value: int) -> bytes:
    return _NUMBER.pack(value)


def attributes(data: bytes, offset: int) -> "dict[int, bytes]":
    """The attributes of a message from ``offset`` on; flag bits are taken off their types."""
    found: dict[int, bytes] = {}
    end = len(data)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4 or offset + length > end:
            break
        found[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


class Netlink:
    """A request socket. Use it as a context manager; every failure is an OSError."""

    __slots__ = ("_sequence", "_socket")

    def __init__(self, protocol: int = 0) -> None:
        """``protocol`` is a netlink family (netlink(7)); 0 is NETLINK_ROUTE."""
        self._socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, protocol)
        self._socket.settimeout(_TIMEOUT_S)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def request(self, kind: int, flags: int, body: bytes) -> None:
        """Send a change and wait for its acknowledgement."""
        self._send(kind, flags | NLM_F_ACK, body)
        self._collect(b"", single=False)

    def get(self, kind: int, body: bytes) -> bytes:
        """Ask for one object; the body of the first answer."""
        self._send(kind, 0, body)
        answers, _ = self._collect(b"", single=True)
        return answers[0]

    def dump(self, kind: int, body: bytes, needle: bytes = b"") -> "list[bytes]":
        """All objects of a kind: message bodies. Blocks without ``needle`` in them are not parsed."""
        for _ in range(_DUMP_ATTEMPTS):
            self._send(kind, NLM_F_DUMP, body)
            answers, torn = self._collect(needle, single=False)
            if not torn:
                return answers
        raise OSError(4, "the kernel's network tables keep changing while they are read")

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        length = _HEADER.size + len(body)
        self._socket.send(_HEADER.pack(length, kind, flags | NLM_F_REQUEST, self._sequence, 0) + body)

    def _collect(self, needle: bytes, single: bool) -> "tuple[list[bytes], bool]":
        """Answers to the last request until its end, and whether the kernel called them torn."""
        answers: list[bytes] = []
        torn = False
        while True:
            data = self._socket.recv(_BUFFER_BYTES)
            relevant = needle in data
            offset = 0
            while offset + _HEADER.size <= len(data):
                length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
                if length < _HEADER.size:
                    raise OSError(71, "a malformed netlink message from the kernel")
                start, offset = offset + _HEADER.size, offset + ((length + 3) & ~3)
                if sequence != self._sequence:
                    continue
                torn = torn or bool(flags & NLM_F_DUMP_INTR)
                if kind == _NLMSG_DONE:
                    return answers, torn
                if kind == _NLMSG_ERROR:
                    code = -_SIGNED.unpack_from(data, start)[0]
                    if code:
                        raise OSError(code, posix.strerror(code))
                    return answers, torn
                if relevant:
                    answers.append(data[start : start + length - _HEADER.size])
                if single:
                    return answers, torn
