"""What the command and the plugins have in common as programs: standard streams, signals, last words."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from failover_kit.stonith.child import STOPS
from failover_kit.stonith.codes import Code


class Terminated(BaseException):
    """We are told to stop. A BaseException, so that nothing on the way to the children's end swallows it."""


def run_program(work: Callable[[], int], complain: Callable[[str], None]) -> int:
    """Do ``work`` and return its exit code; Code.OOPS with one line to ``complain`` when it cannot be finished."""
    before = {number: signal.signal(number, _terminate) for number in STOPS}
    try:
        code = work()
        sys.stdout.flush()
        return code
    except Terminated:
        complain("stopped by a signal before the outcome was known")
    except OSError as error:
        # Let the interpreter's own flush at exit find nothing to do.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(error, BrokenPipeError):  # which says only that nobody reads the list
            complain(f"{error.filename or 'standard output'}: {error.strerror}; the outcome is not known")
    except Exception as error:
        # Without its text: that could quote a secret.
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
        complain(f"{type(error).__name__} at {place}; this is a bug, please report it")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return Code.OOPS


def open_missing_streams() -> None:
    """Open /dev/null in place of standard streams that our caller has closed.

    Their numbers would go to the first files we open, and print() would fail after a node was switched.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is fd
            os.set_inheritable(fd, True)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def _terminate(_signal: int, _frame: object) -> NoReturn:
    # Once is enough: the children's way out must not be cut short by a second signal.
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    raise Terminated
