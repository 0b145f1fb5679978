"""heartbeat -s, -k, -r, -V: the command line of Heartbeat's daemon, for failoverd.

Words and codes of Heartbeat 3.0.6: ``-s`` 0 and "heartbeat OK ...", or 3 and "heartbeat is stopped. No process"
(LSB: not running); ``-k`` waits until it is gone. What starts a daemon there says here who starts ours. ``-r``
rereads the configuration there; failoverd reads it at start only, so ``-r`` fails and says what to do instead.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable, Sequence

from failover_kit import VERSION
from failover_kit.manager import client, law, store
from failover_kit.manager.actions import ExitCode
from failover_kit.manager.client import ControlError
from failover_kit.manager.records import NodeRecord

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_STOPPED = 3  # LSB

USAGE = """
Usage: heartbeat [-krsV]
\t-s status
\t-k stop failoverd, and wait until it is gone
\t-r says how to reload
\t-V version
"""
_SO_PEERCRED = "3i"  # struct ucred of unix(7): pid, uid, gid


def main(argv: Sequence[str], path: str = client.DEFAULT_SOCKET) -> int:
    """Do what ``argv`` (without the program's name) asks."""
    if len(argv) == 1 and argv[0] in COMMANDS:
        try:
            return COMMANDS[argv[0]](path)
        except ControlError as error:
            print(f"heartbeat: {error}", file=sys.stderr)
            return error.code.value
        except KeyboardInterrupt:
            print("heartbeat: interrupted; failoverd goes on with what it was asked for", file=sys.stderr)
            return 128 + 2
    if not argv:
        print("heartbeat: failoverd is not started by this; run: systemctl start failoverd", file=sys.stderr)
        return EXIT_FAILED
    sys.stderr.write(USAGE)
    return EXIT_USAGE


def daemon_pid(path: str) -> int:
    """The process that listens on failoverd's socket, 0 when there is none. ControlError when we may not ask."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(client.STATUS_TIMEOUT_MS / 1000)
        try:
            connection.connect(path)
        except PermissionError:
            raise ControlError(ExitCode.PERMISSION, f"no permission for {path}; run it as root") from None
        except (FileNotFoundError, ConnectionRefusedError):
            return 0
        except OSError as error:
            raise ControlError(ExitCode.FAILED, f"cannot talk to failoverd over {path}: {error}") from None
        facts = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(_SO_PEERCRED))
        pid: int = struct.unpack(_SO_PEERCRED, facts)[0]
    return pid


def _report(path: str) -> int:
    pid = daemon_pid(path)
    if not pid:
        print("heartbeat is stopped. No process")
        return EXIT_STOPPED
    node = client.status(path).view.node
    print(f"heartbeat OK [pid {pid} et al] is running on {os.uname().nodename} [{node}]...")
    return 0


def _stop(path: str) -> int:
    """SIGTERM, as systemd sends it: groups are handed over or stopped first, which takes as long as it takes."""
    pid = daemon_pid(path)
    if not pid:
        print("Heartbeat already stopped.")
        return 0
    try:
        process = os.pidfd_open(pid)
    except OSError as error:
        raise ControlError(ExitCode.FAILED, f"failoverd (process {pid}): {error.strerror}") from None
    try:
        # The number may be another process's by now; the descriptor is of whoever still listens.
        if daemon_pid(path) == pid:
            signal.pidfd_send_signal(process, signal.SIGTERM)
        wait = select.poll()
        wait.register(process, select.POLLIN)
        wait.poll()
    except PermissionError:
        raise ControlError(ExitCode.PERMISSION, f"failoverd (process {pid}) may be stopped by root only") from None
    finally:
        os.close(process)
    if daemon_pid(path):
        print("heartbeat: failoverd was started again by somebody; see its log", file=sys.stderr)
        return EXIT_FAILED
    return _judge_end(store.peek())


def _judge_end(record: NodeRecord | None) -> int:
    """Heartbeat's -k is 0 whatever became of the resources. Ours is not, when some of them may still run here."""
    held = [group.name for group in record.groups if group.held] if record is not None else []
    if record is None or not held:
        return 0
    if law.keeps_still(record):
        print(f"heartbeat: maintenance: left as they are: {', '.join(held)}", file=sys.stderr)
        return 0
    print(
        f"heartbeat: failoverd is gone, but not everything was stopped: {', '.join(held)} stays held by this node; "
        "see its log, and start it again",
        file=sys.stderr,
    )
    return EXIT_FAILED


def _reload(path: str) -> int:
    if not daemon_pid(path):
        print("heartbeat: failoverd does not run; run: systemctl start failoverd", file=sys.stderr)
        return EXIT_FAILED
    print(
        "heartbeat: failoverd does not reread its configuration while it runs. Change the files on both nodes, "
        "check them with failoverd --check, then restart it, passive node first: systemctl restart failoverd",
        file=sys.stderr,
    )
    return EXIT_FAILED


def _version(path: str) -> int:  # noqa: ARG001 - asks nobody
    print(f"{VERSION} (failover-kit)")
    return 0


COMMANDS: dict[str, Callable[[str], int]] = {"-s": _report, "-k": _stop, "-r": _reload, "-V": _version}
