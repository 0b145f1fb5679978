"""One action on one device: the order of steps, what counts as done, what is said.

What is stricter than fence_wti (docs/design/0011): off is done only when *all* plugs read OFF, on only
when *all* read ON; a plug missing from the device fails the whole operation before anything is
switched; unknown and busy are asked again, never guessed.
"""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TextIO, TypeVar

from failover_kit.fence import session as io
from failover_kit.fence.config import Config, on_attempts
from failover_kit.fence.log import Log, printable
from failover_kit.fence.screens import GroupRow, PlugMissing, PlugRow, PlugState, resolve
from failover_kit.fence.transport import ConnectionLost, NoAnswer
from failover_kit.spec.deadline import Deadline, DeadlineExpired

EXIT_OK, EXIT_FAILED, EXIT_OFF = 0, 1, 2
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
FIRST_POLL_MS = 100
# A connection that breaks more often than this is no connection.
RECONNECTS = 3

BAD_STATUS = "Failed: Unable to obtain correct plug status or plug is not available"

T = TypeVar("T")


class Failure(Exception):
    """The operation failed; ``str()`` is the line for the administrator."""


class Operation:
    """One action on one device."""

    def __init__(
        self,
        config: Config,
        session: io.DeviceSession,
        deadline: Deadline,
        log: Log,
        *,
        sleep: Callable[[float], None] = time.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._config = config
        self._session = session
        self._deadline = deadline
        self._log = log
        self._sleep = sleep
        self._uniform = uniform
        # The device's plug groups, once it was asked.
        self._groups: tuple[GroupRow, ...] | None = None

    def run(self, out: TextIO) -> int:
        """Log in, do the action, print its result on ``out``, log out. Raises Failure."""
        try:
            self._delay()
            self._session.open()
            return self._act(out)
        except io.LoginFailed as error:
            raise Failure(f"Unable to connect/login to fencing device: {error}") from None
        except ConnectionLost as error:
            raise Failure(f"Connection lost: {error}") from None
        except (NoAnswer, DeadlineExpired) as error:
            raise Failure(f"Connection timed out: {error}") from None
        except (io.CommandRefused, PlugMissing) as error:
            raise Failure(f"{BAD_STATUS}: {error}") from None
        finally:
            self._leave()

    def _leave(self) -> None:
        """Log out, undisturbed: a signal that comes now is heard when it is done (it takes a second at most)."""
        try:
            with _signals_held():
                self._session.close()
        except BaseException:
            # The signal was faster than the line above; the next one is ignored.
            self._session.close()
            raise

    def _delay(self) -> None:
        """Wait before off and reboot: the fixed part, and a part by chance between 0 and delay_random."""
        base_ms, most_ms = self._config.delay_ms, self._config.delay_random_ms
        if self._config.action not in ("off", "reboot") or not base_ms + most_ms:
            return
        random_ms = round(self._uniform(0, most_ms)) if most_ms else 0
        total_ms = base_ms + random_ms
        self._log.info(
            f"delay before {self._config.action}: {base_ms / 1000:g} s + {random_ms / 1000:g} s by chance "
            f"(at most {most_ms / 1000:g} s) = {total_ms / 1000:g} s"
        )
        self._sleep(min(total_ms, self._deadline.left_ms()) / 1000)

    def _act(self, out: TextIO) -> int:
        match self._config.action:
            case "on":
                already = self._on()
                out.write("Success: Already ON\n" if already else "Success: Powered ON\n")
                return EXIT_OK
            case "off":
                already = self._off()
                out.write("Success: Already OFF\n" if already else "Success: Powered OFF\n")
                return EXIT_OK
            case "reboot":
                self._reboot()
                out.write("Success: Rebooted\n")
                return EXIT_OK
            case "status":
                state = self._state()
                out.write(f"Status: {state.value}\n")
                return EXIT_OFF if state is PlugState.OFF else EXIT_OK
            case _:
                self._list(out)
                return EXIT_OK

    def _off(self) -> bool:
        """Switch off and read it back; True when every plug read OFF before.

        OFF is commanded even then: a plug in the pause of somebody's /BOOT reads OFF and would come on.
        """
        rows = self._selected(self._config.shell_timeout_ms)
        already = all(row.state is PlugState.OFF for row in rows)
        self._command(rows, on=False)
        self._wait_for([row.number for row in rows], PlugState.OFF)
        return already

    def _on(self) -> bool:
        rows = self._selected(self._config.shell_timeout_ms)
        if all(row.state is PlugState.ON for row in rows):
            return True
        attempts = on_attempts(self._config.action, self._config.retry_on)
        for attempt in range(1, attempts + 1):
            self._command(rows, on=True)
            try:
                self._wait_for([row.number for row in rows], PlugState.ON)
                break
            except Failure as failure:
                if attempt == attempts:
                    raise
                self._log.warning(f"{failure}; attempt {attempt + 1} of {attempts}")
        return False

    def _reboot(self) -> None:
        """Off, read back, on. Once power was proved off the machine is fenced: on may fail, loudly."""
        self._off()
        try:
            self._on()
        except (
            Failure,
            PlugMissing,
            DeadlineExpired,
            io.LoginFailed,
            ConnectionLost,
            NoAnswer,
            io.CommandRefused,
        ) as error:
            plugs = ",".join(self._config.plugs)
            self._log.error(
                f"plug {plugs} was switched OFF and read back, so the machine is fenced, but power did not "
                f"come back ON: {error}; look at the device, then run this agent with --action=on"
            )

    def _state(self) -> PlugState:
        """ON when any plug is ON (something still has power), OFF when all are OFF."""
        pause_ms = FIRST_POLL_MS
        while True:
            rows = self._selected(self._config.shell_timeout_ms)
            state = _state_of(rows)
            if state is not PlugState.UNKNOWN:
                return state
            if self._deadline.left_ms() <= pause_ms:
                raise Failure(f"{BAD_STATUS}: {_describe(rows)}")
            pause_ms = self._pause(pause_ms, self._deadline)

    def _list(self, out: TextIO) -> None:
        """list, list-status, monitor. A plug given to monitor must be on the device."""
        if self._config.action == "monitor" and self._config.plugs:
            self._selected(self._config.shell_timeout_ms)
            return
        table = self._read(self._config.shell_timeout_ms)
        if self._config.action == "monitor":
            return
        for row in table:
            self._print_row(out, str(row.number), self._clean(row.name), row.state)
        try:
            groups = self._ask_groups()
        except io.CommandRefused as error:
            self._log.debug(f"no plug groups: {error}")
            return
        plug_names = {row.name.casefold() for row in table}
        for group in groups:
            name = self._clean(group.name)
            if name and name.casefold() not in plug_names:
                members = [row for row in table if row.number in group.plugs]
                complete = len(members) == len(set(group.plugs))
                self._print_row(out, name, "", _state_of(members) if complete else PlugState.UNKNOWN)

    def _print_row(self, out: TextIO, first: str, alias: str, state: PlugState) -> None:
        """As fence_wti: small letters, but for UNKNOWN."""
        cells = [first, alias]
        if self._config.action == "list-status":
            cells.append(state.value.lower() if state in (PlugState.ON, PlugState.OFF) else "UNKNOWN")
        out.write(self._config.separator.join(cells) + "\n")

    def _clean(self, name: str) -> str:
        """A name as ``list`` may print it: empty when its reader would cut it into pieces or could not use it."""
        if any(char.isspace() or char in ",;" for char in name) or self._config.separator in name:
            self._log.warning(f"the name '{printable(name)}' cannot be listed; use the plug's number")
            return ""
        return printable(name.lower())

    # Steps.

    def _command(self, rows: Sequence[PlugRow], *, on: bool) -> None:
        for row in rows:
            self._reconnecting(partial(self._switch, row.number, on=on))
        if self._config.power_wait_ms:
            self._sleep(min(self._config.power_wait_ms, self._deadline.left_ms()) / 1000)

    def _switch(self, plug: int, *, on: bool) -> None:
        """Command one plug. When the connection breaks over it, look before saying it again.

        A unit that hangs up after each command would otherwise never get past it.
        """
        try:
            self._session.switch(plug, self._config.power_timeout_ms, on=on)
        except ConnectionLost as error:
            self._log_in_again(error)
            table = self._session.status(self._config.shell_timeout_ms)
            wanted = PlugState.ON if on else PlugState.OFF
            if not any(row.number == plug and row.state is wanted for row in table):
                self._session.switch(plug, self._config.power_timeout_ms, on=on)

    def _wait_for(self, numbers: Sequence[int], state: PlugState) -> None:
        """Read status screens until all ``numbers`` are in ``state``, for power_timeout. Raises Failure."""
        phase = self._deadline.at_most(self._config.power_timeout_ms)
        pause_ms = FIRST_POLL_MS
        while True:
            # A unit busy with its relays may answer late: it gets what is left of the phase.
            rows = self._selected(max(self._config.shell_timeout_ms, phase.left_ms()))
            done = all(row.state is state for row in rows)
            if done and self._groups:
                # Who is in a group is asked once more: it may have been changed meanwhile.
                self._groups = None
                rows = self._selected(self._config.shell_timeout_ms)
                done = all(row.state is state for row in rows)
            if [row.number for row in rows] != list(numbers):
                raise Failure(f"{BAD_STATUS}: the plugs' names changed on the device while it was switching")
            if done:
                return
            if phase.left_ms() <= pause_ms:
                raise Failure(f"Failed: Timed out waiting to power {state.value}: {_describe(rows)}")
            pause_ms = self._pause(pause_ms, phase)

    def _selected(self, answer_ms: int) -> list[PlugRow]:
        """The rows of the plugs that are wanted. Raises PlugMissing when one is not on the device."""
        table = self._read(answer_ms)
        numbers = self._numbers(table)
        return [row for row in table if row.number in numbers]

    def _numbers(self, table: Sequence[PlugRow]) -> tuple[int, ...]:
        """Plug numbers, by number or name; the device's groups are asked for only when a name is no plug."""
        try:
            return resolve(self._config.plugs, table, self._groups or ())
        except PlugMissing as missing:
            if self._groups is not None:
                raise
            try:
                self._groups = self._ask_groups()
            except io.CommandRefused as error:
                raise PlugMissing(f"{missing} (and no plug groups: {error})") from None
        return resolve(self._config.plugs, table, self._groups)

    def _ask_groups(self) -> tuple[GroupRow, ...]:
        """The plug groups. CommandRefused on a unit that does not know the command, as small and old ones."""
        return self._reconnecting(lambda: self._session.groups(self._config.shell_timeout_ms))

    def _read(self, answer_ms: int) -> tuple[PlugRow, ...]:
        return self._reconnecting(lambda: self._session.status(answer_ms))

    def _reconnecting(self, step: Callable[[], T]) -> T:
        """Do a step that may safely be done twice; log in again when the connection broke under it."""
        for attempt in range(RECONNECTS + 1):
            self._deadline.require(f"{self._config.action}")
            try:
                return step()
            except ConnectionLost as error:
                if attempt == RECONNECTS:
                    raise
                # A unit that hangs up again and again gets some air in between.
                self._sleep(min(FIRST_POLL_MS << attempt, self._deadline.left_ms()) / 1000)
                self._log_in_again(error)
        raise AssertionError("not reached")

    def _log_in_again(self, error: ConnectionLost) -> None:
        self._log.warning(f"Connection lost: {error}; logging in again")
        self._session.open()

    def _pause(self, pause_ms: int, until: Deadline) -> int:
        """Sleep, and return the next, longer pause."""
        self._sleep(min(pause_ms, until.left_ms()) / 1000)
        return max(1, min(2 * pause_ms, self._config.status_sleep_ms))


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Hold back the signals that end the program."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _state_of(rows: Sequence[PlugRow]) -> PlugState:
    """ON when any is ON, OFF when all are OFF, else UNKNOWN."""
    states = {row.state for row in rows}
    if PlugState.ON in states:
        return PlugState.ON
    return PlugState.OFF if states == {PlugState.OFF} else PlugState.UNKNOWN


def _describe(rows: Sequence[PlugRow]) -> str:
    return ", ".join(f"plug {row.number} reads {row.state.value}" for row in rows)
