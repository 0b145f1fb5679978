"""What the core says, as alerts in Pacemaker's words: an environment of ``CRM_alert_*`` for each recipient. Pure.

Names and values are those of "Writing an Alert Agent" (Pacemaker Administration, alerts.rst), and of the samples in
/usr/share/pacemaker/alerts, which run here unchanged. Pacemaker has four kinds: *node*, *fencing* and *resource*
have a meaning of their own, what fits none of them is an *attribute*: name is the stable code of the sentence,
value the sentence. Whatever the kind, the sentence itself is in ``CRM_alert_failover_kit_text``. Nothing here comes
from authkeys or from a fence device's parameters.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from failover_kit import VERSION
from failover_kit.manager.actions import Action, Level, Note
from failover_kit.manager.events import Event, MonitorFailed, StartFailed, StopFailed

CONTRACT_VERSION = "2.1.5"
"""CRM_alert_version: of the Pacemaker whose variables these are. Agents only compare it, without quotes."""

DEFAULT_TIMESTAMP = "%H:%M:%S.%06N"
"""Pacemaker's default of ``timestamp-format``."""

NODE = {"peer-up": "member", "peer-silent": "lost", "never-heard": "lost", "peer-left": "lost"}
"""Pacemaker's two words for a node. "lost" is what it says: not a member now. Not that it is off."""

FENCING = {
    "fenced": ("off", True),
    "fence-failed": ("off", False),
    "no-shot": ("off", False),
    "heard-after-off": ("off", False),
    "power-is-on": ("on", True),
    "power-on-failed": ("on", False),
    "plugs": ("status", False),
    "drill-proved": ("prove", True),
    "drill-failed": ("prove", False),
    "confirmed-dead": ("confirm-dead", True),
    "confirm-void": ("confirm-dead", False),
}
"""Code: the task, and whether it was done. Of the peer, always."""

RESOURCE = {
    "started": ("start", True),
    "start-failed": ("start", False),
    "start-refused": ("start", False),
    "stopped": ("stop", True),
    "stop-failed": ("stop", False),
    "monitor-failed": ("monitor", False),
    "half-running": ("monitor", False),
}
"""Code: the operation, and whether it succeeded. Of the failed resource where it is known, else of the group."""

ATTRIBUTE = frozenset({"takeover", "granted", "link-back", "persist-ok"})
"""Sentences of level INFO that are alerts all the same: they end an earlier one, or say who serves now."""

QUIET = frozenset({"fencing", "move"})
"""Sentences that are no alerts at any level: they only say that something begins, and its end is an alert."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert: when it happened, of what kind it is, and what Pacemaker's agents read of it."""

    wall_us: int  # microseconds since 1970
    kind: str  # node, fencing, resource, attribute
    variables: tuple[tuple[str, str], ...]  # without CRM_alert_


class Translator:
    """From one turn of the core to alerts."""

    def __init__(self, node: str, peer: str, groups: Sequence[str], monitor_interval_ms: int) -> None:
        self._node = node
        self._peer = peer
        self._groups = tuple(groups)
        self._interval_ms = monitor_interval_ms

    def alerts(self, wall_us: int, event: Event, actions: Sequence[Action]) -> Iterator[Alert]:
        """The alerts of one turn, in the order things were said."""
        for action in actions:
            if isinstance(action, Note):
                alert = self._alert(wall_us, event, action)
                if alert is not None:
                    yield alert

    def _alert(self, wall_us: int, event: Event, note: Note) -> Alert | None:
        group = next((name for name in self._groups if note.text.startswith(f"group {name}: ")), "")
        code = note.code.removesuffix(f"-{group}") if group else note.code
        if code in NODE:
            kind, fields = "node", [("node", self._peer), ("desc", NODE[code])]
        elif code in FENCING and (code != "no-shot" or note.level is not Level.INFO):
            kind, fields = "fencing", self._fencing(*FENCING[code], note.text)
        elif code in RESOURCE:
            kind, fields = "resource", self._resource(*RESOURCE[code], group, event)
        elif (note.level is Level.INFO and code not in ATTRIBUTE) or code in QUIET:
            return None
        else:
            kind = "attribute"
            fields = [("node", self._node), ("attribute_name", note.code), ("attribute_value", note.text)]
        fields += [
            ("failover_kit_code", code),
            ("failover_kit_level", note.level.value),
            ("failover_kit_group", group),
            ("failover_kit_text", " ".join(note.text.split())),
        ]
        return Alert(wall_us=wall_us, kind=kind, variables=tuple(fields))

    def _fencing(self, task: str, done: bool, text: str) -> list[tuple[str, str]]:
        origin = f"{self._node} for failoverd@{self._node}"
        desc = f"Operation {task} of {self._peer} by {origin}: {'OK' if done else text}"
        return [("node", self._peer), ("task", task), ("rc", "0" if done else "1"), ("desc", desc)]

    def _resource(self, task: str, done: bool, group: str, event: Event) -> list[tuple[str, str]]:
        """``rc`` is OCF's 0 or 1: why an agent failed is in the sentence, its own code is not always known."""
        name = group
        if isinstance(event, (StartFailed, StopFailed, MonitorFailed)) and event.group == group and event.resource:
            name = event.resource
        return [
            ("node", self._node),
            ("rsc", name),
            ("task", task),
            ("interval", str(self._interval_ms if task == "monitor" else 0)),  # milliseconds
            ("desc", "ok" if done else "error"),
            ("status", "0"),  # PCMK_EXEC_DONE: it was executed, whatever came out
            ("rc", "0" if done else "1"),
            ("target_rc", "0"),
        ]


def environment(
    alert: Alert, sequence: int, *, recipient: str = "", timestamp_format: str = DEFAULT_TIMESTAMP
) -> Mapping[str, str]:
    """What an agent gets, beside its instance attributes. Without a recipient there is no variable for it."""
    seconds, microseconds = divmod(alert.wall_us, 1_000_000)
    values = {
        "kind": alert.kind,
        "version": CONTRACT_VERSION,
        "failover_kit_version": VERSION,
        "node_sequence": str(sequence),
        "timestamp": stamp(alert.wall_us, timestamp_format),
        "timestamp_epoch": str(seconds),
        "timestamp_usec": str(microseconds),
        **dict(alert.variables),
    }
    if recipient:
        values["recipient"] = recipient
    return {f"CRM_alert_{name}": value.replace("\0", "") for name, value in values.items()}


def stamp(wall_us: int, form: str) -> str:
    """strftime(3) in local time, and ``%N`` of date(1) as in Pacemaker: ``%06N`` is six digits of the second."""
    seconds, microseconds = divmod(wall_us, 1_000_000)
    nanoseconds = f"{microseconds * 1000:09d}"

    def fraction(match: re.Match[str]) -> str:
        return nanoseconds[: int(match[1] or 9)] if match[0] != "%%" else "%%"

    return time.strftime(re.sub(r"%%|%0?([1-9]?)N", fraction, form), time.localtime(seconds))
