"""Passwords from a file, the environment or a terminal; never from the command line, where ps(1) shows them."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping

from failover_kit.fence.secret import Secret
from failover_kit.switch.settings import BadValue

_LENGTH_MAX = 4096


class NotReadable(Exception):
    """A password source is there and must not, or cannot, be read."""


def from_file(option: str, path: str) -> Secret:
    """The first line of a file. Raises BadValue and NotReadable, without what was read."""
    try:
        # A named pipe that nobody writes to would be waited for for ever.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(fd, encoding="utf-8", errors="surrogateescape") as file:
            if os.fstat(fd).st_mode & 0o007:
                raise NotReadable(f"{option} {path}: open to everybody; chmod o= {path}")
            text = file.readline(_LENGTH_MAX).rstrip("\r\n")
    except PermissionError as error:
        raise NotReadable(f"{option} {path}: {error.strerror}") from None
    except OSError as error:
        raise BadValue(f"{option} {path}: {error.strerror}") from None
    return checked(f"{option} {path}", text)


def from_environment(option: str, name: str, environment: Mapping[str, str]) -> Secret:
    if name not in environment:
        raise BadValue(f"{option} {name}: the environment has no such variable")
    return checked(f"{option} {name}", environment[name])


def from_terminal(prompt: str) -> Secret:
    """Typed without echo on the controlling terminal."""
    try:
        return Secret(getpass.getpass(prompt))
    except EOFError:
        return Secret("")


def new_from_terminal() -> Secret:
    """Typed twice. Raises BadValue when the two differ."""
    first = from_terminal("New system password: ")
    if first != from_terminal("Once more: "):
        raise BadValue("--new-password: the two are not alike")
    return first


def checked(source: str, text: str) -> Secret:
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in text):
        raise BadValue(f"{source}: no usable password; one line of printable text is needed")
    return Secret(text)
