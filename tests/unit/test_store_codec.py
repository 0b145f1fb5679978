"""The codec: every record, event and action survives the way through JSON; nothing else gets in."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from failover_kit.manager import actions, events, records
from failover_kit.manager.codec import CodecError, from_plain, from_tagged, tagged, to_plain

EVENTS = [st.from_type(kind) for kind in get_args(events.Event)]
ACTIONS = [st.from_type(kind) for kind in get_args(actions.Action)]
FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def through_json(plain: object) -> Any:
    return json.loads(json.dumps(plain))


@FEW
@given(st.one_of(EVENTS))
def test_events_survive(event: events.Event) -> None:
    assert from_tagged(events.Event, through_json(tagged(event))) == event


@FEW
@given(st.one_of(ACTIONS))
def test_actions_survive(action: actions.Action) -> None:
    assert from_tagged(actions.Action, through_json(tagged(action))) == action


@FEW
@given(st.one_of(map(st.from_type, (records.CoreConfig, records.NodeRecord, records.ClusterView))))
def test_records_survive(record: object) -> None:
    assert from_plain(type(record), through_json(to_plain(record))) == record


def test_a_missing_field_takes_its_default_and_only_then() -> None:
    assert from_plain(records.GroupRecord, {"name": "g"}) == records.GroupRecord(name="g")
    with pytest.raises(CodecError, match="'name' is missing"):
        from_plain(records.GroupRecord, {})


@pytest.mark.parametrize(
    ("plain", "place"),
    [
        ({"name": "g", "colour": 1}, "colour"),
        ({"name": 5}, r"GroupRecord\.name"),
        ({"name": "g", "right": "4"}, r"GroupRecord\.right"),
        ({"name": "g", "right": True}, r"GroupRecord\.right"),
        ({"name": "g", "held": 1}, r"GroupRecord\.held"),
        ([], "not an object"),
        (None, "not an object"),
    ],
)
def test_another_shape_is_refused_by_its_place(plain: object, place: str) -> None:
    with pytest.raises(CodecError, match=place):
        from_plain(records.GroupRecord, plain)


def test_an_unknown_event_is_refused() -> None:
    for plain in ({"is": "Explode"}, {}, 3, {"is": "Persisted"}):
        with pytest.raises(CodecError):
            from_tagged(events.Event, plain)


def test_what_is_no_fact_has_no_plain_form() -> None:
    with pytest.raises(TypeError):
        to_plain(object())


def test_a_truth_value_is_no_number() -> None:
    assert from_plain(actions.ExitCode, 1) is actions.ExitCode.FAILED
    for plain in (True, "1", 1.0, 9):
        with pytest.raises(CodecError):
            from_plain(actions.ExitCode, plain)
