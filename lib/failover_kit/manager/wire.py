"""A beat as a frame: readable lines between two markers, signed. The same on UDP and serial lines.

    =failover-kit 1.1
    node pete
    boot 2cb5b36b-3b05-4d0c-9d0a-9e2b4f7f9a51
    life 6f1d0a7b52c94e83
    beat 1204
    echo 90c1b6a2d2e04f5c 988
    says hears ready
    conf 5b0f6a1d0c7e9a34
    links 11
    maintenance 3 still
    release 0.1.0
    reached 2
    group IPaddr_10.0.0.9 started held right=4 top=4
    auth 1 (64 hex digits)
    =end

The last line but one is HMAC-SHA256 (RFC 2104) over every byte before its digits, with the key of that
index in authkeys; an index of method ``crc`` has the empty key, which makes it a checksum. What is at its
default is left out; ``links`` tells of each link, in an order that both nodes have, whether the peer is heard
there.

The first line has the version, MAJOR.MINOR (``dialect``, design/0039). Between ``conf`` and the groups stand the
lines that minor versions added (``wireitems``). A frame of a higher minor may have more of them, and more words at
the end of a group's line: these are ignored. Everything known has exactly one spelling: a frame that is signed
rightly and in which the rest is not what ``encode`` would have written is refused.

Pure. The one error that leaves this module for a received frame is FrameError.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

from failover_kit.manager import dialect, wireitems
from failover_kit.manager.config import LINK_LIMIT, Secret
from failover_kit.manager.records import STANDING, Beat, GroupClaim, standing
from failover_kit.manager.states import GroupState
from failover_kit.manager.wireitems import COUNTER_LIMIT, EPOCH_LIMIT, digits, number, quote, unquote

FRAME_LIMIT_BYTES = 1232
"""No link fragments this: IPv6 guarantees 1280 (RFC 8200 section 5), 40 of them are its header and 8 UDP's."""

ECHO_LIMIT = 2
GROUP_LIMIT = 64

NONCE_BYTES = 16
"""Length of a nonce that ``max_frame_bytes`` reckons with: 64 random bits in hexadecimal."""

BOOT_ID_BYTES = 36
"""/proc/sys/kernel/random/boot_id without its newline (random(4))."""

START = b"=failover-kit "
END = b"=end\n"
_NUMBER = rb"(0|[1-9][0-9]{0,2})"
_FIRST_LINE = re.compile(rb"=failover-kit %s\.%s\n" % (_NUMBER, _NUMBER))
_CLAIMED_NODE = re.compile(rb"=failover-kit [0-9.]{1,7}\nnode ([!-<>-~]{1,96})\n")
_SIGNATURE = re.compile(rb"\nauth (0|[1-9][0-9]?) ([0-9a-f]{64})\n=end\n\Z")
_SIGNATURE_TAIL_BYTES = len(b"\nauth 15 ") + 64 + len(b"\n=end\n")

_MOVING_LINES = re.compile(rb"\nbeat (0|[1-9][0-9]{0,19})\n((?:echo [^\n]*\n)*)")

_BASE_KEYS = frozenset(("node", "boot", "life", "beat", "echo", "says", "conf"))  # of 1.0, besides "group"
_GROUP_WORDS = frozenset(
    ("held", "failed-here", "parked", "right", "top", "grant", "for", "fence-me", "want")
)  # fmt: skip

# heartbeat.md section 2: classic text begins with ">>>", the netstring form of 3.0.6 with "###".
_HEARTBEAT_MARKERS = (b">>>\n", b"###\n")


class Fault(Enum):
    """What is wrong with a frame."""

    TRUNCATED = "truncated"
    TOO_LONG = "too-long"
    NOT_A_FRAME = "not-a-frame"
    HEARTBEAT = "heartbeat"
    VERSION = "version"
    UNKNOWN_KEY = "unknown-key"
    FORGED = "forged"
    MALFORMED = "malformed"


class FrameError(Exception):
    """A received frame is not used; ``str()`` is one sentence with the remedy, free of secrets."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


# --- writing --------------------------------------------------------------------------------------------


def encode(beat: Beat, keys: Mapping[int, Secret], key_index: int) -> bytes:
    """The frame of ``beat``, signed with ``keys[key_index]``.

    ValueError when it would be longer than FRAME_LIMIT_BYTES or a number has outgrown its bound;
    ``max_frame_bytes`` at start keeps the first from happening.
    """
    return _framed(_body(beat), keys[key_index], key_index)


def _framed(body: bytes, key: Secret, key_index: int) -> bytes:
    frame = _sign(body, key, key_index)
    if len(frame) > FRAME_LIMIT_BYTES:
        raise ValueError(f"a beat of {len(frame)} bytes is over the limit of {FRAME_LIMIT_BYTES}")
    return frame


class Writer:
    """``encode`` for beats that follow each other: what stands still is not written anew."""

    def __init__(self, keys: Mapping[int, Secret], key_index: int) -> None:
        self._key = keys[key_index]
        self._key_index = key_index
        self._said: list[Any] = []
        self._parts: _Parts | None = None

    def encode(self, beat: Beat) -> bytes:
        """As ``encode``: the same bytes, the same ValueError."""
        said = standing(beat)
        if self._parts is not None and said == self._said:
            body = self._parts.head + _moving_lines(beat.counter, beat.echoes) + self._parts.tail
        else:
            body = _body(beat)
            self._said, self._parts = said, _parted(body)
        return _framed(body, self._key, self._key_index)


def max_frame_bytes(
    nodes: Iterable[str],
    groups: Iterable[str],
    nonce_bytes: int = NONCE_BYTES,
    *,
    links: int = LINK_LIMIT,
    pings: int = 0,
) -> int:
    """The longest frame that can ever be sent between ``nodes`` about ``groups`` over ``links`` (PROTOCOL rule 22),
    with so many ``pings``.

    Made by writing the longest beat there is, so it cannot disagree with ``encode``.
    """
    nonce = "n" * nonce_bytes
    longest_state = max(GroupState, key=lambda state: len(state.value))
    epoch, counter = EPOCH_LIMIT - 1, COUNTER_LIMIT - 1
    beat = Beat(
        node=max(nodes, key=lambda name: len(quote(name))),
        boot_id="b" * BOOT_ID_BYTES,
        nonce=nonce,
        counter=counter,
        echoes=((nonce, counter),) * ECHO_LIMIT,
        hears=True,
        ready=True,
        leaving=True,
        links=(True,) * links,
        digest="d" * 16,
        maintenance=epoch,
        still=True,
        reached=pings or None,
        minor=dialect.MINOR,
        release="r" * dialect.RELEASE_BYTES,
        groups=tuple(
            GroupClaim(
                name=name,
                state=longest_state,
                held=True,
                right=epoch,
                top=epoch,
                grant=epoch,
                grant_nonce=nonce,
                failed_here=True,
                parked=True,
                fence_me=epoch,
                want=epoch,
            )
            for name in groups
        ),
    )
    return len(_sign(_body(beat), Secret(b""), 15))


def frame_fits(
    nodes: Iterable[str], groups: Iterable[str], *, links: int = LINK_LIMIT, pings: int = 0
) -> str | None:
    """None when every beat of this configuration fits into a frame, else the refusal."""
    names = tuple(groups)
    longest = max_frame_bytes(nodes, names, links=links, pings=pings)
    if longest <= FRAME_LIMIT_BYTES:
        return None
    return (
        f"a beat about {len(names)} groups can grow to {longest} bytes, over the limit of "
        f"{FRAME_LIMIT_BYTES}; join groups that live together into one haresources line"
    )


def _body(beat: Beat) -> bytes:
    lines = [
        f"node {quote(beat.node)}",
        f"boot {quote(beat.boot_id)}",
        f"life {quote(beat.nonce)}",
        f"beat {digits(beat.counter, COUNTER_LIMIT)}",
    ]
    if len(beat.groups) > GROUP_LIMIT:
        raise ValueError(f"a beat tells of {GROUP_LIMIT} groups at most")
    lines += _echo_lines(beat.echoes)
    flags = (("hears", beat.hears), ("ready", beat.ready), ("leaving", beat.leaving))
    said = [word for word, is_so in flags if is_so]
    if said:
        lines.append(" ".join(("says", *said)))
    if beat.digest:
        lines.append(f"conf {quote(beat.digest)}")
    lines += wireitems.added_lines(beat)
    lines += [_group_line(claim) for claim in beat.groups]
    return _whole(beat.minor, lines)


def _echo_lines(echoes: Sequence[tuple[str, int]]) -> list[str]:
    if len(echoes) > ECHO_LIMIT:
        raise ValueError(f"a beat echoes {ECHO_LIMIT} lives at most")
    return [f"echo {quote(nonce)} {digits(heard, COUNTER_LIMIT)}" for nonce, heard in echoes]


def _moving_lines(counter: int, echoes: Sequence[tuple[str, int]]) -> bytes:
    """What stands between the parts of ``_Parts``."""
    lines = [f"beat {digits(counter, COUNTER_LIMIT)}", *_echo_lines(echoes), ""]
    return "\n".join(lines).encode("ascii")


@dataclass(frozen=True, slots=True)
class _Parts:
    """The bytes of a body before its beat line and behind its echo lines."""

    head: bytes
    tail: bytes


def _parted(body: bytes) -> _Parts | None:
    """No line before that of the beat can begin with its word: they are three, each with a word of its own."""
    moving = _MOVING_LINES.search(body)
    return None if moving is None else _Parts(body[: moving.start() + 1], body[moving.end() :])


def _whole(minor: int, lines: Iterable[str]) -> bytes:
    version = f"{dialect.MAJOR}.{digits(minor, dialect.MINOR_LIMIT)}"
    return START + "\n".join((version, *lines)).encode("ascii") + b"\n"


def _group_line(claim: GroupClaim) -> str:
    words = ["group", quote(claim.name), claim.state.value]
    flags = (("held", claim.held), ("failed-here", claim.failed_here), ("parked", claim.parked))
    words += [word for word, is_so in flags if is_so]
    numbers = (("right", claim.right), ("top", claim.top), ("grant", claim.grant))
    words += [f"{word}={digits(number, EPOCH_LIMIT)}" for word, number in numbers if number]
    if claim.grant_nonce:
        words.append(f"for={quote(claim.grant_nonce)}")
    orders = (("fence-me", claim.fence_me), ("want", claim.want))
    words += [f"{word}={digits(number, EPOCH_LIMIT)}" for word, number in orders if number]
    return " ".join(words)


def _sign(body: bytes, key: Secret, key_index: int) -> bytes:
    signed = body + b"auth %d " % key_index
    return signed + _mac(key, signed) + b"\n" + END


def _mac(key: Secret, signed: bytes) -> bytes:
    return hmac.digest(key.reveal(), signed, "sha256").hex().encode("ascii")


# --- reading --------------------------------------------------------------------------------------------


def decode(frame: bytes, keys: Mapping[int, Secret]) -> Beat:
    """The beat in ``frame``, signed with one of ``keys``; FrameError, and nothing else, if it is none."""
    minor = _check_shape(frame)
    return _read_body(_signed_body(frame, keys), minor)


class Reader:
    """``decode`` for frames that follow each other: what equals the frame before, byte for byte, is not read anew.

    Marker, length, version and signature are looked at each time, and the new numbers have to be spelled right.
    """

    def __init__(self, keys: Mapping[int, Secret]) -> None:
        self._keys = keys
        self._parts: _Parts | None = None
        self._again: Callable[..., Beat] = Beat

    def decode(self, frame: bytes) -> Beat:
        """As ``decode``: the same beat, the same FrameError."""
        minor = _check_shape(frame)
        body = _signed_body(frame, self._keys)
        moving = _MOVING_LINES.search(body)
        parts = None if moving is None else _Parts(body[: moving.start() + 1], body[moving.end() :])
        if moving is not None and parts is not None and parts == self._parts:
            try:
                counter, echoes = number(moving[1].decode("ascii")), _parse_echoes(moving[2])
                if _moving_lines(counter, echoes) == body[moving.start() + 1 : moving.end()]:
                    return self._again(counter=counter, echoes=echoes)
            except ValueError:
                pass  # the whole is read, which says what is wrong
        beat = _read_body(body, minor)
        if minor <= dialect.MINOR:  # of a newer one not every line was read
            said = dict(zip(STANDING, standing(beat), strict=True))
            self._parts, self._again = parts, partial(Beat, **said)
        return beat


def _parse_echoes(lines: bytes) -> tuple[tuple[str, int], ...]:
    words = [line.split(" ") for line in lines.decode("ascii").split("\n")[:-1]]
    return tuple((unquote(nonce), number(heard)) for _, nonce, heard in words)


def _signed_body(frame: bytes, keys: Mapping[int, Secret]) -> bytes:
    """What is signed, without the signature's line. FrameError when it is not signed rightly."""
    tail_at = max(0, len(frame) - _SIGNATURE_TAIL_BYTES)
    signature = _SIGNATURE.search(frame, tail_at)
    if signature is None:
        raise FrameError(Fault.MALFORMED, "a frame without a signature line was dropped")
    key_index = int(signature.group(1))
    key = keys.get(key_index)
    if key is None:
        raise FrameError(
            Fault.UNKNOWN_KEY,
            f"a frame signed with key {key_index} was dropped: authkeys here has no such key; "
            "give both nodes the same authkeys",
        )
    if not hmac.compare_digest(_mac(key, frame[: signature.start(2)]), signature.group(2)):
        raise FrameError(
            Fault.FORGED,
            f"a frame with a wrong signature of key {key_index} was dropped: it was damaged or forged, "
            "or the key differs; give both nodes the same authkeys",
        )
    return frame[: signature.start() + 1]


def _read_body(body: bytes, minor: int) -> Beat:
    try:
        lines = body.decode("ascii").split("\n")[1:-1]
        if minor > dialect.MINOR:
            lines = wireitems.without_unknown(lines, _BASE_KEYS, _GROUP_WORDS)
        beat = _parse_lines(lines, minor)
        if _body(beat) == _whole(minor, lines):
            return beat
    except ValueError as error:
        reason = f" ({error})"
    else:
        reason = ""
    raise FrameError(
        Fault.MALFORMED,
        f"a rightly signed frame of version {dialect.name_of(minor)} could not be read{reason}: this failoverd "
        f"({dialect.name_of(dialect.MINOR)}) and the peer's do not agree on it; install the same on both nodes",
    )


def claimed_node(frame: bytes) -> str | None:
    """The node a frame says it is from, believed by nobody: nothing of it was checked. None when it says none."""
    found = _CLAIMED_NODE.match(frame)
    if found is None:
        return None
    try:
        return unquote(found.group(1).decode("ascii"))
    except ValueError:
        return None


def _check_shape(frame: bytes) -> int:
    """The minor of its version, when it looks like a whole frame of our major."""
    if frame.startswith(_HEARTBEAT_MARKERS):
        raise FrameError(
            Fault.HEARTBEAT,
            "a packet of Heartbeat was dropped: a node on this link still runs Heartbeat; stop and "
            "disable it there before failoverd takes over",
        )
    if not frame.startswith(START):
        shown = frame[:16].decode("ascii", "backslashreplace")
        raise FrameError(Fault.NOT_A_FRAME, f"{len(frame)} bytes that are no frame were dropped: {shown!r}")
    if len(frame) > FRAME_LIMIT_BYTES:
        raise FrameError(Fault.TOO_LONG, f"a frame of more than {FRAME_LIMIT_BYTES} bytes was dropped")
    version = _FIRST_LINE.match(frame)
    if version is None:
        raise FrameError(Fault.MALFORMED, "a frame with a damaged first line was dropped")
    major, minor = (int(digit) for digit in version.groups())
    if major != dialect.MAJOR:
        who = "this node" if major > dialect.MAJOR else "the other node"
        raise FrameError(
            Fault.VERSION,
            f"a frame of version {major}.{minor} was dropped, this node speaks {dialect.name_of(dialect.MINOR)}; "
            f"upgrade failover-kit on {who}",
        )
    if not frame.endswith(b"\n" + END):
        raise FrameError(Fault.TRUNCATED, f"a frame without its end was dropped after {len(frame)} bytes")
    return minor


class _Lines:
    """The words of the lines of a body, taken one by one in their fixed order."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._at = 0

    def take(self, keyword: str) -> list[str] | None:
        """The words after ``keyword`` when the next line begins with it, else None."""
        if self._at == len(self._lines):
            return None
        first, *words = self._lines[self._at].split(" ")
        if first != keyword:
            return None
        self._at += 1
        return words

    def need(self, keyword: str, count: int) -> list[str]:
        words = self.take(keyword)
        if words is None or len(words) != count:
            raise ValueError(f"line {self._at + 1} is not '{keyword}' with {count} words")
        return words

    def finish(self) -> None:
        if self._at != len(self._lines):
            raise ValueError(f"line {self._at + 1} is not known")


def _parse_lines(body: Sequence[str], minor: int) -> Beat:
    """ValueError when it cannot be read. Laxness here is caught by the comparison in ``decode``."""
    lines = _Lines(body)
    node = unquote(lines.need("node", 1)[0])
    boot_id = unquote(lines.need("boot", 1)[0])
    nonce = unquote(lines.need("life", 1)[0])
    counter = number(lines.need("beat", 1)[0])
    echoes: list[tuple[str, int]] = []
    while (words := lines.take("echo")) is not None:
        if len(words) != 2 or len(echoes) == ECHO_LIMIT:
            raise ValueError("an echo too many or without its counter")
        echoes.append((unquote(words[0]), number(words[1])))
    said = lines.take("says") or []
    conf = lines.take("conf")
    added: dict[str, Any] = {}
    for addition in wireitems.additions(minor):
        if (words := lines.take(addition.key)) is not None:
            if not words:
                raise ValueError(f"line {addition.key!r} says nothing")
            added.update(addition.read(words))
    groups: list[GroupClaim] = []
    while (words := lines.take("group")) is not None:
        groups.append(_parse_group(words))
    lines.finish()
    if len({claim.name for claim in groups}) != len(groups):
        raise ValueError("a group is told of twice")
    return Beat(
        node=node,
        boot_id=boot_id,
        nonce=nonce,
        counter=counter,
        echoes=tuple(echoes),
        hears="hears" in said,
        ready="ready" in said,
        leaving="leaving" in said,
        digest=unquote(conf[0]) if conf else "",
        groups=tuple(groups),
        minor=minor,
        **added,
    )


def _parse_group(words: list[str]) -> GroupClaim:
    if len(words) < 2:
        raise ValueError("a group without a state")
    values: dict[str, str] = {}
    for word in words[2:]:
        name, _, value = word.partition("=")
        values[name] = value
    return GroupClaim(
        name=unquote(words[0]),
        state=GroupState(words[1]),
        held="held" in values,
        failed_here="failed-here" in values,
        parked="parked" in values,
        right=number(values.get("right", "0")),
        top=number(values.get("top", "0")),
        grant=number(values.get("grant", "0")),
        grant_nonce=unquote(values["for"]) if "for" in values else "",
        fence_me=number(values.get("fence-me", "0")),
        want=number(values.get("want", "0")),
    )


# --- serial lines ---------------------------------------------------------------------------------------


class StreamDecoder:
    """Cuts frames out of a byte stream that may begin anywhere and lose or gain bytes.

    The opening marker cannot stand inside a frame ("=" and blanks are quoted in names), so a frame that
    lost its end costs only itself. Whole frames come out, and what ``decode`` can name: the stump of a frame,
    Heartbeat's markers. Other noise is only counted. Keeps FRAME_LIMIT_BYTES plus one read at most.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self.noise_bytes = 0  # since the last whole frame: high with silence means another baud rate

    def feed(self, data: bytes) -> list[bytes]:
        """Take in what was read; return what can be handed to ``decode``, in order."""
        self._buffer += data
        found: list[bytes] = []
        while self._cut(found):
            pass
        return found

    def _cut(self, found: list[bytes]) -> bool:
        """Take one frame or stump off the buffer's front; False when more bytes are needed."""
        start = self._buffer.find(START)
        if start < 0:
            # The marker's beginning may be the end of what was read.
            self._drop_noise(max(0, len(self._buffer) - len(START) + 1), found)
            return False
        self._drop_noise(start, found)
        end = self._buffer.find(b"\n" + END)
        stop = end + 1 + len(END) if end >= 0 else -1
        next_start = self._buffer.find(START, 1)
        if next_start >= 0 and (stop < 0 or next_start < stop):
            stop = next_start
        elif stop < 0:
            if len(self._buffer) <= FRAME_LIMIT_BYTES:
                return False
            stop = len(self._buffer)
        else:
            self.noise_bytes = 0
        # One byte over the limit is enough for decode to name the fault.
        found.append(self._buffer[:stop][: FRAME_LIMIT_BYTES + 1])
        self._buffer = self._buffer[stop:]
        return True

    def _drop_noise(self, count: int, found: list[bytes]) -> None:
        for marker in _HEARTBEAT_MARKERS:
            if 0 <= self._buffer.find(marker) < count:
                found.append(marker)
        self.noise_bytes += count
        self._buffer = self._buffer[count:]
