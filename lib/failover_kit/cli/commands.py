"""The commands as pip installs them (setup.cfg, entry_points): called without arguments, they return exit codes."""

from __future__ import annotations

import sys


def failoverctl() -> int:
    """failoverctl(8)."""
    from failover_kit.cli import failoverctl as command

    return command.main(sys.argv[1:])


def failoverd() -> int:
    """failoverd(8)."""
    import os

    from failover_kit.cli import failoverd as command

    code = command.main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # As bin/failoverd: a thread that hangs over a dead disk must not keep a daemon that has ended.
    os._exit(code)


def fence_wti_ips800() -> int:
    """fence_wti_ips800(8)."""
    from failover_kit.fence import agent

    return agent.main(sys.argv)
