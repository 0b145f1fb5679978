"""What the core asks of the shell. The shell performs a list in order; results come back as events.

Every ``Probe``, ``Start``, ``Stop``, ``Fence``, ``PowerOn``, ``ReadPlugs`` and ``Persist`` is answered
exactly once, within a deadline of the shell's. The core has at most one of probe/start/stop per group,
one Persist, and one of Fence/PowerOn/ReadPlugs in flight.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from failover_kit.manager.records import Beat, NodeRecord


class Level(Enum):
    """How loud a note is."""

    INFO = "info"
    WARNING = "warning"
    ALARM = "alarm"


class ExitCode(Enum):
    """failoverctl's exit codes (docs: failoverctl(8))."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    PERMISSION = 4
    NO_DAEMON = 5
    CONFIGURATION = 6
    TIMED_OUT = 7


@dataclass(frozen=True, slots=True)
class SendBeat:
    """Send on every link. A link that is busy drops it: only the latest beat matters."""

    beat: Beat


@dataclass(frozen=True, slots=True)
class Persist:
    """Make ``record`` durable (write, fsync, rename, fsync the directory), then answer."""

    token: int
    record: NodeRecord


@dataclass(frozen=True, slots=True)
class Probe:
    """Kill leftovers of earlier unfinished actions of the group, wait until they are gone, look."""

    group: str
    op: int


@dataclass(frozen=True, slots=True)
class Start:
    """Start the group's resources left to right, then watch them until the next Stop.

    Before it forks, the shell asks ``core.may_start(group)`` again.
    """

    group: str
    op: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the group's resources right to left, all of them even when one fails, and verify (rule 6).

    Ends the watch of the group first. Processes of earlier actions are killed and waited for.
    """

    group: str
    op: int


@dataclass(frozen=True, slots=True)
class Fence:
    """Cut the peer's power: *off* to all plugs, then read all plugs (rule 8).

    With ``only_if_off`` all plugs are read first, and nothing is switched unless all read OFF.
    """

    op: int
    node: str
    only_if_off: bool = False


@dataclass(frozen=True, slots=True)
class PowerOn:
    """Switch all plugs of the peer on and read them."""

    op: int
    node: str


@dataclass(frozen=True, slots=True)
class CancelPowerOn:
    """Kill the agent of PowerOn ``op``; its PowerOnDone still comes, when it is gone."""

    op: int


@dataclass(frozen=True, slots=True)
class ReadPlugs:
    """Read all plugs of the peer."""

    op: int
    node: str


@dataclass(frozen=True, slots=True)
class Reply:
    """The outcome of Command ``id``."""

    id: int
    code: ExitCode
    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """One sentence for the log and the journal. ``code`` is stable for scripts."""

    level: Level
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class SelfReset:
    """Two active nodes were found and this one has the lower epoch: reset without unmounting (rule 16)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Exit:
    """Shutdown is complete: the daemon may end."""


Action = (
    SendBeat
    | Persist
    | Probe
    | Start
    | Stop
    | Fence
    | PowerOn
    | CancelPowerOn
    | ReadPlugs
    | Reply
    | Note
    | SelfReset
    | Exit
)
