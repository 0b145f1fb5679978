"""rtnetlink without a library: rtnetlink(7), netlink(7), include/uapi/linux/{netlink,rtnetlink}.h.

``_socket``, ``_struct`` and ``posix`` are what ``socket``, ``struct`` and ``os`` wrap; they cost a tenth to
import, and a monitor needs nothing of the wrapping.
"""

import _socket
import posix
from _struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

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
NLM_F_REPLACE = 0x100
NLM_F_DUMP = 0x300
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400

_NLMSG_ERROR = 2
_NLMSG_DONE = 3

# struct nlmsghdr: length, type, flags, sequence, port (which nobody here reads). struct rtattr: length, type.
_HEADER = Struct("=IHHI4x")
_ATTRIBUTE = Struct("=HH")
_NUMBER = Struct("=I")
_SIGNED = Struct("=i")

# The kernel answers at once; this only bounds a wait behind a held RTNL lock.
_TIMEOUT_S = 5.0
# The kernel fills at most 32 KiB of it (netlink_dump()); what malloc() must map anew for each reading costs more.
_BUFFER_BYTES = 1 << 16
# A dump the kernel marks as torn is read again this often before we give up.
_DUMP_ATTEMPTS = 20


def attribute(kind: int, payload: bytes) -> bytes:
    """One struct rtattr, padded to four bytes."""
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + bytes(-length % 4)


def malformed() -> OSError:
    """What is raised for a message that is not what the kernel's headers say (EPROTO)."""
    return OSError(71, "a malformed netlink message from the kernel")


def head(layout: Struct, message: bytes) -> "tuple[int, ...]":
    """The structure a message begins with; OSError when the message is shorter."""
    if len(message) < layout.size:
        raise malformed()
    return layout.unpack_from(message)


def number(payload: bytes) -> int:
    """A 32 bit attribute; OSError when it has another length."""
    if len(payload) != _NUMBER.size:
        raise malformed()
    return int(_NUMBER.unpack(payload)[0])


def pack_number(value: int) -> bytes:
    return _NUMBER.pack(value)


def attributes(data: bytes, offset: int) -> "dict[int, bytes]":
    """The attributes of a message from ``offset`` on, flag bits taken off their types; an attribute that
    claims more than there is ends the list.
    """
    found: dict[int, bytes] = {}
    end = len(data)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4 or offset + length > end:
            break
        found[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def messages(data: bytes) -> "Iterator[tuple[int, int, int, int, int]]":
    """The messages of one datagram: kind, flags, sequence, and where the body begins and ends.

    OSError when a length is less than a header's or leads out of the datagram.
    """
    offset, size, unpack = 0, len(data), _HEADER.unpack_from
    while offset + 16 <= size:
        length, kind, flags, sequence = unpack(data, offset)
        end = offset + length
        if length < 16 or end > size:
            raise malformed()
        yield kind, flags, sequence, offset + 16, end
        offset = (end + 3) & ~3


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
        if not answers:
            raise malformed()
        return answers[0]

    def dump(self, kind: int, body: bytes, needle: bytes = b"") -> "list[bytes]":
        """All objects of a kind: message bodies, those only that contain ``needle``."""
        for _ in range(_DUMP_ATTEMPTS):
            self._send(kind, NLM_F_DUMP, body)
            answers, torn = self._collect(needle, single=False)
            if not torn:
                return answers
        raise OSError(4, "the kernel's network tables keep changing while they are read")

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        length = _HEADER.size + len(body)
        self._socket.send(_HEADER.pack(length, kind, flags | NLM_F_REQUEST, self._sequence) + body)

    def _collect(self, needle: bytes, single: bool) -> "tuple[list[bytes], bool]":
        """Answers to the last request until its end, and whether the kernel called them torn."""
        answers: list[bytes] = []
        torn = False
        while True:
            data = self._socket.recv(_BUFFER_BYTES)
            if not data:
                raise malformed()
            # Of a thousand addresses one is looked for: most datagrams need no second look.
            relevant = needle in data
            for kind, flags, sequence, start, end in messages(data):
                if sequence != self._sequence:
                    continue
                torn = torn or bool(flags & NLM_F_DUMP_INTR)
                if kind == _NLMSG_DONE:
                    return answers, torn
                if kind == _NLMSG_ERROR:
                    code = -head(_SIGNED, data[start:end])[0]
                    if code:
                        raise OSError(code, posix.strerror(code))
                    return answers, torn
                if relevant and (not needle or data.find(needle, start, end) >= 0):
                    answers.append(data[start:end])
                if single:
                    return answers, torn
