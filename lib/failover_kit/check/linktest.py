"""Every link in both directions, while no failoverd runs: what ``cat`` and ``echo`` did, on all media at once.

Both nodes run it at the same time. Each sends a signed probe on every link twice a second, with a random word of
its own and the words it heard *on that link*. Who hears its own word come back knows that both directions work;
who hears another's word and never its own knows that only one does. A probe is no beat: failoverd takes none for a
sign of life, it drops it as a damaged frame. A beat of failoverd's that comes in here is heard, and not answered.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from failover_kit.manager import wire
from failover_kit.manager.config import AuthKeys
from failover_kit.manager.links_base import Link
from failover_kit.spec.deadline import boottime_ms

PROBE_INTERVAL_MS = 500
"""A probe has about 200 bytes: 210 ms at 9600 baud, less than half of this."""

LAST_PROBES = 4
"""Sent after everything was seen here, so that the other node sees it, too."""

_FIRST = wire.START + b"test\n"
_LAST = b"\n" + wire.END
_PROBE = re.compile(
    rb"=failover-kit test\nnode ([a-z0-9._-]{1,63})\nword ([0-9a-f]{16})\nheard((?: [0-9a-f]{16}){0,4})\n"
    rb"auth ([0-9]{1,2}) ([0-9a-f]{64})\n=end\n"
)


@dataclass(slots=True)
class Tried:
    """What one link carried. ``to_there`` is None as long as nobody can tell."""

    name: str
    to_here: bool = False
    to_there: bool | None = None
    remark: str = ""
    words: list[bytes] = field(default_factory=list)


def encode(node: str, word: bytes, heard: Iterable[bytes], keys: AuthKeys) -> bytes:
    """A probe, signed over all before its digits; its first line keeps it from being taken for a beat."""
    words = b"".join(b" " + other for other in list(heard)[-4:])
    body = _FIRST + b"node %s\nword %s\nheard%s\nauth %d " % (node.encode(), word, words, keys.sign_index)
    return body + _mac(keys, keys.sign_index, body) + _LAST


def decode(frame: bytes, keys: AuthKeys) -> tuple[str, bytes, tuple[bytes, ...]] | None:
    """(node, word, words heard) of a probe that is signed with one of our keys; None for anything else."""
    found = _PROBE.fullmatch(frame)
    if found is None:
        return None
    index = int(found.group(4))
    if index not in keys.keys:
        return None
    if not hmac.compare_digest(_mac(keys, index, frame[: found.start(5)]), found.group(5)):
        return None
    return found.group(1).decode(), found.group(2), tuple(found.group(3).split())


def _mac(keys: AuthKeys, index: int, body: bytes) -> bytes:
    return hmac.new(keys.keys[index].reveal(), body, "sha256").hexdigest().encode()


class LinkTest:
    """One test of the given links, for at most ``limit_ms``; ``run`` once."""

    def __init__(self, node: str, peer: str, keys: AuthKeys, links: Iterable[Link], limit_ms: int) -> None:
        self._node = node
        self._peer = peer
        self._keys = keys
        self._links = tuple(links)
        self._limit_ms = limit_ms
        self._last = LAST_PROBES
        self._word = os.urandom(8).hex().encode()
        self.tried = {link.name: Tried(link.name) for link in self._links}

    async def run(self, now_ms: Callable[[], int] = boottime_ms) -> tuple[Tried, ...]:
        """Send and listen until every link has shown both directions, or the time is over."""
        end_ms = now_ms() + self._limit_ms
        try:
            for link in self._links:
                link.start(self.take)
            while now_ms() < end_ms and not self.round():
                await asyncio.sleep(PROBE_INTERVAL_MS / 1000)
        finally:
            for link in self._links:
                if link.error and not self.tried[link.name].remark:
                    self.tried[link.name].remark = link.error
                link.close()
        return tuple(self.tried.values())

    def round(self) -> bool:
        """One probe on each link. True when all was seen, here and, by a few more probes, on the other node."""
        for link in self._links:
            link.send(encode(self._node, self._word, self.tried[link.name].words, self._keys))
        if all(tried.to_there for tried in self.tried.values()):
            self._last -= 1
        return self._last <= 0

    def take(self, name: str, frame: bytes, source: str = "") -> None:
        """What came in on a link. Never raises."""
        tried = self.tried[name]
        probe = decode(frame, self._keys)
        if probe is None:
            self._other(tried, frame, source)
            return
        node, word, heard = probe
        if node == self._node:
            if word == self._word:
                tried.remark = "what this node sends comes back to it: the cable is looped"
            return
        if node != self._peer:
            tried.remark = f"{node} is heard here, which is no node of this pair"
            return
        tried.to_here = True
        if word not in tried.words:
            tried.words.append(word)
        if self._word in heard:
            tried.to_there = True
        elif tried.to_there is None:
            tried.to_there = False

    def _other(self, tried: Tried, frame: bytes, source: str) -> None:
        """A beat, or a fault that decode() has a sentence for."""
        try:
            beat = wire.decode(frame, self._keys.keys)
        except wire.FrameError as error:
            if not tried.to_here:
                tried.remark = f"{error}{f' (from {source})' if source else ''}"
            return
        if beat.node == self._peer:
            tried.to_here = True
            tried.remark = f"failoverd runs on {self._peer}: it does not answer a test"
