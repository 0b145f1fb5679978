"""The fence agent for WTI switches: what each action does, says and exits with.

Exit codes and messages are fence_wti's: 0 done, 1 failed; for ``status`` 0 means ON, 2 OFF, 1 neither
is known. Results go to stdout, reasons to stderr, syslog and the debug file.

What is stricter than fence_wti (docs/design/0011): off is done only when *all* plugs read OFF, on only
when *all* read ON; a plug missing from the device fails the whole operation before anything is
switched; unknown and busy are asked again, never guessed.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NoReturn, TextIO, TypeVar

from failover_kit import VERSION
from failover_kit.fence import session as io
from failover_kit.fence.log import Log, printable
from failover_kit.fence.metadata import help_text, metadata_xml
from failover_kit.fence.options import (
    Config,
    RawOptions,
    UsageError,
    check,
    on_attempts,
    read_argv,
    read_stdin,
)
from failover_kit.fence.screens import PlugMissing, PlugRow, PlugState, resolve
from failover_kit.fence.secret import Secret
from failover_kit.fence.wti import Dialogue
from failover_kit.spec.deadline import Deadline, DeadlineExpired
from failover_kit.spec.process import CommandMissing, CommandTimeout
from failover_kit.spec.process import run as run_command

EXIT_OK, EXIT_FAILED, EXIT_OFF = 0, 1, 2
STDIN_WAIT_MS = 30_000
STDIN_LIMIT_BYTES = 1 << 20
FIRST_POLL_MS = 100
# A connection that breaks more often than this is no connection.
RECONNECTS = 3

BAD_STATUS = "Failed: Unable to obtain correct plug status or plug is not available"

T = TypeVar("T")


class Failure(Exception):
    """The operation failed; ``str()`` is the line for the administrator."""


class Terminated(BaseException):
    """SIGTERM came: the caller gave up. A BaseException, so that nothing on the way swallows it."""


class Operation:
    """One action on one device."""

    def __init__(
        self,
        config: Config,
        session: io.Session,
        deadline: Deadline,
        log: Log,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config = config
        self._session = session
        self._deadline = deadline
        self._log = log
        self._sleep = sleep

    def run(self, out: TextIO) -> int:
        """Log in, do the action, print its result on ``out``, log out. Raises Failure."""
        try:
            if self._config.action in ("off", "reboot") and self._config.delay_ms:
                self._sleep(min(self._config.delay_ms, self._deadline.left_ms()) / 1000)
            self._session.open()
            return self._act(out)
        except io.LoginFailed as error:
            raise Failure(f"Unable to connect/login to fencing device: {error}") from None
        except io.ConnectionLost as error:
            raise Failure(f"Connection lost: {error}") from None
        except (io.NoAnswer, DeadlineExpired) as error:
            raise Failure(f"Connection timed out: {error}") from None
        except (io.CommandRefused, PlugMissing) as error:
            raise Failure(f"{BAD_STATUS}: {error}") from None
        finally:
            self._session.close()

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
            io.ConnectionLost,
            io.NoAnswer,
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
            states = {row.state for row in rows}
            if PlugState.ON in states:
                return PlugState.ON
            if states == {PlugState.OFF}:
                return PlugState.OFF
            if self._deadline.left_ms() <= pause_ms:
                raise Failure(f"{BAD_STATUS}: {_describe(rows)}")
            pause_ms = self._pause(pause_ms, self._deadline)

    def _list(self, out: TextIO) -> None:
        """list, list-status, monitor. A plug given to monitor must be on the device."""
        table = self._read(self._config.shell_timeout_ms)
        if self._config.action == "monitor":
            if self._config.plugs:
                resolve(self._config.plugs, table)
            return
        for row in table:
            cells = [str(row.number), printable(row.name)]
            if self._config.action == "list-status":
                cells.append(row.state.value if row.state in (PlugState.ON, PlugState.OFF) else "UNKNOWN")
            out.write(self._config.separator.join(cells) + "\n")

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
        except io.ConnectionLost as error:
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
            if [row.number for row in rows] != list(numbers):
                raise Failure(f"{BAD_STATUS}: the plugs' names changed on the device while it was switching")
            if all(row.state is state for row in rows):
                return
            if phase.left_ms() <= pause_ms:
                raise Failure(f"Failed: Timed out waiting to power {state.value}: {_describe(rows)}")
            pause_ms = self._pause(pause_ms, phase)

    def _selected(self, answer_ms: int) -> list[PlugRow]:
        table = self._read(answer_ms)
        numbers = resolve(self._config.plugs, table)
        return [row for row in table if row.number in numbers]

    def _read(self, answer_ms: int) -> tuple[PlugRow, ...]:
        return self._reconnecting(lambda: self._session.status(answer_ms))

    def _reconnecting(self, step: Callable[[], T]) -> T:
        """Do a step that may safely be done twice; log in again when the connection broke under it."""
        for attempt in range(RECONNECTS + 1):
            self._deadline.require(f"{self._config.action}")
            try:
                return step()
            except io.ConnectionLost as error:
                if attempt == RECONNECTS:
                    raise
                self._log_in_again(error)
        raise AssertionError("not reached")

    def _log_in_again(self, error: io.ConnectionLost) -> None:
        self._log.warning(f"Connection lost: {error}; logging in again")
        self._session.open()

    def _pause(self, pause_ms: int, until: Deadline) -> int:
        """Sleep, and return the next, longer pause."""
        self._sleep(min(pause_ms, until.left_ms()) / 1000)
        return max(1, min(2 * pause_ms, self._config.status_sleep_ms))


def _describe(rows: Sequence[PlugRow]) -> str:
    return ", ".join(f"plug {row.number} reads {row.state.value}" for row in rows)


def load_password(config: Config, deadline: Deadline) -> Secret:
    """The password from script, file or option, in this order (fence_wti lets the script win, too)."""
    if config.password_script:
        return _checked(_from_script(config.password_script, deadline), "password script")
    if config.password_file:
        return _checked(_from_file(config.password_file), f"password file {config.password_file}")
    return config.password


def _checked(text: str, source: str) -> Secret:
    if not text or any(ord(char) < 32 for char in text):
        raise Failure(f"Failed: the {source} gives no usable password; one line of printable text is needed")
    return Secret(text)


def _from_script(script: str, deadline: Deadline) -> str:
    """Run it without a shell. Its output is never quoted: it may be the password."""
    import shlex

    try:
        result = run_command(shlex.split(script), deadline, env={"HOME": os.environ.get("HOME", "/")})
    except (CommandMissing, CommandTimeout, ValueError, IndexError) as error:
        raise Failure(f"Failed: the password script did not run: {type(error).__name__}") from None
    if not result.ok():
        raise Failure(f"Failed: the password script exited {result.code}")
    return result.stdout.rstrip()


def _from_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            if os.fstat(file.fileno()).st_mode & 0o007:
                raise Failure(f"Failed: password file {path} is open to everybody; chmod o= {path}")
            return file.readline(4096).rstrip("\r\n")
    except OSError as error:
        raise Failure(f"Failed: password file {path}: {error.strerror}") from None


def read_all_stdin(fd: int) -> list[str]:
    """What stands on standard input, waiting for its end no longer than STDIN_WAIT_MS."""
    deadline = Deadline(STDIN_WAIT_MS)
    data = bytearray()
    while len(data) < STDIN_LIMIT_BYTES:
        try:
            ready, _, _ = select.select([fd], [], [], deadline.left_s())
            chunk = os.read(fd, 65536) if ready else b""
        except OSError as error:
            raise UsageError(f"Parse error: standard input: {error.strerror}") from None
        if not ready:
            raise UsageError("Parse error: standard input does not end")
        if not chunk:
            # Not splitlines(): it would also cut a password at U+0085 and the like.
            return data.decode("utf-8", "surrogateescape").split("\n")
        data += chunk
    raise UsageError("Parse error: standard input is too long")


def make_operation(config: Config, log: Log) -> Operation:
    """An operation over TCP. The time for logging out is taken from the total at the start."""
    goodbye_ms = min(io.GOODBYE_MS, config.timeout_ms // 4)
    deadline = Deadline(config.timeout_ms - goodbye_ms)
    password = load_password(config, deadline)
    # A refused connection may be a taken session. Fencing waits for it as long as it can; who only
    # asks wants to know soon.
    switches = config.action in ("on", "off", "reboot")
    session = io.Session(
        lambda until: io.connect_tcp(config.ip, config.ipport, config.family, until),
        lambda: Dialogue(username=config.username, password=password),
        deadline,
        connect_ms=config.timeout_ms if switches else config.login_timeout_ms // 2,
        login_ms=config.login_timeout_ms,
        goodbye_ms=goodbye_ms,
        debug=log.debug,
    )
    return Operation(config, session, deadline, log)


def run_agent(agent: str, argv: Sequence[str], stdin_fd: int, out: TextIO, log: Log) -> int:
    """Read the options, do the action, return the exit code."""
    try:
        raw = read_argv(argv) if argv else read_stdin(read_all_stdin(stdin_fd))
        if raw.flag("help") or raw.flag("version"):
            out.write(help_text(agent) if raw.flag("help") else f"{agent} {VERSION}\n")
            return EXIT_OK
        config = check(raw)
    except UsageError as error:
        log.error(f"{error}\nPlease use '-h' for usage")
        return EXIT_FAILED
    try:
        return _run_checked(agent, config, raw, out, log)
    except Failure as failure:
        log.error(str(failure))
        return EXIT_FAILED


def _run_checked(agent: str, config: Config, raw: RawOptions, out: TextIO, log: Log) -> int:
    try:
        log.configure(quiet=config.quiet, verbose=config.verbose, debug_file=config.debug_file)
    except OSError as error:
        raise Failure(f"Failed: Unable to create file {config.debug_file}: {error.strerror}") from None
    for warning in raw.warnings:
        log.warning(warning)
    if config.action == "metadata":
        out.write(metadata_xml(agent))
        return EXIT_OK
    if config.action == "validate-all":
        if config.password_file and not config.password_script:
            _checked(_from_file(config.password_file), f"password file {config.password_file}")
        return EXIT_OK
    return make_operation(config, log).run(out)


def _terminate(_signal: int, _frame: object) -> NoReturn:
    # Once is enough: the way out must not be cut short by a second signal.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


def main(argv: Sequence[str]) -> int:
    """The program; ``argv[0]`` gives its name (fence_wti_ips800, or fence_wti through a link)."""
    agent = os.path.basename(argv[0]) or "fence_wti_ips800"
    log = Log(agent)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = run_agent(agent, argv[1:], 0, sys.stdout, log)
        sys.stdout.flush()
        return code
    except (Terminated, KeyboardInterrupt):
        log.error("Failed: stopped by a signal before the operation was finished")
    except BrokenPipeError:
        # Nobody reads the result; let the interpreter's own flush at exit find nothing to do.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except Exception as error:
        # Without its text: that could quote a secret.
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
        log.error(f"Failed: {type(error).__name__} at {place}; this is a bug, please report it")
    finally:
        log.close()
    return EXIT_FAILED
