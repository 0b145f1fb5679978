"""The ways in which the emulated switch can be made to misbehave while it runs. Pure.

For single outlets:
``stuck``      the command is accepted, the relay does not move, the status screen keeps telling the truth
``slow``       a relay takes that many seconds before it moves

For the whole device:
``mute``       connections are accepted, nothing is ever said, nothing typed is heard
``refuse``     new connections are refused, as while the console or the modem is in command mode
``garbage``    login and prompts are intact, every reply between them is noise; commands are carried out
``drop``       a switching command is accepted and carried out, and the connection is cut at once
``busy``       a VMR marks every plug with ``*`` beside its state; on the others somebody else has the session
``echo``       what is typed comes back as other characters; it is understood as it was typed
``confirm``    the device asks although ,Y was given
``automated``  automated mode: no passwords, no replies but the prompt
``pager``      long replies stop every few lines until Enter is pressed
``lockout``    after that many rejected passwords, on whatever interface, the network is refused until the
               fault is cleared

No fault makes the screen show a state that the outlet does not have.
"""

from __future__ import annotations

from collections.abc import Iterable

PER_OUTLET = ("stuck", "slow")
WHOLE_DEVICE = (
    "mute", "refuse", "garbage", "drop", "busy", "echo", "confirm", "automated", "pager", "lockout",
)  # fmt: skip
NAMES = PER_OUTLET + WHOLE_DEVICE


class FaultError(Exception):
    """A fault that does not exist or lacks a value; ``str()`` says what to write instead."""


class Faults:
    """The faults in force now. ``rejected``: passwords refused since ``lockout`` was set."""

    def __init__(self) -> None:
        self.stuck: set[int] = set()
        self.slow_ms: dict[int, int] = {}
        self.rejected = 0
        self._lockout_after = 0
        self._whole: set[str] = set()

    def active(self, name: str) -> bool:
        """Whether ``name``, one of WHOLE_DEVICE, is in force."""
        return name in self._whole

    def locked_out(self) -> bool:
        return self.active("lockout") and self.rejected >= self._lockout_after

    def set(
        self, name: str, outlets: Iterable[int] = (), delay_ms: int | None = None, count: int | None = None
    ) -> None:
        """Put ``name`` in force, for ``outlets`` if it is one of PER_OUTLET. Raises FaultError."""
        if name not in NAMES:
            raise FaultError(f"no fault '{name}'; there are {', '.join(NAMES)}")
        if (delay_ms is not None) != (name == "slow"):
            raise FaultError("'slow' needs a number of seconds, the other faults take none")
        if (count is not None) != (name == "lockout"):
            raise FaultError("'lockout' needs a number of rejected passwords, the other faults take none")
        if name in WHOLE_DEVICE:
            self._whole.add(name)
        if name == "stuck":
            self.stuck.update(outlets)
        elif delay_ms is not None:
            self.slow_ms.update(dict.fromkeys(outlets, delay_ms))
        elif count is not None:
            self._lockout_after = count
            self.rejected = 0

    def clear(self, name: str | None = None, outlets: Iterable[int] | None = None) -> None:
        """End ``name``, or every fault; with ``outlets`` only there. Raises FaultError."""
        if name is not None and name not in NAMES:
            raise FaultError(f"no fault '{name}'; there are {', '.join(NAMES)}")
        if name is None:
            self._whole.clear()
        else:
            self._whole.discard(name)
        gone = None if outlets is None else set(outlets)
        if name in (None, "stuck"):
            self.stuck = set() if gone is None else self.stuck - gone
        if name in (None, "slow"):
            kept = {} if gone is None else {k: v for k, v in self.slow_ms.items() if k not in gone}
            self.slow_ms = kept

    def view(self) -> dict[str, object]:
        """What is in force, ready for JSON."""
        found: dict[str, object] = {name: True for name in WHOLE_DEVICE if name in self._whole}
        if self.active("lockout"):
            found["lockout"] = {"after": self._lockout_after, "rejected": self.rejected}
        if self.stuck:
            found["stuck"] = sorted(self.stuck)
        if self.slow_ms:
            found["slow"] = {str(number): ms / 1000 for number, ms in sorted(self.slow_ms.items())}
        return found
