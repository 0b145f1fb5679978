"""The bench of failovers runs, so that it does not rot. No speed is asserted anywhere here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CommandResult, run

TOP = Path(__file__).resolve().parents[2]
PATIENCE_MS = 300_000

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces, mounts and a loop device")


def bench(*arguments: str) -> CommandResult:
    return run(["/usr/bin/python3", str(TOP / "bench" / "failover"), *arguments], Deadline(PATIENCE_MS))


@pytest.mark.root
@needs_root
def test_a_switchover_has_its_moments_in_order() -> None:
    result = bench("--runs", "1", "--only", "switchover", "--who", "failoverd", "--json")
    assert result.ok(), result.describe()
    told = json.loads(result.stdout)
    [event] = told["events"]
    [sample] = event["samples"]
    parts = sample["parts"]
    order = ["old: address gone", "old: disk gone", "new: disk", "new: address"]
    assert sorted(parts, key=parts.get) == order
    # The client is without an answer from the one address to the other, at least.
    assert sample["gap_ms"] > (parts["new: disk"] - parts["old: disk gone"])
    assert all(target["value"] is None for target in told["targets"]), "no ratio from one run"


def test_an_unknown_event_is_a_usage_error() -> None:
    assert bench("--only", "lunch").code == 2


def test_a_page_is_written_only_from_everything() -> None:
    page = str(TOP / "docs" / "measurements.md")
    assert bench("--write", page, "--only", "idle").code == 2
    assert bench("--write", page, "--runs", "1").code == 2
    assert bench("--write", str(TOP / "docs" / "no-such-page.md")).code == 2


PAGE = r"""
import sys
sys.path[:0] = [{top!r} + folder for folder in ("/lib", "/bench/failover", "/bench", "/tests")]
import json, page, picture, report
from measure import Idle, Sample

results = report.Results()
for who, factor in (("failoverd", 1), ("Heartbeat", 6), ("Pacemaker", 3)):
    moments = {{"old: address gone": 40, "old: disk gone": 90, "new: disk": 150, "new: address": 210}}
    parts = {{name: ms * factor for name, ms in moments.items()}}
    results.samples[report.SWITCHOVER, who] = [Sample(200.0 * factor, parts)] * 3
    parts = {{"asked": 500, "proved": 600, "new: disk": 700, "new: address": 800, "takeover": 200 * factor}}
    results.samples[report.POWER_LOSS, who] = [Sample(900.0, parts)] * 3
    results.idle[who] = Idle(0.3 * factor, 0.1 * factor, 30.0, 1)
results.samples[report.POWER_LOSS, "keepalived"] = [Sample(490.0, {{"new: address": 480}})] * 3
told_first = page.unfit(results)
results.samples[report.SWITCHOVER, "keepalived"] = [Sample(5.0, {{"old: address gone": 4, "new: address": 8}})] * 3
text = page.section(results, {{"date": "today"}})
old = "# Title\n\n## One\n\n1\n\n## Failovers\n\nold numbers\n\n## Two\n\n2\n"
told = {{"svg": picture.svg(results), "put": page.put(old, text), "unfit": page.unfit(results)}}
told["again"], told["appended"] = page.put(told["put"], text), page.put("# Title\n", text)
told["first"] = told_first
told["nothing"] = picture.svg(report.Results())
results.failures.append("power loss, Pacemaker: nobody was fenced\nlog")
told["failed"] = page.unfit(results)
print(json.dumps(told))
"""


def test_the_section_replaces_the_one_before_and_has_a_picture() -> None:
    result = run(["/usr/bin/python3", "-I", "-c", PAGE.format(top=str(TOP))], Deadline(PATIENCE_MS))
    assert result.ok(), result.stderr
    told = json.loads(result.stdout)
    page = told["put"]
    assert page.startswith("# Title\n\n## One\n\n1\n\n## Failovers\n") and page.endswith("\n\n## Two\n\n2\n")
    assert "old numbers" not in page and page.count("## Failovers") == 1
    assert told["again"] == page, "written twice it is the same"
    assert told["appended"].startswith("# Title\n\n## Failovers\n")
    assert told["first"].startswith("keepalived was not measured")
    assert told["unfit"] == "" and "nobody was fenced" in told["failed"]
    assert "the better of Heartbeat and Pacemaker | 0.33 (to reach: ≤ 0.60: met)" in page
    assert "| idle CPU / Heartbeat | 0.17 (to reach: ≤ 1.00: met) |" in page
    assert "which Heartbeat has not / Heartbeat | 0.17 (no target is set) |" in page
    assert told["nothing"] == ""
    drawing = ElementTree.fromstring(told["svg"])
    said = [title.text for title in drawing.iter("{http://www.w3.org/2000/svg}title")]
    assert "failoverd, being fenced: 500 to 600 ms" in said
    assert "Heartbeat, disk being released: 240 to 540 ms" in said
    assert "keepalived, nothing done yet, or address being started: 0 to 480 ms" in said
