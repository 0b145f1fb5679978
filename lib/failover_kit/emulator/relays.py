"""The relays behind the outlets: what is on, what is being switched, in which order. Pure.

A relay takes time: ``Switch`` goes out, the world answers through ``switched``, and only then does the
outlet show its new state. One relay moves at a time. Jobs are carried out in the order they came, also
when the session that asked for them is gone.

Delays follow the IPS user's guides, section 5.3.3.2: on and off pause for the plug's delay before the
next plug; boot switches every plug off, then, plug by plug, waits its delay, switches it on and waits
its delay again before it goes on to the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from failover_kit.emulator.faults import Faults

DEFAULT_DELAY_MS = 500
QUEUE_LIMIT = 1000  # steps; a boot of all sixteen plugs has 63


@dataclass
class Outlet:
    """One plug of the device. ``on`` is the truth: the state of the relay.

    ``default_on``: what it becomes when the device gets power. ``priority`` is kept and shown, nothing more.
    """

    number: int
    name: str = ""
    on: bool = True
    delay_ms: int = DEFAULT_DELAY_MS
    default_on: bool = True
    password: str = field(default="", repr=False)
    priority: int = 1


@dataclass(frozen=True)
class Switch:
    """Effect: move this relay now, then call ``switched``."""

    number: int
    on: bool


@dataclass(frozen=True)
class Finished:
    """Effect: everything this job asked for has been tried."""

    job: int


@dataclass(frozen=True)
class Event:
    """Effect: something for the event log. Never carries a password."""

    name: str
    fields: dict[str, object]


@dataclass(frozen=True)
class Operate:
    """Step: bring a relay into a position. ``waited``: the fault ``slow`` has been paid for."""

    number: int
    on: bool
    waited: bool = False


@dataclass(frozen=True)
class Pause:
    """Step: let time pass."""

    ms: int


Step = Operate | Pause | Finished
RelayEffect = Switch | Finished | Event


def sequence(verb: str, outlets: Iterable[Outlet]) -> list[Operate | Pause]:
    """The steps of on, off, boot or default for ``outlets`` (section 5.3.3.2)."""
    steps: list[Operate | Pause] = []
    chosen = list(outlets)
    if verb == "boot":
        steps += [Operate(outlet.number, False) for outlet in chosen]
        for outlet in chosen:
            steps += [Pause(outlet.delay_ms), Operate(outlet.number, True), Pause(outlet.delay_ms)]
    else:
        for outlet in chosen:
            on = outlet.default_on if verb == "default" else verb == "on"
            steps += [Operate(outlet.number, on), Pause(outlet.delay_ms)]
    return steps[:-1]  # nothing follows the last plug


class RelayBank:
    """All outlets of one device and the work queued for them."""

    def __init__(self, outlets: Iterable[Outlet], faults: Faults) -> None:
        self.outlets = {outlet.number: outlet for outlet in outlets}
        self._faults = faults
        self._steps: deque[Step] = deque()
        self._moving: Switch | None = None
        self._pause_until_ms: int | None = None
        self._jobs = 0
        self._effects: list[RelayEffect] = []

    def submit(self, now_ms: int, steps: Iterable[Operate | Pause]) -> int:
        """Queue ``steps`` as one job, begin if nothing else runs, return the job's number."""
        self._jobs += 1
        self._steps.extend(steps)
        self._steps.append(Finished(self._jobs))
        self.handle(now_ms)
        return self._jobs

    def busy(self) -> bool:
        return bool(self._steps) or self._moving is not None

    def full(self) -> bool:
        """Whether no more work is taken: a client could otherwise queue faster than relays move, for ever."""
        return len(self._steps) > QUEUE_LIMIT

    def busy_plugs(self) -> set[int]:
        """The plugs that a command given so far will still move."""
        waiting = {step.number for step in self._steps if isinstance(step, Operate)}
        return waiting if self._moving is None else waiting | {self._moving.number}

    def deadline_ms(self) -> int | None:
        """When ``handle`` must be called again, if time alone can bring the work forward."""
        return self._pause_until_ms

    def handle(self, now_ms: int) -> None:
        """Carry the work as far as it goes without waiting."""
        while self._moving is None and not self._pausing(now_ms) and self._steps:
            step = self._steps.popleft()
            if isinstance(step, Pause):
                self._pause_until_ms = now_ms + step.ms
            elif isinstance(step, Finished):
                self._effects.append(step)
            else:
                self._operate(step)

    def switched(self, now_ms: int, ok: bool) -> None:
        """The relay that was told to move has moved, or (``ok`` False) has not."""
        moving = self._moving
        if moving is None:
            raise RuntimeError("no relay was moving; this is a bug in the caller")
        self._moving = None
        self.outlets[moving.number].on = moving.on if ok else not moving.on
        self._note("switched" if ok else "switch_failed", moving.number, moving.on)
        self.handle(now_ms)

    def take(self) -> list[RelayEffect]:
        """The effects since the last call, in order."""
        effects, self._effects = self._effects, []
        return effects

    def _pausing(self, now_ms: int) -> bool:
        if self._pause_until_ms is None:
            return False
        if now_ms < self._pause_until_ms:
            return True
        self._pause_until_ms = None
        return False

    def _operate(self, step: Operate) -> None:
        number = step.number
        if self.outlets[number].on == step.on:
            return  # the relay is there already; nothing moves, nothing is run
        slow_ms = self._faults.slow_ms.get(number)
        if slow_ms is not None and not step.waited:
            self._steps.appendleft(Operate(number, step.on, waited=True))
            self._steps.appendleft(Pause(slow_ms))
            return
        if number in self._faults.stuck:
            self._note("stuck", number, step.on)
            return
        if step.on:
            # From here on there may be power, however it ends, and an OFF that is not true would pass for a fence.
            self.outlets[number].on = True
        self._moving = Switch(number, step.on)
        self._effects.append(self._moving)

    def _note(self, event: str, number: int, on: bool) -> None:
        outlet = self.outlets[number]
        fields = {"outlet": number, "name": outlet.name, "to": "on" if on else "off"}
        self._effects.append(Event(event, fields))
