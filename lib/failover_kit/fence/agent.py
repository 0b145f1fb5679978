"""The fence agent for WTI switches as a program: options in, one operation, an exit code out.

Exit codes and messages are fence_wti's: 0 done, 1 failed; for ``status`` 0 means ON, 2 OFF, 1 neither
is known. Results go to stdout, reasons to stderr, syslog and the debug file.
"""

from __future__ import annotations

import io
import os
import select
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn, TextIO

from failover_kit import VERSION
from failover_kit.fence.config import DESCRIBES, Config, check
from failover_kit.fence.log import Log
from failover_kit.fence.operation import ENDING_SIGNALS, EXIT_FAILED, EXIT_OK, Failure, Operation
from failover_kit.fence.options import RawOptions, UsageError, read_argv, read_stdin
from failover_kit.fence.secret import forbid_core_dumps
from failover_kit.spec.deadline import Deadline

STDIN_WAIT_MS = 30_000
STDIN_LIMIT_BYTES = 1 << 20
# Nothing is known to need it; who is still there then does not come back by himself.
OVERTIME_S = 2


class Terminated(BaseException):
    """A signal came: the caller gave up. A BaseException, so that nothing on the way swallows it."""


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
            # Some editors put a byte order mark before the first option.
            return data.decode("utf-8", "surrogateescape").removeprefix("\ufeff").split("\n")
        data += chunk
    raise UsageError("Parse error: standard input is too long")


def run_agent(agent: str, argv: Sequence[str], stdin_fd: int, out: TextIO, log: Log) -> int:
    """Read the options, do the action, return the exit code."""
    try:
        raw = read_argv(argv) if argv else read_stdin(read_all_stdin(stdin_fd))
        if raw.flag("help") or raw.flag("version"):
            from failover_kit.fence.metadata import help_text

            out.write(help_text(agent) if raw.flag("help") else f"{agent} {VERSION}\n")
            return EXIT_OK
        config = check(raw)
    except UsageError as error:
        log.error(f"{error}\nPlease use '-h' for usage")
        return EXIT_FAILED
    try:
        log.configure(quiet=config.quiet, verbose=config.verbose, debug_file=config.debug_file)
    except OSError as error:
        log.error(f"Failed: Unable to create file {config.debug_file}: {error.strerror}")
        return EXIT_FAILED
    return _run_checked(agent, config, raw, out, log)


def _run_checked(agent: str, config: Config, raw: RawOptions, out: TextIO, log: Log) -> int:
    for warning in raw.warnings:
        log.warning(warning)
    if config.action in DESCRIBES:
        from failover_kit.fence.metadata import metadata_xml

        # fence_wti's manpage is this XML, too; the distribution's transforms make the page of it.
        out.write(metadata_xml(agent))
        return EXIT_OK
    if config.action == "validate-all":
        from failover_kit.fence.validate import host_problems

        problems = host_problems(config, os.environ)
        for problem in problems:
            log.error(problem)
        return EXIT_FAILED if problems else EXIT_OK
    return _operate(config, out, log)


def _operate(config: Config, out: TextIO, log: Log) -> int:
    from failover_kit.fence.devices import goodbye_ms, make_session
    from failover_kit.fence.passwords import PasswordError, load_password

    if config.identity_file and not os.path.isfile(config.identity_file):
        log.error(f"Failed: Identity file {config.identity_file} does not exist")
        return EXIT_FAILED
    _watch(config.timeout_ms)
    deadline = Deadline(config.timeout_ms - goodbye_ms(config))
    try:
        password = load_password(config, deadline, os.environ)
        return Operation(config, make_session(config, password, deadline, log), deadline, log).run(out)
    except PasswordError as error:
        log.error(f"Failed: {error}")
    except Failure as failure:
        log.error(str(failure))
    return EXIT_FAILED


def _terminate(_signal: int, _frame: object) -> NoReturn:
    # Once is enough: the way out must not be cut short by a second signal.
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise Terminated


def _have_standard_streams() -> None:
    """Nothing else may become descriptor 0, 1 or 2: what is meant for stderr would go to the device."""
    fd = 0
    while fd <= 2:
        fd = os.open(os.devnull, os.O_RDWR)
    os.close(fd)


def _put_out(stream: TextIO, text: str) -> OSError | None:
    """Write ``text`` and what is left in ``stream``; None when it worked.

    What nobody takes (a reader that is gone, a full disk) is thrown away: the interpreter would try once more
    at its end, and end with 120 instead of our exit code.
    """
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None


def _watch(timeout_ms: int) -> None:
    """End the process soon after its time, wherever it hangs: in a write nobody reads, in a call of the system."""

    def give_up(_signal: int, _frame: object) -> NoReturn:
        os._exit(EXIT_FAILED)

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, timeout_ms / 1000 + OVERTIME_S)


def main(argv: Sequence[str]) -> int:
    """The program; ``argv[0]`` gives its name (fence_wti_ips800, or fence_wti through a link)."""
    agent = os.path.basename(argv[0]) or "fence_wti_ips800"
    forbid_core_dumps()
    _have_standard_streams()
    # Python's own streams are None where a descriptor was closed at the start; the exit code still tells.
    nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for as long as the program runs
    log = Log(agent, stderr=sys.stderr or nowhere)
    for number in ENDING_SIGNALS:
        signal.signal(number, _terminate)
    try:
        out = io.StringIO()
        code = run_agent(agent, argv[1:], 0, out, log)
        if sys.stdout is None or (trouble := _put_out(sys.stdout, out.getvalue())) is None:
            return code
        log.error(f"Failed: the result cannot be written to standard output: {trouble.strerror}")
    except Terminated:
        log.error("Failed: stopped by a signal before the operation was finished")
    except Exception as error:
        # Without its text: that could quote a secret.
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
        log.error(f"Failed: {type(error).__name__} at {place}; this is a bug, please report it")
    finally:
        log.close()
        if sys.stderr is not None:
            _put_out(sys.stderr, "")
    return EXIT_FAILED
