"""From what the core says to Pacemaker's words: every code is decided on, and every sentence arrives."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

import pytest

from failover_kit.manager import alerts
from failover_kit.manager.actions import ExitCode, Level, Note, Reply
from failover_kit.manager.alerts import Translator, environment, stamp
from failover_kit.manager.events import Event, MonitorFailed, Started, StartFailed, StopFailed, Tick

MANAGER = pathlib.Path(alerts.__file__).parent
WALL_US = 1_795_000_000_123_456
TRANSLATOR = Translator("pete", "mclaws", ("web", "db"), 10_000)


def translated(note: Note, event: Event | None = None) -> dict[str, str] | None:
    found = list(TRANSLATOR.alerts(WALL_US, event or Tick(), [note]))
    assert len(found) <= 1
    return {"kind": found[0].kind, **dict(found[0].variables)} if found else None


def core_codes() -> Iterator[str]:
    """Every constant code in a ``_note(level, code, text)`` of the core; of an f-string, its constant beginning."""
    for path in MANAGER.glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or len(call.args) != 3:
                continue
            if call.func.attr not in ("_note", "_note_once"):
                continue
            code = call.args[1]
            if isinstance(code, ast.JoinedStr):
                code = code.values[0]
            if isinstance(code, ast.Constant):
                yield str(code.value).rstrip("-")


def test_codes_in_the_tables_are_codes_of_the_core() -> None:
    known = set(core_codes())
    assert len(known) > 30
    listed = {*alerts.NODE, *alerts.FENCING, *alerts.RESOURCE, *alerts.ATTRIBUTE, *alerts.QUIET}
    assert listed <= known, f"renamed or gone: {sorted(listed - known)}"


@pytest.mark.parametrize("code", sorted(set(core_codes())))
def test_every_warning_and_alarm_of_the_core_is_an_alert(code: str) -> None:
    for level in (Level.WARNING, Level.ALARM):
        alert = translated(Note(level, code, "something happened"))
        if code in alerts.QUIET:
            assert alert is None
        else:
            assert alert is not None
            assert alert["failover_kit_code"] == code
            assert alert["failover_kit_text"] == "something happened"


def test_a_code_nobody_listed_is_an_attribute_and_not_lost() -> None:
    alert = translated(Note(Level.ALARM, "brand-new", "look at it"))
    assert alert is not None
    assert (alert["kind"], alert["attribute_name"], alert["attribute_value"]) == (
        "attribute", "brand-new", "look at it",
    )  # fmt: skip
    assert translated(Note(Level.INFO, "brand-new", "look at it")) is None


def test_silent_is_lost_and_back_is_member_and_it_is_the_peer() -> None:
    lost = translated(Note(Level.WARNING, "peer-silent", "mclaws is silent for 10 s on eth1"))
    back = translated(Note(Level.INFO, "peer-up", "mclaws is up (boot 77aa)"))
    assert lost is not None and back is not None
    assert [(a["kind"], a["node"], a["desc"]) for a in (lost, back)] == [
        ("node", "mclaws", "lost"), ("node", "mclaws", "member"),
    ]  # fmt: skip


def test_a_failed_shot_says_so_in_desc_and_rc() -> None:
    text = "mclaws is not fenced: plug 2 reads ON; no takeover"
    alert = translated(Note(Level.ALARM, "fence-failed", text))
    assert alert is not None
    assert (alert["kind"], alert["node"], alert["task"], alert["rc"]) == ("fencing", "mclaws", "off", "1")
    assert alert["desc"] == f"Operation off of mclaws by pete for failoverd@pete: {text}"
    done = translated(Note(Level.WARNING, "fenced", "mclaws is fenced: plug 2 reads OFF"))
    assert done is not None
    assert done["rc"] == "0" and done["desc"].endswith(": OK")


def test_a_peer_that_left_is_not_reported_as_one_that_could_not_be_shot() -> None:
    assert translated(Note(Level.INFO, "no-shot", "mclaws is silent and is not shot: it has left")) is None


@pytest.mark.parametrize(
    ("code", "event", "task", "rc", "rsc"),
    [
        ("started", Started("web", 1), "start", "0", "web"),
        ("start-failed", StartFailed("web", 1, "IPaddr:10.0.0.1", "no route"), "start", "1", "IPaddr:10.0.0.1"),
        ("stop-failed-web", StopFailed("web", 1, "Filesystem:/srv", "busy"), "stop", "1", "Filesystem:/srv"),
        ("monitor-failed", MonitorFailed("web", 1, "nfs", "gone"), "monitor", "1", "nfs"),
        # The event of another group names a resource that is none of this one.
        ("monitor-failed", MonitorFailed("db", 1, "nfs", "gone"), "monitor", "1", "web"),
    ],
)
def test_resource_alerts_name_the_resource_that_failed(
    code: str, event: Event, task: str, rc: str, rsc: str
) -> None:
    alert = translated(Note(Level.ALARM, code, "group web: something"), event)
    assert alert is not None
    assert (alert["kind"], alert["task"], alert["rc"], alert["rsc"]) == ("resource", task, rc, rsc)
    assert alert["interval"] == ("10000" if task == "monitor" else "0")
    assert (alert["failover_kit_group"], alert["target_rc"], alert["node"]) == ("web", "0", "pete")


def test_what_is_no_note_is_no_alert() -> None:
    assert list(TRANSLATOR.alerts(WALL_US, Tick(), [Reply(1, ExitCode.FAILED, "no")])) == []


def test_the_environment_of_an_alert() -> None:
    alert = next(iter(TRANSLATOR.alerts(WALL_US, Tick(), [Note(Level.ALARM, "parked", "group web:\nparked\0")])))
    variables = environment(alert, 7, recipient="root", timestamp_format="%S.%01N %% %N")
    assert variables["CRM_alert_node_sequence"] == "7"
    assert variables["CRM_alert_recipient"] == "root"
    assert variables["CRM_alert_timestamp"] == "40.1 % 123456000"
    assert variables["CRM_alert_timestamp_epoch"] == "1795000000"
    assert variables["CRM_alert_timestamp_usec"] == "123456"
    # Pacemaker's own samples test it without quotes.
    assert " " not in variables["CRM_alert_version"]
    assert all("\0" not in value for value in variables.values())
    assert "\n" not in variables["CRM_alert_failover_kit_text"]
    assert "CRM_alert_recipient" not in environment(alert, 7)


def test_pacemakers_default_time_has_six_digits() -> None:
    assert stamp(WALL_US, "%06N") == "123456"
