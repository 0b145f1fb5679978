"""Filesystem: a shared disk (XFS, ext4), what a server has, or a bind mount. What it may be told, and monitor.

Each kind of source answers the same questions (filesystem_seen.Source) in a module of its own; start,
stop and the rest are the same for all and have modules of their own, too: a monitor imports none of them.
"""

from failover_kit.agents.filesystem_seen import describe_state, sickness, source_of
from failover_kit.agents.filesystem_source import (
    FSTYPES,
    check_device,
    check_force,
    check_prefix,
    check_signals,
    consistency,
)
from failover_kit.ocf import codes
from failover_kit.ocf.agent import Agent
from failover_kit.ocf.codes import failed
from failover_kit.spec.parameter import Action, Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from failover_kit.ocf.agent import Call


def monitor(call: "Call") -> int:
    """Depth 0 reads kernel tables; 10 reads the device or asks the server; 20 writes and reads a file."""
    source = source_of(call)
    seen = source.observe()
    problem = describe_state(seen, source.device)
    if not problem and seen.mount is None:
        problem = source.remains(seen)
        if not problem:
            return codes.NOT_RUNNING
    elif not problem and seen.mount is not None:
        problem = source.ailment(seen) or sickness(seen.mount, call.values.text("options"), seen.table)
    if problem:
        raise failed(problem)
    if call.level >= 10 and seen.mount is not None:
        from failover_kit.agents import filesystem_probe

        filesystem_probe.read(call, seen.mount)
        if call.level >= 20:
            filesystem_probe.use_status_file(call, seen.mount)
    return codes.SUCCESS


def start(call: "Call") -> int:
    from failover_kit.agents.filesystem_start import start

    return start(call)


def stop(call: "Call") -> int:
    from failover_kit.agents.filesystem_stop import stop

    return stop(call)


def reload(call: "Call") -> int:
    from failover_kit.agents.filesystem_reload import reload

    return reload(call)


def validate(call: "Call") -> int:
    from failover_kit.agents.filesystem_start import validate

    return validate(call)


def _setting(name: str, shortdesc: str, default: str, **more: "Any") -> Parameter:
    """A parameter that each action reads as it comes."""
    return Parameter(name, shortdesc=shortdesc, default=default, reloadable=True, **more)


AGENT = Agent(
    "Filesystem",
    version="0.1",
    shortdesc="Manages a filesystem on a shared disk, of a server, or a bind mount",
    text_module="failover_kit.agents.filesystem_text",
    parameters=(
        Parameter(
            "device", required=True, any_text=True, unique_group="device", check=check_device, shortdesc="Source"
        ),
        Parameter(
            "directory",
            kind="path",
            required=True,
            any_text=True,
            unique_group="directory",
            shortdesc="Mount point",
        ),
        Parameter("fstype", choices=FSTYPES, shortdesc="Filesystem type"),
        Parameter("options", reloadable=True, shortdesc="Mount options"),
        _setting("run_fsck", "Check before mounting", "auto", choices=("auto", "force", "no")),
        _setting("fast_stop", "Kill users without asking them first", "no", kind="boolean"),
        _setting("force_unmount", "End processes in the way", "yes", kind="boolean", check=check_force),
        _setting("term_signals", "Signals that ask users to end", "TERM", check=check_signals),
        _setting("kill_signals", "Signals that end users", "KILL", check=check_signals),
        _setting("signal_delay", "Seconds between two signals", "1", kind="integer", minimum=0, maximum=60),
        _setting("statusfile_prefix", "File for monitor depth 20", ".Filesystem_status/", check=check_prefix),
        _setting("force_clones", "Allow clones on disks of each node's own", "no", kind="boolean"),
    ),
    actions=(
        Action("start", 60),
        Action("stop", 60),
        Action("monitor", 40, interval_s=20, depth=0),
        Action("monitor", 40, interval_s=60, depth=10),
        Action("monitor", 40, interval_s=120, depth=20),
        Action("reload-agent", 20),
        Action("validate-all", 20),
        Action("meta-data", 5),
    ),
    handlers={
        "start": start,
        "stop": stop,
        "monitor": monitor,
        "reload-agent": reload,
        "validate-all": validate,
    },
    positional=("device", "directory", "fstype", "options"),
    consistency=consistency,
)
