"""Take parameter values out of this process's own command line, as ``ps`` shows it.

``-p`` and name=value are how the command has always been given a password. The kernel shows
/proc/PID/cmdline out of the process's memory (proc(5), arg_start), so the values can be overwritten there. It is a
courtesy, not protection: until the interpreter has started, and in the shell's history, they stand in clear.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from failover_kit.stonith.arguments import OPTIONS

# -p, or -p behind letters that take no value: -lp VALUE, -lpVALUE.
_FLAGS = "".join(option.name for option in OPTIONS if len(option.name) == 1 and not option.value)
_P_IN_CLUSTER = re.compile(f"-[{_FLAGS}]*p")
# arg_start is field 48 of /proc/self/stat (proc(5)); after the command's closing bracket comes field 3.
_ARG_START = 48 - 3


def hide_arguments(arguments: Sequence[str]) -> None:
    """Overwrite the values of ``-p`` and ``name=value`` among ``arguments`` with ``*``; best effort.

    ``arguments`` are those after the program's name; the interpreter's own stand before them.
    """
    if not any(_secret_bytes(before, argument) for before, argument in _with_option(arguments)):
        return
    try:
        with open("/proc/self/stat", "rb") as file:
            start = int(file.read().rpartition(b")")[2].split()[_ARG_START])
        with open("/proc/self/cmdline", "rb") as file:
            line = file.read()
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            for place, length in secret_places(line, arguments):
                memory.seek(start + place)
                memory.write(b"*" * length)
    except (OSError, ValueError, IndexError, OverflowError):
        return


def secret_places(line: bytes, arguments: Sequence[str]) -> list[tuple[int, int]]:
    """Offset and length in bytes of each value to hide in ``line``, the contents of /proc/PID/cmdline."""
    tail = b"".join(argument.encode("utf-8", "surrogateescape") + b"\0" for argument in arguments)
    if not line.endswith(tail):
        return []
    places = []
    offset = len(line) - len(tail)
    for before, argument in _with_option(arguments):
        offset += len(argument.encode("utf-8", "surrogateescape"))
        length = _secret_bytes(before, argument)
        if length:
            places.append((offset - length, length))
        offset += 1
    return places


def _with_option(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Each argument behind the one before it."""
    return list(zip(["", *arguments], arguments, strict=False))


def _secret_bytes(before: str, argument: str) -> int:
    """How many bytes at the end of an argument to overwrite."""
    cluster = _P_IN_CLUSTER.match(argument)
    if _P_IN_CLUSTER.fullmatch(before):
        secret = argument
    elif cluster:
        secret = argument[cluster.end() :]
    elif not argument.startswith("-") and "=" in argument:
        secret = argument.partition("=")[2]
    else:
        secret = ""
    return len(secret.encode("utf-8", "surrogateescape"))
