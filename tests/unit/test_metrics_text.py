"""The metrics file: exact text format, and each figure from the status it stands for."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import pathlib
import re
import stat

import pytest

import status_examples
from failover_kit.manager import metricsfile
from failover_kit.manager.actions import Fence, Level, Note
from failover_kit.manager.events import (
    FenceDone,
    MonitorFailed,
    PersistFailed,
    Started,
    StartFailed,
    Tick,
)
from failover_kit.manager.metrics import GAP_BUCKETS_S, Extra, Gaps, render
from failover_kit.manager.metricsfile import Meter, MetricsFile
from failover_kit.manager.records import FenceEvidence, ProofState, ProofView
from failover_kit.manager.status import LinkHealth, Status

TOP = pathlib.Path(__file__).resolve().parents[2]
LINKS, GROUPS = ("ttyS0", "eth1"), ("web",)
EVIDENCE = FenceEvidence(readings=(), in_time=True)

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)')
_VALUE = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?|[+-]Inf|NaN")


def parse(text: str) -> tuple[Samples, dict[str, str]]:
    """Samples and types of a file in text format 0.0.4; stricter than Prometheus: no time stamps, no free comments,
    HELP then TYPE then the samples of one family without a gap, no sample twice."""
    assert text.endswith("\n") and "\r" not in text
    samples: Samples = {}
    types: dict[str, str] = {}
    family, helped = "", ""
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            helped, about = re.fullmatch(rf"# HELP ({_NAME}) (.+)", line).groups()  # type: ignore[union-attr]
            assert helped not in types and "\\" not in about
        elif line.startswith("#"):
            family, kind = re.fullmatch(  # type: ignore[union-attr]
                rf"# TYPE ({_NAME}) (counter|gauge|histogram)", line
            ).groups()
            assert family == helped, f"TYPE of {family} behind HELP of {helped}"
            assert (kind == "counter") == family.endswith("_total")
            types[family] = kind
        else:
            match = re.fullmatch(rf"({_NAME})(?:\{{(.+)\}})? (\S+)", line)
            assert match is not None, line
            name, inner, value = match.groups()
            base = re.sub(r"_(bucket|sum|count)$", "", name) if types[family] == "histogram" else name
            assert base == family, f"{name} among the samples of {family}"
            assert _VALUE.fullmatch(value), line
            labels: list[tuple[str, str]] = []
            rest = inner or ""
            while rest:
                label = _LABEL.match(rest)
                assert label is not None, line
                labels.append((label[1], label[2]))
                rest = rest[label.end() :]
            assert len(dict(labels)) == len(labels), line
            key = (name, tuple(sorted(labels)))
            assert key not in samples, f"twice: {line}"
            samples[key] = float(value)
    return samples, types


def extra_of(meter: Meter | None = None, now_ms: int = 0, **fields: object) -> Extra:
    turns, beats, counts = (meter or Meter(LINKS, GROUPS)).take(now_ms)
    plain = Extra(
        uptime_ms=61_500, maintenance=False, persist_error=False, journal_error=False, turns=turns, beats=beats,
        counts=counts,
    )  # fmt: skip
    return dataclasses.replace(plain, **fields)  # type: ignore[arg-type]


def rendered(status: Status | None = None, extra: Extra | None = None) -> Samples:
    return parse(render(status or status_examples.status_of(), extra or extra_of()))[0]


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, tuple(sorted(labels.items()))))


def one_of(samples: Samples, name: str, label: str = "state", **others: str) -> str:
    """The value of ``label`` in the one sample that is 1."""
    found = [
        dict(labels)[label] for (n, labels), v in samples.items()
        if n == name and v == 1 and others.items() <= dict(labels).items()
    ]  # fmt: skip
    assert len(found) == 1, (name, found)
    return found[0]


def test_the_format_is_exact_in_every_state() -> None:
    for view in (status_examples.HEALTHY, status_examples.SILENT):
        text = render(status_examples.status_of(view), extra_of())
        samples, types = parse(text)
        assert len(samples) > 60
        for family in types:
            assert family.startswith(("failover_kit_", "ha_cluster_pacemaker_"))


def test_names_with_quotes_and_backslashes_are_escaped() -> None:
    strange = dataclasses.replace(status_examples.WEB, name='a\\b"c\nd')
    view = dataclasses.replace(status_examples.HEALTHY, groups=(strange,))
    samples = rendered(status_examples.status_of(view))
    assert value(samples, "failover_kit_group_held", group='a\\\\b\\"c\\nd') == 1


def test_the_parser_of_this_test_finds_faults() -> None:
    good = "# HELP x y\n# TYPE x gauge\nx 1\n"
    parse(good)
    for bad in (good[:-1], good + "x 1\n", good + "y 1\n", good.replace("x 1", 'x{a="b"c="d"} 1'), good + "\n",
                good.replace("x 1", "x one"), good.replace("HELP x", "HELP z"), good + "# comment\n"):  # fmt: skip
        with pytest.raises((AssertionError, AttributeError)):
            parse(bad)


def test_a_healthy_pair() -> None:
    samples = rendered()
    assert one_of(samples, "failover_kit_health") == "healthy"
    assert one_of(samples, "failover_kit_peer_state", peer="mclaws") == "up"
    assert one_of(samples, "failover_kit_group_state", group="web") == "started"
    assert value(samples, "failover_kit_group_right", group="web") == 4
    assert value(samples, "failover_kit_link_last_beat_age_seconds", link="eth1") == 0.41
    assert value(samples, "failover_kit_uptime_seconds") == 61.5
    assert value(samples, "failover_kit_written_timestamp_seconds") == 1_795_000_000
    assert value(samples, "failover_kit_info", version="1", node="pete", peer="mclaws", speaks="1.1") == 1
    assert value(samples, "ha_cluster_pacemaker_stonith_enabled") == 1
    for node in ("pete", "mclaws"):
        assert one_of(samples, "ha_cluster_pacemaker_nodes", "status", node=node) == "online"
    assert one_of(samples, "ha_cluster_pacemaker_resources", "node", status="active") == "pete"


def test_a_silent_peer_is_unclean_and_what_is_not_known_is_left_out() -> None:
    samples = rendered(status_examples.status_of(status_examples.SILENT))
    assert one_of(samples, "ha_cluster_pacemaker_nodes", "status", node="mclaws") == "unclean"
    assert one_of(samples, "failover_kit_peer_state", peer="mclaws") == "silent"
    assert value(samples, "failover_kit_link_up", link="eth1") == 0
    assert value(samples, "failover_kit_link_last_beat_age_seconds", link="eth1") is None
    assert value(samples, "failover_kit_fence_failed_attempts") == 3
    resources = [dict(labels) for name, labels in samples if name == "ha_cluster_pacemaker_resources"]
    assert {labels["node"] for labels in resources} == {"pete"}


def test_ping_nodes() -> None:
    samples = rendered(status_examples.status_of(status_examples.PINGS))
    assert value(samples, "failover_kit_ping_reached", ping="192.0.2.1") == 1
    assert value(samples, "failover_kit_ping_reached", ping="printers") == 0
    assert value(samples, "failover_kit_ping_reached", ping="2001:db8::1") is None
    assert value(samples, "failover_kit_peer_pings_reached") == 2
    assert value(samples, "failover_kit_cut_off") == 0
    assert value(rendered(), "failover_kit_peer_pings_reached") is None


def test_troubles_of_this_node() -> None:
    links = (LinkHealth(name="ttyS0", error="no carrier", refused=7), LinkHealth(name="eth1", error="", refused=0))
    status = status_examples.status_of(links=links, problems=("the journal cannot be written",))
    samples = rendered(status, extra_of(maintenance=True, persist_error=True, journal_error=True))
    assert value(samples, "failover_kit_link_error", link="ttyS0") == 1
    assert value(samples, "failover_kit_link_refused_frames_total", link="ttyS0") == 7
    assert value(samples, "failover_kit_problems") == 1
    for name in ("maintenance", "persist_error", "journal_error"):
        assert value(samples, f"failover_kit_{name}") == 1
    assert value(samples, "ha_cluster_pacemaker_nodes", node="pete", status="maintenance", type="member") == 1
    assert one_of(samples, "failover_kit_health") == "degraded"


def test_the_age_of_the_proof_and_its_absence() -> None:
    assert value(rendered(), "failover_kit_fence_proof_age_seconds") is None
    proof = ProofView(state=ProofState.PROVED, wall_ms=1, text="")
    view = dataclasses.replace(status_examples.HEALTHY, proof=proof)
    samples = rendered(status_examples.status_of(view, proof_age_ms=86_400_000))
    assert value(samples, "failover_kit_fence_proof_age_seconds") == 86_400
    assert one_of(samples, "failover_kit_fence_proof_state") == "proved"


# --- counting ---------------------------------------------------------------------------------------------


def test_counters_exist_at_zero_before_anything_happened() -> None:
    samples = rendered()
    assert value(samples, "failover_kit_takeovers_total", group="web") == 0
    assert value(samples, "failover_kit_fence_shots_total", result="failed") == 0
    assert value(samples, "failover_kit_operations_total", group="web", operation="start", result="failed") == 0


def test_operations_and_takeovers_are_counted() -> None:
    meter = Meter(LINKS, GROUPS)
    meter.record(0, Started("web", 1), [])
    meter.record(1, StartFailed("web", 2, "x", "y"), [])
    meter.record(2, MonitorFailed("web", 3, "x", "y"), [])
    meter.record(3, MonitorFailed("gone", 3, "x", "y"), [])
    meter.record(4, PersistFailed(1, "disk full"), [])
    meter.record(5, Tick(), [Note(Level.INFO, "takeover", "group web: pete takes over by proof, epoch 3")])
    samples = rendered(extra=extra_of(meter))
    for operation, result in (("start", "ok"), ("start", "failed"), ("monitor", "failed")):
        name = "failover_kit_operations_total"
        assert value(samples, name, group="web", operation=operation, result=result) == 1
    assert value(samples, "failover_kit_takeovers_total", group="web") == 1
    assert value(samples, "failover_kit_persist_errors_total") == 1


def test_a_look_whether_the_plugs_are_off_is_no_shot() -> None:
    meter = Meter(LINKS, GROUPS)
    fenced = Note(Level.WARNING, "fenced", "mclaws is fenced")
    meter.record(0, Tick(), [Fence(1, "mclaws", True)])
    meter.record(1, FenceDone(1, EVIDENCE), [])
    meter.record(2, Tick(), [Fence(2, "mclaws")])
    meter.record(3, FenceDone(2, EVIDENCE), [])
    meter.record(4, FenceDone(3, EVIDENCE), [fenced])
    samples = rendered(extra=extra_of(meter))
    assert value(samples, "failover_kit_fence_shots_total", result="failed") == 1
    assert value(samples, "failover_kit_fence_shots_total", result="fenced") == 1


def test_gaps_between_beats_as_histogram_and_longest() -> None:
    meter = Meter(LINKS, GROUPS)
    for now_ms in (1_000, 1_200, 1_450, 2_650):
        meter.beat("eth1", now_ms)
    samples = rendered(extra=extra_of(meter, 2_700))
    name = "failover_kit_beat_gap_seconds"
    cumulated = [value(samples, f"{name}_bucket", link="eth1", le=f"{limit:g}") for limit in GAP_BUCKETS_S]
    assert cumulated == [0, 2, 2, 2, 3, 3, 3, 3, 3, 3]
    assert value(samples, f"{name}_bucket", link="eth1", le="+Inf") == 3
    assert value(samples, f"{name}_count", link="eth1") == 3
    assert value(samples, f"{name}_sum", link="eth1") == 1.65
    assert value(samples, "failover_kit_beat_gap_max_seconds", link="eth1") == 1.2


def test_the_longest_gap_begins_anew_and_an_open_one_counts() -> None:
    gaps = Gaps()
    gaps.happened(0)
    gaps.happened(5_000)
    assert gaps.take(5_100).longest_ms == 5_000
    gaps.happened(5_200)
    assert gaps.take(5_300).longest_ms == 200
    assert gaps.take(9_200).longest_ms == 4_000, "a link that just went silent shows before it is heard again"


def test_a_stalled_core_shows() -> None:
    meter = Meter(LINKS, GROUPS)
    for now_ms in (0, 200, 3_200):
        meter.record(now_ms, Tick(), [])
    assert value(rendered(extra=extra_of(meter, 3_300)), "failover_kit_turn_gap_max_seconds") == 3


# --- the file ---------------------------------------------------------------------------------------------


def write(path: pathlib.Path, said: list[str], rounds: int = 1) -> str:
    """Start, let ``rounds`` files be written, close; what was there before closing."""

    async def whole() -> str:
        metrics = MetricsFile(
            str(path), lambda: (status_examples.status_of(), extra_of()), lambda _, text: said.append(text)
        )
        for _ in range(rounds):
            metrics.start()
            await metrics._worker.run(lambda: None)  # after the write that was handed over before
        there = path.read_text() if path.exists() else ""
        await metrics.close()
        return there

    return asyncio.run(whole())


def test_the_file_is_whole_readable_and_gone_at_the_end(tmp_path: pathlib.Path) -> None:
    path, said = tmp_path / "failover_kit.prom", list[str]()
    parse(write(path, said))
    assert said == []
    assert os.listdir(tmp_path) == []


def test_everybody_may_read_it_and_nothing_else_is_left(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metricsfile.MetricsFile, "_remove", lambda self: None)
    old = os.umask(0o077)
    try:
        write(tmp_path / "failover_kit.prom", [])
    finally:
        os.umask(old)
    assert os.listdir(tmp_path) == ["failover_kit.prom"]
    assert stat.S_IMODE((tmp_path / "failover_kit.prom").stat().st_mode) == 0o644


def test_a_folder_that_is_missing_is_said_once(tmp_path: pathlib.Path) -> None:
    said: list[str] = []
    assert write(tmp_path / "none" / "x.prom", said, rounds=3) == ""
    assert len(said) == 1 and "--metrics-file" in said[0]


def test_every_family_is_in_the_manual_and_no_other() -> None:
    _, types = parse(render(status_examples.status_of(), extra_of()))
    manual = (TOP / "docs" / "metrics.md").read_text()
    named = set(re.findall(r"^\| `((?:failover_kit|ha_cluster)_[a-z_]+)`", manual, re.MULTILINE))
    assert named == set(types)
