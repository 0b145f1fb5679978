"""A whole setup against a unit in memory: what is confirmed and how, and that every way out logs out."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from failover_kit.fence.secret import Secret
from failover_kit.spec.deadline import Deadline
from failover_kit.switch import report, session, setup
from failover_kit.switch.plan import Progress
from failover_kit.switch.session import Place, Session, Unreachable, hint
from failover_kit.switch.settings import Wanted
from failover_kit.switch.setup import Access, Choices, Outcome, Result, Setup
from fake_unit import FakeSession, FakeUnit

OLD, NEW = Secret("0ld-Secret"), Secret("n3w-Secret")


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeUnit], None]:
    """Makes the unit answer wherever it has its address; with the caller at 192.0.2.1."""

    def plug_in(unit: FakeUnit) -> None:
        def connect(place: Place, until: Deadline) -> tuple[FakeSession, str]:
            if place.ip and place.ip != unit.network["IP Address"]:
                raise Unreachable(f"{place}: no route", "no route")
            return unit.connect(), "" if place.serial else "192.0.2.1"

        monkeypatch.setattr(session, "connect", connect)
        monkeypatch.setattr(setup, "connect", connect)
        monkeypatch.setattr(session, "ANSWER_MS", 50)

    return plug_in


def run(wanted: Wanted, *passwords: Secret, serial: str = "", choices: Choices | None = None) -> Outcome:
    said: list[str] = []
    place = Place(serial=serial) if serial else Place(ip="192.0.2.219")
    work = Setup(place, wanted, Access(passwords=passwords), choices or Choices(reconnect_ms=100), Deadline(30_000),
                 say=said.append, debug=said.append)  # fmt: skip
    out = work.run()
    everything = "".join(said) + report.setup_text(out) + json.dumps(report.as_json(out)) + repr(out)
    assert OLD.reveal() not in everything and NEW.reveal() not in everything
    return out


def progress(out: Outcome) -> dict[str, Progress]:
    return {setting.title: setting.progress for setting in out.settings}


def test_everything_is_set_confirmed_and_the_unit_left(plugged: Callable[[FakeUnit], None]) -> None:
    unit = FakeUnit()
    plugged(unit)
    out = run(Wanted(names=((1, "pete"), (5, "mclaws")), timeout_min=5, password=NEW))
    assert (out.result, out.errors) == (Result.DONE, [])
    assert set(progress(out).values()) == {Progress.CHANGED}
    assert (unit.names[1], unit.names[5], unit.timeout, unit.password) == ("pete", "mclaws", 5, NEW.reveal())
    assert unit.exits == ["exit", "exit"]
    again = run(Wanted(names=((1, "PETE"),), timeout_min=5, password=NEW))
    assert again.result is Result.NOTHING


@pytest.mark.parametrize("quirk", ["leaves", "thrice"])
def test_units_that_leave_when_they_save_or_ask_three_times_are_served(
    plugged: Callable[[FakeUnit], None], quirk: str
) -> None:
    unit = FakeUnit(OLD.reveal(), frozenset((quirk,)))
    plugged(unit)
    wanted = Wanted(address="192.0.2.50", names=((1, "pete"),), password=NEW)
    out = run(wanted, OLD, choices=Choices(yes_network=True, reconnect_ms=100))
    assert (out.result, out.errors, out.warnings) == (Result.DONE, [], [])
    assert (unit.password, unit.network["IP Address"]) == (NEW.reveal(), "192.0.2.50")
    assert set(unit.exits) == {"exit"} and len(unit.exits) == unit.sessions


def test_a_dry_run_and_a_refusal_only_read(plugged: Callable[[FakeUnit], None]) -> None:
    unit = FakeUnit(OLD.reveal())
    plugged(unit)
    wanted = Wanted(names=((1, "pete"),), timeout_min=5, password=NEW)
    dry = run(wanted, OLD, choices=Choices(dry_run=True))
    assert dry.result is Result.WOULD and set(progress(dry).values()) == {Progress.WOULD}
    refused = run(Wanted(names=((1, "pete"),), timeout_min=0), OLD)
    assert refused.result is Result.REFUSED and set(progress(refused).values()) == {Progress.TODO}
    assert unit.typed == [OLD.reveal(), "/S", "/P 1", "/G", "/X,Y"] * 2
    assert unit.password == OLD.reveal() and unit.exits == ["exit", "exit"]


def test_a_unit_that_does_not_take_a_value_is_found_out_by_reading_again(
    plugged: Callable[[FakeUnit], None],
) -> None:
    unit = FakeUnit(OLD.reveal(), frozenset(("deaf",)))
    plugged(unit)
    out = run(Wanted(names=((1, "pete"), (2, "fan"))), OLD)
    assert out.result is Result.FAILED
    assert "plug 1 name: the unit did not take it" in out.errors[0]
    assert progress(out) == {"plug 1 name": Progress.UNCERTAIN, "plug 2 name": Progress.TODO}
    assert unit.exits == ["exit"]


def test_a_unit_that_alters_a_password_is_found_out_and_the_state_is_said(
    plugged: Callable[[FakeUnit], None],
) -> None:
    unit = FakeUnit(OLD.reveal(), frozenset(("shortens",)))
    plugged(unit)
    out = run(Wanted(names=((1, "pete"),), password=NEW), OLD)
    assert out.result is Result.DENIED
    assert "lets nobody in with it, nor with the old one" in out.errors[0]
    assert (
        "everything else that was to change before it is saved" in out.errors[0]
        and "serial console" in out.errors[0]
    )
    assert progress(out) == {"plug 1 name": Progress.CHANGED, "system password": Progress.UNCERTAIN}
    assert unit.typed.count(NEW.reveal()) == 2 and unit.typed.count(OLD.reveal()) == 2  # one login each, afterwards


def test_a_new_password_that_cannot_be_proved_yet_is_said_to_be_in_force(
    plugged: Callable[[FakeUnit], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = FakeUnit(OLD.reveal())
    plugged(unit)
    connect, calls = session.connect, []

    def once(place: Place, until: Deadline) -> tuple[object, str]:
        calls.append(place)
        if len(calls) > 1:
            raise Unreachable("refused: somebody has the one session")
        return connect(place, until)

    monkeypatch.setattr(session, "connect", once)
    out = run(Wanted(password=NEW), OLD)
    assert out.result is Result.UNREACHABLE
    assert "took and saved a new system password, but no login could prove it yet" in out.errors[0]
    assert "somebody has the one session" in out.errors[0]
    assert progress(out) == {"system password": Progress.UNCERTAIN}


def test_a_unit_that_keeps_the_old_password_is_found_out(plugged: Callable[[FakeUnit], None]) -> None:
    unit = FakeUnit(OLD.reveal(), frozenset(("forgets",)))
    plugged(unit)
    out = run(Wanted(password=NEW), OLD)
    assert (
        out.result is Result.FAILED and "the OLD one is still in force; nothing else was changed" in out.errors[0]
    )
    assert progress(out) == {"system password": Progress.TODO}
    assert unit.exits == ["exit", "exit"]


@pytest.mark.parametrize("moves", [frozenset(), frozenset(("moves",))])
def test_an_address_over_tcp_comes_last_and_is_read_at_the_new_one(
    plugged: Callable[[FakeUnit], None], moves: frozenset[str]
) -> None:
    unit = FakeUnit(OLD.reveal(), moves)
    plugged(unit)
    wanted = Wanted(address="192.0.2.50", gateway="192.0.2.254", names=((1, "pete"),), password=NEW)
    out = run(wanted, OLD, choices=Choices(yes_network=True, reconnect_ms=100))
    assert (out.result, out.errors) == (Result.DONE, [])
    order = [line for line in unit.typed if line in ("pete", NEW.reveal(), "192.0.2.254", "192.0.2.50")]
    assert order[:2] == ["pete", NEW.reveal()] and order.index("192.0.2.254") < order.index("192.0.2.50")
    assert unit.network["IP Address"] == "192.0.2.50"
    assert set(unit.exits) <= {"exit", "moved"}


def test_over_serial_the_address_comes_first(plugged: Callable[[FakeUnit], None]) -> None:
    unit = FakeUnit()
    plugged(unit)
    out = run(Wanted(address="10.1.1.9", mask="255.255.0.0", gateway="10.1.0.1"), serial="/dev/ttyS0")
    assert out.result is Result.DONE
    assert [line for line in unit.typed if line.startswith(("10.", "255."))] == [
        "10.1.1.9",
        "255.255.0.0",
        "10.1.0.1",
    ]


@pytest.mark.parametrize("at", ["/S", "/P 1", "1", "pete", "/G", "5", "/E"])
def test_an_interruption_at_any_line_logs_out(plugged: Callable[[FakeUnit], None], at: str) -> None:
    unit = FakeUnit(OLD.reveal())
    plugged(unit)

    def interrupt(line: str) -> None:
        if line == at:
            unit.on_line = lambda _: None
            signal.raise_signal(signal.SIGINT)

    unit.on_line = interrupt
    out = run(Wanted(names=((1, "pete"),), timeout_min=5), OLD)
    assert out.result is Result.INTERRUPTED
    # Its answer was under way; from wherever the unit stood then, it was left.
    assert unit.exits == ["exit"], unit.typed


def test_nothing_is_sent_to_a_password_prompt_on_the_way_out(plugged: Callable[[FakeUnit], None]) -> None:
    unit = FakeUnit(OLD.reveal())
    plugged(unit)
    out = run(Wanted(names=((1, "pete"),)), Secret("wrong-one"))
    assert out.result is Result.DENIED
    assert unit.typed == ["wrong-one"]
    assert unit.exits == ["dropped in login"]


def test_a_serial_line_without_the_right_to_it_is_a_matter_of_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session.os, "access", lambda *_: False)
    with pytest.raises(Unreachable, match="Permission denied; be root"):
        session.connect(Place(serial="/dev/null"), Deadline(10))


def test_a_second_interruption_does_not_stop_the_logging_out(plugged: Callable[[FakeUnit], None]) -> None:
    unit = FakeUnit()
    plugged(unit)
    one = Session(Place(ip="192.0.2.219"), deadline=Deadline(10_000))
    one.enter()
    unit.on_line = lambda line: signal.raise_signal(signal.SIGINT)
    assert one.leave()
    assert unit.exits == ["exit"]
    assert one.deadline.total_ms == 10_000  # saying goodbye has a deadline of its own
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@given(st.integers(0, 45), st.booleans(), st.sampled_from(["", "leaves", "thrice"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_wherever_it_is_interrupted_nothing_but_what_was_asked_for_is_set_and_the_unit_is_left(
    plugged: Callable[[FakeUnit], None], count: int, serial: bool, quirk: str
) -> None:
    unit = FakeUnit(OLD.reveal(), frozenset((quirk,)))
    plugged(unit)

    def interrupt(_: str) -> None:
        if len(unit.typed) == count + 1:
            signal.raise_signal(signal.SIGINT)

    unit.on_line = interrupt
    wanted = Wanted(address="192.0.2.50", names=((1, "pete"), (5, "mclaws")), timeout_min=5, password=NEW)
    choices = Choices(yes_network=True, reconnect_ms=100)
    out = run(wanted, OLD, serial="/dev/ttyS0" if serial else "", choices=choices)
    assert out.result in (Result.INTERRUPTED, Result.DONE)
    assert unit.names in (
        {1: "", 2: "", 5: ""}, {1: "pete", 2: "", 5: ""}, {1: "pete", 2: "", 5: "mclaws"},
    )  # fmt: skip
    assert unit.timeout in (2, 5) and unit.password in (OLD.reveal(), NEW.reveal())
    assert unit.network["IP Address"] in ("192.0.2.219", "192.0.2.50")
    assert set(unit.exits) <= {"exit", "dropped in login"} and len(unit.exits) == unit.sessions
    for setting in out.settings:
        if setting.progress is Progress.TODO:
            assert setting.before in ("(none)", "2 min", "set", "192.0.2.219")


@pytest.mark.parametrize(
    ("place", "reason", "words"),
    [
        (Place(ip="192.0.2.9"), "192.0.2.9 port 23: Connection refused", "one session"),
        (Place(ip="192.0.2.9"), "192.0.2.9 port 23: No route to host", "Look at its power"),
        (Place(ip="benjamin"), "the name benjamin is not resolved: Temporary failure", "address in numbers"),
        (Place(serial="/dev/ttyS0"), "serial line /dev/ttyS0: busy", "heartbeat"),
    ],
)
def test_the_remedy_fits_the_reason(place: Place, reason: str, words: str) -> None:
    """A name that was not resolved, and a switch without power, were said to be busy with another session."""
    assert words in hint(place, reason)
