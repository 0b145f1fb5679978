"""What we answer before a device's first prompt: the user name once, the password once, and no more. Pure.

Newer units lock out after a few rejected passwords, for telnet, ssh and web together (NPS/VMR manual), so
being asked again means that we are rejected, and nothing is said a second time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from failover_kit.fence import prompts as say
from failover_kit.fence.secret import Secret

# Menus on the console are three deep at most (NPS manual, 4); as many again for a stale entry in each.
LEFTOVER_LIMIT = 6


class Kind(Enum):
    SAY = auto()
    PASSWORD = auto()
    ESCAPE = auto()
    DENY = auto()


@dataclass(frozen=True, slots=True)
class Reply:
    """What to do about a text: ``text`` is what to say, or why we are not let in."""

    kind: Kind
    text: str = ""


class Login:
    """One login. ``wake``: on a console that may show what somebody left there."""

    def __init__(self, username: str, password: Secret | None, *, wake: bool) -> None:
        self._username = username
        self._password = password
        self._wake = wake
        self._user_sent = False
        self._leftovers = 0
        self.password_sent = False

    def reply(self, line: str) -> Reply | None:
        """The reply to ``line``, as far as it has come; None while it asks for nothing."""
        if say.asks_password(line, plain=self._wake):
            return self._to_password()
        if say.asks_user(line):
            return self._to_user()
        return self._to_leftovers(line) if self._wake else None

    def _to_user(self) -> Reply:
        if self._user_sent or self.password_sent:
            return Reply(Kind.DENY, "the device asks for the user name a second time")
        if not self._username:
            return Reply(Kind.DENY, "the device asks for a user name; give username=")
        self._user_sent = True
        return Reply(Kind.SAY, self._username)

    def _to_password(self) -> Reply:
        if self.password_sent:
            return Reply(Kind.DENY, "the device asks for the password a second time")
        if not self._password:
            return Reply(
                Kind.DENY, "the device asks for a password; give password=, password_file= or password_script="
            )
        self.password_sent = True
        return Reply(Kind.PASSWORD)

    def _to_leftovers(self, line: str) -> Reply | None:
        """Somebody left the console in a question or in a menu: no, and out of it.

        ESC is the menus' own way out ("Enter Selection or <ESC> to Exit", NPS manual); Enter would choose.
        """
        if self._leftovers >= LEFTOVER_LIMIT:
            return None
        if say.is_question(line):
            self._leftovers += 1
            return Reply(Kind.SAY, "N")
        if say.is_menu(line):
            self._leftovers += 1
            return Reply(Kind.ESCAPE)
        return None
