"""Where the programs of the tree that is rehearsed are: in a checkout, or below the prefix it is installed under.

``root`` is the checkout, or ``/usr``. Paths below it are relative, because a node sees the tree at two places.
"""

from __future__ import annotations

import os

_INSTALLED = {
    "failoverd": "sbin/failoverd",
    "failoverctl": "sbin/failoverctl",
    "rehearsal": "bin/failover-rehearsal",
    "wti-emulator": "bin/wti-emulator",
}


def is_checkout(root: str) -> bool:
    """Whether ``root`` has the library where a checkout has it."""
    return os.path.isdir(os.path.join(root, "lib", "failover_kit"))


def program(root: str, name: str) -> str:
    """The path of one of our programs. KeyError: the rehearsal does not use it."""
    return os.path.join(root, f"bin/{name}" if is_checkout(root) else _INSTALLED[name])


def agents(root: str) -> str:
    """The folder of the resource agents, below ``root``; ``witness`` knows the same two."""
    return "ocf" if is_checkout(root) else "lib/ocf/resource.d/failover-kit"
