"""systemd's view of the NFS server: kept in step by stopping units first, before anything is done ourselves.

nfs-server.service is a oneshot that stays "active" when its threads are ended behind its back, and a
later ``systemctl start`` would then do nothing. So where systemd is pid 1 and believes a unit to be active,
systemd ends it. Nothing here starts a unit.
"""

import os

from failover_kit.ocf.codes import failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from failover_kit.ocf.agent import Call
    from failover_kit.spec.deadline import Deadline

SYSTEMCTL = "/usr/bin/systemctl"
# systemd answers at once or not at all; a hung systemd must not use up the time for the rest.
_ANSWER_MS = 10_000


def managed() -> bool:
    """Whether systemd is pid 1, as sd_booted(3) finds out."""
    return os.path.isdir("/run/systemd/system") and os.access(SYSTEMCTL, os.X_OK)


def active(names: "Sequence[str]", deadline: "Deadline") -> "list[str]":
    """Which of the units are active, or on their way to or from it; [] where systemd is not pid 1."""
    if not managed():
        return []
    text = _systemctl(["show", "--property=Id,ActiveState", *names], deadline.at_most(_ANSWER_MS))
    found = []
    for block in text.split("\n\n"):
        facts = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if facts.get("ActiveState", "inactive") not in ("inactive", "failed"):
            found.append(facts.get("Id", ""))
    return found


def stop(call: "Call", names: "Sequence[str]") -> None:
    """Stop those of the units that are active; AgentError when systemd does not manage in time."""
    units = active(names, call.deadline)
    if not units:
        return
    call.log("info", f"stopping {', '.join(units)}, which systemd runs")
    _systemctl(["stop", *units], call.deadline)


def _systemctl(words: "list[str]", deadline: "Deadline") -> str:
    from failover_kit.spec.process import CommandMissing, CommandTimeout, run

    try:
        result = run([SYSTEMCTL, *words], deadline)
    except (CommandMissing, CommandTimeout) as error:
        raise failed(str(error)) from None
    if not result.ok():
        raise failed(f"{result.describe()}; see 'systemctl status {words[-1]}'")
    return result.stdout
