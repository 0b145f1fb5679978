"""From frames to beats: the peer's are passed on, the rest is counted and said at a bounded rate.

On a medium that others share (bcast, mcast) frames of other clusters are everyday life: they are let go with one
note in the log, and are no events for the core. Who a frame is from is known only when its signature is right; the
name that a frame with a wrong one claims decides nothing but how loudly it is refused.

A right signature is not yet a right mind: what no failoverd ever says is refused here as well (``unheard_of``), so
that nothing which the key lets in can outgrow what this node must be able to write or issue (docs/design/0046).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from failover_kit.manager import config, law, wire
from failover_kit.manager.links_base import NOTE_INTERVAL_MS, Limiter
from failover_kit.manager.records import Beat
from failover_kit.spec.deadline import boottime_ms

DIGEST_BYTES = 32
"""More than any digest of the configuration that was ever sent."""

_PLAIN = re.compile(r"[0-9A-Za-z._:+-]*")


def unheard_of(beat: Beat) -> str:
    """"" when a failoverd may have sent that, else what about it none ever says, as a sentence with the remedy.

    A nonce is echoed, so a long one would make our own beats longer than ``wire.max_frame_bytes`` reckoned; an
    epoch near the bound of a frame leaves none to issue above it.
    """
    for what, text, limit in (
        ("boot id", beat.boot_id, wire.BOOT_ID_BYTES),
        ("nonce", beat.nonce, wire.NONCE_BYTES),
        ("digest", beat.digest, DIGEST_BYTES),
    ):
        if len(text) > limit or not _PLAIN.fullmatch(text):
            return _not_ours(f"a {what} of {len(text)} signs", f"{limit} plain ones are the most")
    numbers = [beat.maintenance]
    for claim in beat.groups:
        numbers += [claim.right, claim.top, claim.grant, claim.fence_me]
    if max(numbers) > law.EPOCH_CEILING:
        return _not_ours(f"epoch or order {max(numbers)}", f"{law.EPOCH_CEILING} is the most")
    return ""


def _not_ours(fact: str, bound: str) -> str:
    return (
        f"a rightly signed beat with {fact} was dropped: {bound}, so no failoverd sent it; somebody else has the "
        "key: change authkeys on both nodes"
    )


class FrameReceiver:
    """Checks the signature and the sender's name of what comes in on any link."""

    def __init__(
        self,
        pair: tuple[str, str],
        nonce: str,
        keys: Mapping[int, config.Secret],
        on_beat: Callable[[str, Beat], None],
        *,
        note: Callable[[str], None],
        inform: Callable[[str], None],
        shared: Collection[str] = (),
        now_ms: Callable[[], int] = boottime_ms,
    ) -> None:
        """``pair`` is this node and its peer, ``nonce`` this life, ``shared`` the links that others hear, too.

        ``on_beat(link, beat)`` gets the peer's authentic beats in order; ``note`` a sentence about something
        wrong, ``inform`` about something that is merely so.
        """
        self._node, self._peer = pair
        self._nonce = nonce
        self._reader = wire.Reader(keys)
        self._on_beat = on_beat
        self._limiter = Limiter(note, now_ms)
        self._inform = inform
        self._shared = frozenset(shared)
        self._now_ms = now_ms
        self._heard_ms: dict[str, int] = {}  # by link: the peer's last beat
        self._informed: set[str] = set()
        self.refused: dict[str, int] = {}  # by link, since the start; for status
        self.foreign: dict[str, int] = {}  # by link: frames of others on a shared medium

    def take(self, link: str, frame: bytes, source: str = "") -> None:
        """One frame, or what looked like one, that came in on ``link``. Never raises."""
        origin = f" (from {source})" if source else ""
        try:
            beat = self._reader.decode(frame)
        except wire.FrameError as error:
            if self._is_foreign(link, wire.claimed_node(frame)):
                self._let_go(link, origin)
            else:
                self._refuse(link, error.fault.value, f"{error}{origin}")
            return
        if beat.node == self._peer:
            why_not = unheard_of(beat)
            if why_not:
                self._refuse(link, "unheard-of", f"{why_not}{origin}")
                return
            self._heard_ms[link] = self._now_ms()
            self._on_beat(link, beat)
        elif beat.node == self._node:
            self._own(link, beat, source)
        elif link in self._shared:
            self._let_go(link, origin)
        else:
            text = f"a beat of {beat.node}, no node of this pair, came in{origin} with our key; correct ha.cf there"
            self._refuse(link, "stranger", text)

    def _is_foreign(self, link: str, claimed: str | None) -> bool:
        """Whether a refused frame is another cluster's: none of our names, or the peer is heard there rightly."""
        if link not in self._shared:
            return False
        heard_ms = self._heard_ms.get(link)
        if heard_ms is not None and self._now_ms() - heard_ms < NOTE_INTERVAL_MS:
            return True
        return claimed is not None and claimed not in (self._peer, self._node)

    def _own(self, link: str, beat: Beat, source: str) -> None:
        """A beat in this node's own name: on a shared medium it may be just that."""
        if link not in self._shared:
            origin = f" from {source}" if source else ": the cable is looped"
            self._refuse(link, "own", f"a beat of this node itself came in{origin}, or both nodes have one name")
        elif beat.nonce != self._nonce:
            origin = f" from {source}" if source else ""
            text = f"a beat of another machine named {self._node} came in{origin}; each needs a name of its own"
            self._refuse(link, "own", text)

    def _let_go(self, link: str, origin: str) -> None:
        self.foreign[link] = self.foreign.get(link, 0) + 1
        if link not in self._informed:
            self._informed.add(link)
            self._inform(
                f"{link}: another cluster's frames come in{origin} and are let go (said once); a port or a group "
                "of its own for each cluster keeps them apart"
            )

    def _refuse(self, link: str, kind: str, text: str) -> None:
        self.refused[link] = self.refused.get(link, 0) + 1
        self._limiter.note(link, kind, text)
