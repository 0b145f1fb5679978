"""A beat as a frame: readable lines between two markers, signed. The same on UDP and serial lines.

    =failover-kit 1
    node pete
    boot 2cb5b36b-3b05-4d0c-9d0a-9e2b4f7f9a51
    life 6f1d0a7b52c94e83
    beat 1204
    echo 90c1b6a2d2e04f5c 988
    says hears ready
    links 11
    conf 5b0f6a1d0c7e9a34
    maintenance 3 still
    reached 2
    group IPaddr_10.0.0.9 started held right=4 top=4
    auth 1 (64 hex digits)
    =end

The last line but one is HMAC-SHA256 (RFC 2104) over every byte before its digits, with the key of that
index in authkeys; an index of method ``crc`` has the empty key, which makes it a checksum. What is at its
default is left out; ``links`` tells of each link, in an order that both nodes have, whether the peer is heard
there. There is exactly one spelling of a beat: a frame that is signed rightly and still is
not what ``encode`` would have written comes from another version and is refused.

Pure. The one error that leaves this module for a received frame is FrameError.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from urllib.parse import quote_from_bytes, unquote_to_bytes

from failover_kit.manager.config import LINK_LIMIT, PING_LIMIT, Secret
from failover_kit.manager.records import Beat, GroupClaim
from failover_kit.manager.states import GroupState

VERSION = 1

FRAME_LIMIT_BYTES = 1232
"""No link fragments this: IPv6 guarantees 1280 (RFC 8200 section 5), 40 of them are its header and 8 UDP's."""

COUNTER_LIMIT = 10**12
"""Bound of beat counters: 31 years of one life at 1000 beats a second. Bounds make rule 22 exact."""

EPOCH_LIMIT = 10**9
"""Bound of epochs and of request numbers: a thousand million moves."""

WORD_LIMIT_BYTES = 96
"""Longest name accepted, as written; real ones are a third of that (GROUP_NAME_BYTES, boot_id 36)."""

ECHO_LIMIT = 2
GROUP_LIMIT = 64

NONCE_BYTES = 16
"""Length of a nonce that ``max_frame_bytes`` reckons with: 64 random bits in hexadecimal."""

BOOT_ID_BYTES = 36
"""/proc/sys/kernel/random/boot_id without its newline (random(4))."""

START = b"=failover-kit "
END = b"=end\n"
_FIRST_LINE = b"%s%d\n" % (START, VERSION)
_OTHER_VERSION = re.compile(rb"=failover-kit ([0-9]{1,4})\n")
_CLAIMED_NODE = re.compile(rb"=failover-kit [0-9]{1,4}\nnode ([!-<>-~]{1,96})\n")
_SIGNATURE = re.compile(rb"\nauth (0|[1-9][0-9]?) ([0-9a-f]{64})\n=end\n\Z")
_SIGNATURE_TAIL_BYTES = len(b"\nauth 15 ") + 64 + len(b"\n=end\n")
_WORD = re.compile(r"[!-<>-~]+")  # printable, no blank, no "="

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
    frame = _sign(_body(beat), keys[key_index], key_index)
    if len(frame) > FRAME_LIMIT_BYTES:
        raise ValueError(f"a beat of {len(frame)} bytes is over the limit of {FRAME_LIMIT_BYTES}")
    return frame


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
        node=max(nodes, key=lambda name: len(_quote(name))),
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
        f"node {_quote(beat.node)}",
        f"boot {_quote(beat.boot_id)}",
        f"life {_quote(beat.nonce)}",
        f"beat {_digits(beat.counter, COUNTER_LIMIT)}",
    ]
    if len(beat.echoes) > ECHO_LIMIT or len(beat.groups) > GROUP_LIMIT:
        raise ValueError(f"a beat echoes {ECHO_LIMIT} lives and tells of {GROUP_LIMIT} groups at most")
    lines += [f"echo {_quote(nonce)} {_digits(heard, COUNTER_LIMIT)}" for nonce, heard in beat.echoes]
    flags = (("hears", beat.hears), ("ready", beat.ready), ("leaving", beat.leaving))
    said = [word for word, is_so in flags if is_so]
    if said:
        lines.append(" ".join(("says", *said)))
    if beat.links:
        if len(beat.links) > LINK_LIMIT:
            raise ValueError(f"a beat tells of {LINK_LIMIT} links at most")
        lines.append("links " + "".join("1" if heard else "0" for heard in beat.links))
    if beat.digest:
        lines.append(f"conf {_quote(beat.digest)}")
    if beat.maintenance:
        still = " still" if beat.still else ""
        lines.append(f"maintenance {_digits(beat.maintenance, EPOCH_LIMIT)}{still}")
    if beat.reached is not None:
        lines.append(f"reached {_digits(beat.reached, PING_LIMIT + 1)}")
    lines += [_group_line(claim) for claim in beat.groups]
    return _FIRST_LINE + "\n".join(lines).encode("ascii") + b"\n"


def _group_line(claim: GroupClaim) -> str:
    words = ["group", _quote(claim.name), claim.state.value]
    flags = (("held", claim.held), ("failed-here", claim.failed_here), ("parked", claim.parked))
    words += [word for word, is_so in flags if is_so]
    numbers = (("right", claim.right), ("top", claim.top), ("grant", claim.grant))
    words += [f"{word}={_digits(number, EPOCH_LIMIT)}" for word, number in numbers if number]
    if claim.grant_nonce:
        words.append(f"for={_quote(claim.grant_nonce)}")
    orders = (("fence-me", claim.fence_me), ("want", claim.want))
    words += [f"{word}={_digits(number, EPOCH_LIMIT)}" for word, number in orders if number]
    return " ".join(words)


def _quote(text: str) -> str:
    """One word: bytes outside letters, digits and a few signs as ``%XX``; "-" alone is the empty text."""
    if not text:
        return "-"
    if text == "-":
        return "%2D"
    word = quote_from_bytes(text.encode("utf-8", "surrogateescape"), safe="/:@,+")
    if len(word) > WORD_LIMIT_BYTES:
        raise ValueError(f"{text!r} is too long for a beat: {len(word)} of {WORD_LIMIT_BYTES} bytes")
    return word


def _digits(number: int, limit: int) -> str:
    if not 0 <= number < limit:
        raise ValueError(f"{number} does not fit into a beat, which has room for 0 to {limit - 1}")
    return str(number)


def _sign(body: bytes, key: Secret, key_index: int) -> bytes:
    signed = body + b"auth %d " % key_index
    return signed + _mac(key, signed) + b"\n" + END


def _mac(key: Secret, signed: bytes) -> bytes:
    return hmac.digest(key.reveal(), signed, "sha256").hex().encode("ascii")


# --- reading --------------------------------------------------------------------------------------------


def decode(frame: bytes, keys: Mapping[int, Secret]) -> Beat:
    """The beat in ``frame``, signed with one of ``keys``; FrameError, and nothing else, if it is none."""
    _check_shape(frame)
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
    body = frame[: signature.start() + 1]
    try:
        beat = _parse_body(body)
        if _body(beat) == body:
            return beat
    except ValueError as error:
        reason = f" ({error})"
    else:
        reason = ""
    raise FrameError(
        Fault.MALFORMED,
        f"a rightly signed frame could not be read{reason}: the peer runs another version of failover-kit; "
        "install the same one on both nodes",
    )


def claimed_node(frame: bytes) -> str | None:
    """The node a frame says it is from, believed by nobody: nothing of it was checked. None when it says none."""
    found = _CLAIMED_NODE.match(frame)
    if found is None:
        return None
    try:
        return _unquote(found.group(1).decode("ascii"))
    except ValueError:
        return None


def _check_shape(frame: bytes) -> None:
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
    if not frame.startswith(_FIRST_LINE):
        other = _OTHER_VERSION.match(frame)
        if other is None:
            raise FrameError(Fault.MALFORMED, "a frame with a damaged first line was dropped")
        raise FrameError(
            Fault.VERSION,
            f"a frame of version {int(other.group(1))} was dropped, this node speaks version {VERSION}; "
            "install the same failover-kit on both nodes",
        )
    if not frame.endswith(b"\n" + END):
        raise FrameError(Fault.TRUNCATED, f"a frame without its end was dropped after {len(frame)} bytes")


class _Lines:
    """The words of the lines of a body, taken one by one in their fixed order."""

    def __init__(self, body: bytes) -> None:
        self._lines = body.decode("ascii").split("\n")[1:-1]
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


def _parse_body(body: bytes) -> Beat:
    """ValueError when it cannot be read. Laxness here is caught by the comparison in ``decode``."""
    lines = _Lines(body)
    node = _unquote(lines.need("node", 1)[0])
    boot_id = _unquote(lines.need("boot", 1)[0])
    nonce = _unquote(lines.need("life", 1)[0])
    counter = _number(lines.need("beat", 1)[0])
    echoes: list[tuple[str, int]] = []
    while (words := lines.take("echo")) is not None:
        if len(words) != 2 or len(echoes) == ECHO_LIMIT:
            raise ValueError("an echo too many or without its counter")
        echoes.append((_unquote(words[0]), _number(words[1])))
    said = lines.take("says") or []
    links = lines.take("links")
    conf = lines.take("conf")
    maintenance = lines.take("maintenance")
    reached = lines.take("reached")
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
        links=tuple(sign == "1" for sign in links[0]) if links else (),
        digest=_unquote(conf[0]) if conf else "",
        maintenance=_number(maintenance[0]) if maintenance else 0,
        still="still" in (maintenance or ()),
        reached=_number(reached[0]) if reached else None,
        groups=tuple(groups),
    )


def _parse_group(words: list[str]) -> GroupClaim:
    if len(words) < 2:
        raise ValueError("a group without a state")
    values: dict[str, str] = {}
    for word in words[2:]:
        name, _, value = word.partition("=")
        values[name] = value
    return GroupClaim(
        name=_unquote(words[0]),
        state=GroupState(words[1]),
        held="held" in values,
        failed_here="failed-here" in values,
        parked="parked" in values,
        right=_number(values.get("right", "0")),
        top=_number(values.get("top", "0")),
        grant=_number(values.get("grant", "0")),
        grant_nonce=_unquote(values["for"]) if "for" in values else "",
        fence_me=_number(values.get("fence-me", "0")),
        want=_number(values.get("want", "0")),
    )


def _unquote(word: str) -> str:
    if len(word) > WORD_LIMIT_BYTES or not _WORD.fullmatch(word):
        raise ValueError("a word that is empty, too long or not printable")
    if word == "-":
        return ""
    return unquote_to_bytes(word).decode("utf-8", "surrogateescape")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(COUNTER_LIMIT))):
        raise ValueError("a number that is none")
    return int(text)


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
