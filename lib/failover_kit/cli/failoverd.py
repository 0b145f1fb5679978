"""The command failoverd: options in, ``manager.daemon`` runs, exit code out. Stays in the foreground."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence

from failover_kit import VERSION
from failover_kit.manager import configfiles, daemon, host, hostcheck

EXIT_BUG = 70

RETRY_PAUSE_S = 3
"""Before exit 1 under systemd, which starts it again at once and gives up at five starts in ten seconds
(StartLimitBurst= of failoverd.service): what lacks may come, and no beat was sent."""

# What --help says of each, and what failoverd(8) adds.
EXIT_STATUS = (
    (0, "left in good order", "Told to end, it handed over or stopped its groups first. With --check: all right."),
    (hostcheck.EXIT_FAILED, "cannot run here", "This node lacks something; the reason stands on stderr."),
    (2, "usage", "An option is unknown or lacks its value."),
    (hostcheck.EXIT_SECOND, "a failoverd runs already", "With this state directory, on this node."),
    (hostcheck.EXIT_PERMISSION, "not root", "It mounts, sets addresses and cuts power, so it runs as root."),
    (hostcheck.EXIT_CONFIGURATION, "configuration", "All that is wrong in the files was said, each with its line."),
    (hostcheck.EXIT_LEFT, "something is left", "With --left: one that ended may have left groups running here."),
    (EXIT_BUG, "a bug", "Resources were left as they are; the next failoverd adopts them."),
)


def parser() -> argparse.ArgumentParser:
    """The options; each has a use in a second cluster on one machine, in tests or in an emergency."""
    options = argparse.ArgumentParser(
        prog="failoverd",
        description="Runs the groups of haresources on one of two nodes. Stays in the foreground.",
        epilog=f"Exit codes: {', '.join(f'{code} {brief}' for code, brief, _ in EXIT_STATUS)}.",
    )
    options.add_argument(
        "--config-dir", default=configfiles.CONFIG_DIR, help="ha.cf, haresources, authkeys (%(default)s)"
    )
    options.add_argument(
        "--state-dir", default=hostcheck.STATE_DIR, help="what must survive a reboot (%(default)s)"
    )
    options.add_argument("--run-dir", default=hostcheck.RUN_DIR, help="the control socket (%(default)s)")
    options.add_argument("--node", default="", help="this node's name in ha.cf (uname -n)")
    options.add_argument(
        "--boot-id-file", default=host.BOOT_ID_FILE, help="holds a word that is new at each boot (%(default)s)"
    )
    options.add_argument(
        "--self-reset",
        action="store_true",
        help="let a node that lost a conflict of two active nodes reset itself at once (sysrq b)",
    )
    options.add_argument(
        "--alerts-dir", default="", metavar="DIR", help="executables run for alerts (alerts.d in --config-dir)"
    )
    options.add_argument(
        "--metrics-file", default="", metavar="PATH", help="write Prometheus metrics there every 15 s (none)"
    )
    options.add_argument("--syslog", action="store_true", help="log to syslog, too")
    options.add_argument("--check", action="store_true", help="check configuration and host, start nothing")
    options.add_argument(
        "--left", action="store_true", help="say what a failoverd that ended left running here, start nothing"
    )
    options.add_argument("--foreground", action="store_true", help="the only way it runs; accepted for clarity")
    options.add_argument("--version", action="version", version=f"failoverd {VERSION}")
    return options


def main(argv: Sequence[str], *, sleep: Callable[[float], None] = time.sleep) -> int:
    """Run failoverd with ``argv`` (without the program's name)."""
    given = parser().parse_args(argv)
    options = hostcheck.Options(
        config_dir=given.config_dir,
        state_dir=given.state_dir,
        run_dir=given.run_dir,
        node=given.node,
        boot_id_file=given.boot_id_file,
        self_reset=given.self_reset,
        syslog=given.syslog,
        check_only=given.check,
        left_only=given.left,
        alerts_dir=given.alerts_dir,
        metrics_file=given.metrics_file,
    )
    try:
        code = daemon.run(options, lambda text: print(f"failoverd: {text}", file=sys.stderr))
    except Exception:
        traceback.print_exc()
        print("failoverd: this is a bug in failover-kit; resources were left as they are", file=sys.stderr)
        return EXIT_BUG
    asked = given.check or given.left
    if code == hostcheck.EXIT_FAILED and not asked and "NOTIFY_SOCKET" in os.environ:
        sleep(RETRY_PAUSE_S)
    return code
