"""The other node by another version of failoverd: a reader and a writer of frames of their own, of 1.0 and no more.

Frozen: it shares nothing with ``failover_kit`` and is never adapted to it. What it reads and writes is dialect 1.0
as docs/design/0039 has it, and what it ignores is what a frame of a higher minor may have that it does not know.
"""

from __future__ import annotations

import hashlib
import hmac
import re

KEY = b"WhatAboutTheKey"

_BASE = ("node", "boot", "life", "beat", "echo", "says", "conf")
_GROUP = {"held", "failed-here", "parked", "right", "top", "grant", "for", "fence-me", "want"}


def frame(minor: int, lines: list[str]) -> bytes:
    """A frame of dialect 1.``minor`` made of these lines, signed."""
    head = "\n".join((f"=failover-kit 1.{minor}", *lines)).encode() + b"\nauth 1 "
    return head + hmac.new(KEY, head, hashlib.sha256).hexdigest().encode() + b"\n=end\n"


def read(data: bytes) -> tuple[int, list[str], list[str]]:
    """The minor of the sender, the lines that 1.0 knows, and what it ignores. AssertionError: 1.0 is deaf to it."""
    whole = re.fullmatch(rb"(.*\nauth 1 )([0-9a-f]{64})\n=end\n", data, re.DOTALL)
    assert whole is not None
    head, mac = whole.groups()
    assert hmac.new(KEY, head, hashlib.sha256).hexdigest().encode() == mac
    first, *lines = head.decode("ascii").split("\n")[:-1]
    version = re.fullmatch(r"=failover-kit 1\.(\d{1,3})", first)
    assert version is not None
    minor = int(version[1])
    kept: list[str] = []
    ignored: list[str] = []
    for line in lines:
        key, *words = line.split(" ")
        if key == "group":
            known = [word for word in words[2:] if word.partition("=")[0] in _GROUP]
            assert words[2 : 2 + len(known)] == known, f"an addition stands before what 1.0 knows: {line}"
            ignored += words[2 + len(known) :]
            kept.append(" ".join(("group", *words[:2], *known)))
        elif key in _BASE:
            assert not ignored, f"{line} stands behind an addition"
            kept.append(line)
        else:
            assert not any(text.startswith("group ") for text in kept), f"{line} stands behind a group"
            ignored.append(line)
    assert minor or not ignored, "a frame of 1.0 with something that 1.0 does not have"
    return minor, kept, ignored
