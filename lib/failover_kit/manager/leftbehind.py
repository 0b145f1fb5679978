"""What a failoverd that has ended left running on this node, for those who must know before they act.

It may end and leave its groups as they are: in maintenance, by a bug, by a kill. Then nobody watches them, and a
package that is removed or a Heartbeat that is started would not know. A record of this boot says which groups were
held; a mark in the run directory, gone with the boot, says it to what can look for a file only
(``heartbeat-failoverd.conf``).
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket

from failover_kit.manager.recordform import RECORD_LIMIT_BYTES, parse_record
from failover_kit.manager.records import NodeRecord
from failover_kit.manager.store import RECORD

MARK = "left"
SOCKET_NAME = "control.sock"
_CONNECT_S = 2.0


class Unreadable(Exception):
    """A record is there that cannot be read: what is held is not known. ``str()`` is a sentence."""


def held(record: NodeRecord | None, boot_id: str) -> list[str]:
    """The groups that may run here by a record; an earlier boot's run nowhere any more."""
    if record is None or record.boot_id != boot_id:
        return []
    return [group.name for group in record.groups if group.held]


def held_by_record(state_dir: str, boot_id: str) -> list[str]:
    """The groups that may run here by the record on the disk. Locks and changes nothing. Unreadable."""
    path = os.path.join(state_dir, "state", RECORD)
    try:
        with open(path, "rb") as file:
            record, _ = parse_record(file.read(RECORD_LIMIT_BYTES + 1))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Unreadable(f"{path} could not be read: {error.strerror}") from None
    except ValueError as error:
        raise Unreadable(f"{path}: {error}") from None
    return held(record, boot_id)


def runs(run_dir: str) -> bool:
    """Whether a failoverd has its control socket open, answering or not. One that was killed has not."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_CONNECT_S)
        try:
            probe.connect(os.path.join(run_dir, SOCKET_NAME))
        except OSError as error:
            return error.errno not in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR)
    return True


def mark(run_dir: str, groups: list[str]) -> None:
    """Leave the mark, one group a line; at an end that stopped everything none is left."""
    if groups:
        path = os.path.join(run_dir, MARK)
        # /run may be full; the record says it, too.
        with contextlib.suppress(OSError), open(path, "w", encoding="utf-8") as file:
            file.write("".join(f"{name}\n" for name in groups))


def marked(run_dir: str) -> list[str]:
    """The groups that the mark names; none without one. Unreadable."""
    path = os.path.join(run_dir, MARK)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().split("\n")[:-1]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Unreadable(f"{path} could not be read: {error.strerror}") from None


def unmark(run_dir: str) -> None:
    """A failoverd runs again, and its socket says so."""
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(run_dir, MARK))
