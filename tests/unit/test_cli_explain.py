"""failoverctl explain and budget as programs: what they print, where they write, and their exit codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import lxml.etree
import pytest

from explain.story_journals import played, written
from failover_kit.explain import budget as sums
from failover_kit.explain import budgettext, whatif
from failover_kit.explain.history import History
from failover_kit.manager.journal import CURRENT

TESTS = Path(__file__).parents[1]
PROGRAM = str(TESTS.parent / "bin" / "failoverctl")


def failoverctl(
    *words: str, program: str = PROGRAM, user: int | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TZ": "UTC", "NO_COLOR": "1"}
    return subprocess.run(
        [program, *words], capture_output=True, text=True, timeout=120, check=False, env=environment, user=user
    )


@pytest.fixture
def takeover(tmp_path: Path) -> str:
    return written(played("power-cut-active")["mclaws"], tmp_path / "journal")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The three files of the HOWTO."""
    copy = tmp_path / "ha.d"
    shutil.copytree(TESTS / "data" / "config" / "howto", copy)
    (copy / "authkeys").chmod(0o600)
    return copy


# --- explain ----------------------------------------------------------------------------------------------


def test_explain_needs_no_daemon_and_changes_nothing(takeover: str) -> None:
    before = (Path(takeover) / CURRENT).read_bytes()
    done = failoverctl("--socket", "/nonexistent", "explain", "--journal", takeover)
    assert done.returncode == 0 and done.stderr == ""
    assert "mclaws took cluster over from pete, which was fenced" in done.stdout
    assert (Path(takeover) / CURRENT).read_bytes() == before
    assert sorted(os.listdir(takeover)) == [CURRENT]


def test_last_keeps_the_numbers_and_brief_leaves_the_timeline_out(takeover: str) -> None:
    last = failoverctl("explain", "--last", "1", "--brief", "--journal", takeover).stdout
    assert " #2 " in last and " #1 " not in last and "the last 1 of them here" in last
    assert "WARNING: fencing pete" not in last
    assert "WARNING: fencing pete" in failoverctl("explain", "--last", "1", "--journal", takeover).stdout
    assert failoverctl("explain", "--last", "0", "--journal", takeover).returncode == 2


def test_json_has_the_facts_with_their_units(takeover: str) -> None:
    plain = json.loads(failoverctl("explain", "--json", "--last", "1", "--journal", takeover).stdout)
    (episode,) = plain["episodes"]
    assert (plain["node"], plain["peer"], episode["topic"]) == ("mclaws", "pete", "takeover")
    took = {phase["step"]: phase["took_ms"] for phase in episode["phases"]}
    assert took["delay"] == 16_000 and took["off"] == 700
    assert episode["shots"][0]["proved"] is True and episode["shots"][0]["plugs"][0]["state"] == "off"


def test_the_page_is_well_formed_needs_nothing_else_and_escapes_what_agents_say(tmp_path: Path) -> None:
    directory = written(played("stuck-switch")["mclaws"], tmp_path / "journal")
    text = (Path(directory) / CURRENT).read_text()
    said = "reads <b>on</b> & 'on'\\u001b[2J"
    (Path(directory) / CURRENT).write_text(text.replace("reads ON after the off", said))
    target = tmp_path / "page.html"
    done = failoverctl("explain", "--html", str(target), "--journal", directory)
    assert done.returncode == 0 and f"{target}: 2 of 2 episodes written" in done.stdout
    page = target.read_text()
    assert "\x1b" not in failoverctl("explain", "--journal", directory).stdout
    tree = lxml.etree.fromstring(page.removeprefix("<!DOCTYPE html>").encode())
    assert len(tree.findall(".//svg")) == 2 and not tree.findall(".//b") and not tree.findall(".//script")
    assert "\x1b" not in page and "http" not in page and "prefers-color-scheme: dark" in page
    for shape in tree.iter("rect", "line", "polygon", "text"):
        for name in ("x", "x1", "x2"):
            assert 0 <= float(shape.get(name, "0")) <= 1000
        assert float(shape.get("width", "1")) > 0


def test_a_page_that_cannot_be_written_is_one_sentence(takeover: str) -> None:
    done = failoverctl("explain", "--html", "/nonexistent/page.html", "--journal", takeover)
    assert done.returncode == 1
    assert done.stderr == (
        "failoverctl: /nonexistent/page.html cannot be written: No such file or directory; "
        "name a file in a directory that is there and yours to write\n"
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "there is no journal (No such file or directory); name the directory"),
        (b"", "the journal is empty: no life of failoverd was recorded in it"),
        (b"\n\n", "no journal that this version can read"),
        (b"hello\nworld\n", "current.jsonl:1: cut short, or no journal of failoverd"),
        (b"half a l", "no journal that this version can read"),
        (b'{"journal":2,"part":1}\n{"t":1}\n', "written by another version of failover-kit"),
    ],
)
def test_without_a_journal_there_is_one_sentence_and_exit_1(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    if content is not None:
        (tmp_path / CURRENT).write_bytes(content)
    done = failoverctl("explain", "--journal", str(tmp_path))
    assert done.returncode == 1 and done.stdout == ""
    assert sentence in done.stderr and done.stderr.count("\n") == 1


def test_what_can_be_read_of_a_damaged_journal_is_told_with_exit_1(takeover: str) -> None:
    path = Path(takeover) / CURRENT
    lines = path.read_bytes().splitlines(keepends=True)
    lines[5] = b"\x1b[2J\n"
    path.write_bytes(b"".join(lines))
    done = failoverctl("explain", "--journal", takeover)
    assert done.returncode == 1
    assert "unknown: 1 line is unreadable" in done.stdout and "mclaws took cluster over" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up root")
def test_only_root_may_read_the_journal(takeover: str) -> None:
    Path(takeover).chmod(0o700)
    with tempfile.TemporaryDirectory() as place:  # others may not get to a checkout under /root
        Path(place).chmod(0o755)
        for name in ("bin", "lib"):
            shutil.copytree(TESTS.parent / name, Path(place) / name, symlinks=True)
        done = failoverctl("explain", "--journal", takeover, program=f"{place}/bin/failoverctl", user=65534)
    assert done.returncode == 4 and "only root may read the journal" in done.stderr


# --- budget -----------------------------------------------------------------------------------------------


def budget(files: Path, *words: str, node: str = "mclaws") -> subprocess.CompletedProcess[str]:
    return failoverctl("budget", "--config-dir", str(files), "--node", node, "--journal", "/nonexistent", *words)


def test_budget_sums_what_the_files_say(files: Path) -> None:
    plain = json.loads(budget(files, "--json").stdout)
    case = {case["name"]: case for case in plain["cases"]}["power-cut-pete"]
    worst = {line["phase"]: line["worst_ms"] for line in case["phases"]}
    assert (worst["silence"], worst["delay"], worst["fencing"]) == (10_000, 2 * 16_000, 60_000)
    resources = sum(line["worst_ms"] for line in plain["resources"] if line["phase"].startswith("start "))
    assert case["worst_ms"] == 10_000 + 32_000 + 60_000 + resources
    assert case["usual_ms"] is None and "nothing is measured: /nonexistent" in plain["remarks"][-1]


def test_the_home_node_of_the_first_group_waits_half(files: Path) -> None:
    plain = json.loads(budget(files, "--json", node="pete").stdout)
    worst = {line["phase"]: line["worst_ms"] for line in plain["cases"][0]["phases"]}
    assert worst["delay"] == 16_000


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("deadtime=3", "deadtime 3"),
        ("keepalive=6", "keepalive 6"),
        ("fence_delay=5", "fence_delay 5"),
        ("deadtime=soon", "deadtime soon"),
        ("op_timeout=2d", "op_timeout 2d"),
    ],
)
def test_an_impossible_what_if_is_refused_as_the_file_would_be(files: Path, change: str, line: str) -> None:
    refused = budget(files, "--what-if", change)
    assert refused.returncode == 6
    text = (files / "ha.cf").read_text()
    name = line.split()[0]
    found = [old for old in text.splitlines() if old.split()[:1] == [name]]
    text = text.replace(found[0], line) if found else text + line + "\n"
    (files / "ha.cf").write_text(text)
    daemon = str(TESTS.parent / "bin" / "failoverd")
    checked = subprocess.run(
        [daemon, "--check", "--config-dir", str(files), "--node", "mclaws"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    problems = [said.partition(": ")[2] for said in checked.stderr.splitlines() if "ha.cf:" in said]
    assert problems and f"failoverctl: with {change}: {problems[0]}" == refused.stderr.splitlines()[0]


def test_a_serial_line_that_cannot_carry_it_is_refused_too(files: Path) -> None:
    refused = budget(files, "--what-if", "keepalive=50ms")
    assert refused.returncode == 6 and "more than 80 % of keepalive" in refused.stderr


def test_a_possible_what_if_is_held_against_now(files: Path) -> None:
    done = budget(files, "--what-if", "deadtime=6", "--json")
    assert done.returncode == 0
    plain = json.loads(done.stdout)
    now, then = plain["now"][0], plain["cases"][0]
    assert now["worst_ms"] - then["worst_ms"] == 3 * 4_000, "deadtime once, and twice in fence_delay"


@pytest.mark.parametrize("word", ["dead=3", "deadtime", "deadtime=", "deadtime=3\nnode x", "node=x"])
def test_what_is_no_time_of_ha_cf_is_usage(files: Path, word: str) -> None:
    done = budget(files, "--what-if", word)
    assert done.returncode == 2 and "--what-if: " in done.stderr and "Traceback" not in done.stderr


def test_without_a_fence_device_there_is_no_bound(files: Path) -> None:
    text = (files / "ha.cf").read_text()
    (files / "ha.cf").write_text("\n".join(x for x in text.splitlines() if not x.startswith("stonith_host")) + "\n")
    done = budget(files)
    assert done.returncode == 0 and "without end" in done.stdout and "confirm-dead pete" in done.stdout


def test_budget_measures_from_the_journal(files: Path, takeover: str) -> None:
    """The stage's times are deadtime 2 s and fence_delay 8 s, so its waits count only under these."""
    text = (files / "ha.cf").read_text().replace("deadtime 10", "deadtime 2").replace("warntime 5", "warntime 1")
    text = text.replace("keepalive 1", "keepalive 500ms").replace("baud 9600", "baud 38400") + "fence_delay 8\n"
    (files / "ha.cf").write_text(text)
    words = ("budget", "--config-dir", str(files), "--node", "mclaws", "--journal", takeover, "--json")
    measured = _measured(json.loads(failoverctl(*words).stdout))
    assert measured["silence"]["count"] == 1 and 2_000 <= measured["silence"]["median_ms"] <= 2_200
    assert measured["delay"]["median_ms"] == 16_000 and measured["fencing"]["median_ms"] == 1_000
    other = _measured(json.loads(failoverctl(*words, "--what-if", "fence_delay=9").stdout))
    assert other["silence"] is None and other["delay"] is None, "waits under other times prove nothing"
    assert other["fencing"]["median_ms"] == 1_000


def _measured(plain: dict) -> dict:  # type: ignore[type-arg]
    return {line["phase"]: line["measured"] for line in plain["cases"][0]["phases"]}


def test_tables_fit_80_columns(files: Path) -> None:
    config = whatif.load(str(files), {})
    history = History(None)
    cases, resources = sums.budget(config, "mclaws", history), sums.resources(config, history)
    shown = budgettext.Shown(cases=cases, before=None, resources=resources, remarks=())
    assert max(len(line) for line in budgettext.render(shown, 80).splitlines()) <= 80
