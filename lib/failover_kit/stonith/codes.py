"""Return codes of the stonith interface, and the error that carries one.

The numbers are those of cluster-glue's ``stonith.h``; scripts and Heartbeat test them.
"""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """S_* of stonith.h."""

    OK = 0
    BADCONFIG = 1  # unusable configuration
    ACCESS = 2  # no way into the device: not reachable, or it rejects the password
    INVAL = 3  # a parameter is missing
    BADHOST = 4  # the device does not control this node
    RESETFAIL = 5  # the node is not in the state asked for, or nobody knows
    TIMEOUT = 6  # no answer in time
    ISOFF = 7
    OOPS = 8  # no such device type, or something that should not happen


# What the command exits with when hosts cannot be listed (-1 in cluster-glue).
LIST_FAILED = 255


class StonithError(Exception):
    """An operation failed. ``code`` is the exit code, ``str()`` the lines for the administrator.

    ``shown`` is set once they have been written where the administrator sees them.
    """

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.shown = False
