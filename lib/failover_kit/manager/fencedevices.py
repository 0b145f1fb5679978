"""How one plug of one fence device is asked: by a fence agent, or by the stonith command.

*Fence agents* (fence-agents(8), FenceAgentAPI.md) read ``key=value`` lines on stdin and answer by exit code;
OFF is exit 2 *and* ``Status: OFF``, as fence-agents' fencing.py (fence_action) does. The 2 alone proves nothing:
Python's argparse exits 2 on a usage error, python3 when it cannot open its script, dash and bash on a syntax error.
Anything else is UNKNOWN.

*Plugins of cluster-glue* (``external/ipmi``, ``stonith:wti_nps``) are driven by the command ``stonith -t TYPE -E
-T off|on NODE``, as Pacemaker's fence_legacy does it: parameters in the environment under their own names. They
have no way to tell a plug's state; ``-S`` says only whether the device answers.

Each plug is a call of its own, also where a device has several of one node: how an agent reads a list of plugs
differs (fencing.py calls a list ON when one plug is ON and skips what it does not know), and a proof needs the
state of each. No value ever stands in argv but the type and the name of the plug.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from failover_kit.fence.options import stdin_line
from failover_kit.manager.callers import Search
from failover_kit.manager.children import Ended
from failover_kit.manager.config import ClusterConfig, FenceDevice, is_secret_name
from failover_kit.manager.records import PlugState

STATUS_ON, STATUS_OFF = 0, 2
_STATUS_LINE = re.compile(r"^[ \t]*status:[ \t]*(\w+)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_SAID_LIMIT = 200

# S_* of cluster-glue (include/stonith/stonith.h). Off a terminal its command says no more: the rest goes to syslog.
_STONITH_CODES = {
    1: "wrong configuration",
    2: "the device is not accessible",
    3: "a parameter is missing or wrong",
    4: "the device does not know this node",
    5: "the device did not switch",
    6: "timed out",
    7: "the plug is off",
    8: "unknown device type, or a fault of the plugin",
}


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """What is executed, and what the program reads."""

    argv: tuple[str, ...]
    stdin: bytes | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outlet:
    """One plug of one device, and the program found for it on this host ("" = none)."""

    device: FenceDevice
    program: str
    plug: str
    level: int = 1

    @property
    def label(self) -> str:
        return f"{self.device.name} plug {self.plug}"

    @property
    def has_status(self) -> bool:
        """Whether anything can tell the plug's state: plugins of cluster-glue cannot."""
        return not self.device.stonith_type

    def request(self, action: str) -> Request:
        """The call for ``action``: on, off, status, or a fence agent's other actions."""
        kept = tuple((name, value) for name, value in self.device.parameters if name != "plug")
        kind = self.device.stonith_type
        if not kind:
            lines = [("action", action), *((n, v) for n, v in kept if n != "action"), ("plug", self.plug)]
            text = "".join(stdin_line(name, value) for name, value in lines)
            return Request((self.program,), text.encode("utf-8", "surrogateescape"))
        what = ("-S",) if action == "status" else ("-T", action, self.plug)
        return Request((self.program, "-t", kind, "-E", *what), environment=dict(kept))

    def _by_code(self, code: int | None) -> str:
        meaning = _STONITH_CODES.get(code or 0, "") if self.device.stonith_type else ""
        return f"{self.device.agent} exited {code}" + (f": {meaning} (see the system log)" if meaning else "")

    def said(self, ended: Ended) -> str:
        """Why a call failed, in the program's words, without its secrets."""
        text = ended.failure or _without_log_head(ended.last_line()) or self._by_code(ended.code)
        for name, value in self.device.parameters:
            if value and is_secret_name(name):
                text = text.replace(value, "***")
        return text[:_SAID_LIMIT]


def outlets_of(config: ClusterConfig, victim: str, programs: Mapping[str, str]) -> tuple[tuple[Outlet, ...], ...]:
    """All plugs of ``victim``, level by level; the plugs of one level must all be OFF together."""
    return tuple(
        tuple(
            Outlet(device, programs.get(device.agent, ""), plug, number)
            for device in level
            for plug in device.plugs_for(victim)
        )
        for number, level in enumerate(config.devices_for(victim), 1)
    )


def find_agents(config: ClusterConfig, victim: str, search: Search) -> tuple[dict[str, str], tuple[str, ...]]:
    """Programs by the name ha.cf uses, and one sentence for each that is missing on this host."""
    programs: dict[str, str] = {}
    problems: list[str] = []
    for level in config.devices_for(victim):
        for device in level:
            places = _places(device, search)
            found = next((path for path in places if os.path.isfile(path) and os.access(path, os.X_OK)), "")
            if found:
                programs[device.agent] = found
            else:
                problems.append(_missing(device, places))
    return programs, tuple(dict.fromkeys(problems))


def _places(device: FenceDevice, search: Search) -> Sequence[str]:
    if device.stonith_type:
        return search.stonith
    if device.agent.startswith("/"):
        return (device.agent,)
    return [os.path.join(folder, device.agent) for folder in search.fence]


def _missing(device: FenceDevice, places: Sequence[str]) -> str:
    where = f"ha.cf:{device.line}:1"
    if device.stonith_type:
        return (
            f"{where}: no stonith command for device {device.name} ({device.agent}): looked at "
            f"{', '.join(places)}; install failover-kit's, or cluster-glue"
        )
    return (
        f"{where}: no fence agent {device.agent!r} for device {device.name}: looked at "
        f"{', '.join(places)}; install it (Debian: fence-agents) or correct the name"
    )


def plug_state(ended: Ended) -> PlugState:
    """What a call of ``status`` tells. OFF needs exit code and text; ON only that the text does not deny it."""
    words = {word.upper() for word in _STATUS_LINE.findall(ended.stdout)}
    if ended.code == STATUS_OFF and words == {"OFF"}:
        return PlugState.OFF
    if ended.code == STATUS_ON and words <= {"ON"}:
        return PlugState.ON
    return PlugState.UNKNOWN


def _without_log_head(line: str) -> str:
    """A fence agent's line without what logging puts before it (fence-agents: ``DATE TIME,MS LEVEL: ``)."""
    return re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ [A-Z]+: (Failed: )?", "", line)
