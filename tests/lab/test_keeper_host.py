"""Run directories, requests, what the shelf's witness may claim, the command line: without a lab."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import benjamin, frames, main, needs, overlay, start, wire
from lab.errors import LabError
from lab.lab import Lab
from lab.parts import Shelf
from lab.places import ROOT_LIMIT_BYTES, Places


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Places:
    return Places(str(tmp_path_factory.mktemp("p") / "lab"))


# --- run directories --------------------------------------------------------------------------------------


def test_one_lab_in_a_directory(place: Places) -> None:
    lock = place.make()
    assert place.alive()
    with pytest.raises(LabError, match="a lab runs there already"):
        place.make()
    os.close(lock)
    assert not place.alive()


def test_what_a_dead_lab_left_is_removed(place: Places) -> None:
    os.close(place.make())
    Path(place.shelf).write_text("old")
    os.close(place.make())
    assert not os.path.exists(place.shelf)


def test_a_directory_that_is_no_lab_s_is_not_touched(place: Places) -> None:
    os.mkdir(place.root)
    precious = Path(place.root) / "thesis.txt"
    precious.write_text("x")
    with pytest.raises(LabError, match="not a lab's"):
        place.make()
    with pytest.raises(LabError, match="left as it is"):
        start.end(place)
    assert precious.read_text() == "x"


def test_a_directory_that_others_can_write_is_refused(place: Places) -> None:
    os.mkdir(place.root)
    os.chmod(place.root, 0o777)
    with pytest.raises(LabError, match="belongs to this user alone"):
        place.make()


def test_a_link_is_refused(place: Places, tmp_path: Path) -> None:
    os.symlink(tmp_path, place.root)
    with pytest.raises(LabError, match="belongs to this user alone"):
        place.make()


def test_a_path_too_long_for_sockets_is_refused() -> None:
    with pytest.raises(LabError, match="name a shorter one"):
        Places("/" + "x" * ROOT_LIMIT_BYTES)
    assert len(Places("/" + "x" * (ROOT_LIMIT_BYTES - 1)).masters + "/mclaws" + ".0123456789abcdef") < 108


def test_looking_for_a_lab_makes_nothing(place: Places) -> None:
    os.mkdir(place.root)
    assert not place.alive()
    assert os.listdir(place.root) == []


def test_down_of_a_dead_lab_leaves_nothing(place: Places) -> None:
    os.close(place.make())
    assert start.end(place) == [f"{place.root}: what a lab that died had left was removed"]
    assert not os.path.exists(place.root)
    assert start.end(place) == []


# --- requests ---------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    heard: list[dict[str, Any]] = []

    def answer(what: dict[str, Any]) -> dict[str, Any]:
        heard.append(what)
        if what.get("guest") == "bob":
            raise wire.RequestError("this lab has no 'bob'")
        if what["do"] == "bug":
            raise KeyError("x")
        return {"seen": what["do"]}

    path = str(tmp_path_factory.mktemp("w") / "s")
    wire.Server(path, answer)
    yield path, heard


def test_a_request_and_its_answer(served: tuple[str, list[dict[str, Any]]]) -> None:
    assert wire.request(served[0], {"do": "status"})["seen"] == "status"


def test_a_bug_in_an_answer_is_told_and_the_next_is_answered(served: tuple[str, list[dict[str, Any]]]) -> None:
    with pytest.raises(wire.RequestError, match="KeyError"):
        wire.request(served[0], {"do": "bug"})
    assert wire.request(served[0], {"do": "status"})["ok"]


def outlet(*words: str) -> subprocess.CompletedProcess[str]:
    argv = ["/usr/bin/python3", "-IS", os.path.realpath(wire.__file__), *words]
    return subprocess.run(argv, capture_output=True, text=True, env={}, timeout=60)


def test_what_an_outlet_runs(served: tuple[str, list[dict[str, Any]]]) -> None:
    path, heard = served
    assert outlet(path, "power", "pete", "off").returncode == 0
    assert heard == [{"do": "power", "guest": "pete", "state": "off"}]
    refused = outlet(path, "power", "bob", "on")
    assert (refused.returncode, refused.stderr) == (1, "wire.py: this lab has no 'bob'\n")
    assert outlet(path + "x", "power", "pete", "on").returncode == 1
    assert outlet(path, "power", "pete", "maybe").returncode == 2


def test_nobody_there_names_the_socket(place: Places) -> None:
    with pytest.raises(LabError, match="no lab runs there"):
        Lab.attach(place.root)
    with pytest.raises(wire.RequestError, match="does the lab run"):
        wire.request(place.socket, {"do": "status"})


# --- the witness ------------------------------------------------------------------------------------------

GOOD = {"caught_up": True, "count": 3, "dropped": 0, "full": False, "problem": "", "shelf": ""}


def shelf(place: Places, answer: dict[str, Any], times_ms: tuple[int, ...] = (1000, 5000, 9000)) -> Shelf:
    def ask(do: str, *, timeout_s: float = 0, **what: object) -> dict[str, Any]:
        assert do == "testify"
        return answer

    os.makedirs(place.root)
    pete, mclaws = bytes.fromhex("020000000301"), bytes.fromhex("020000000302")
    lines = [
        frames.RECORD.pack(t_ms * 1_000_000, pete if at % 2 == 0 else mclaws, frames.WRITE, 2, at)
        for at, t_ms in enumerate(times_ms)
    ]
    Path(place.frames).write_bytes(b"".join(lines) + b"half a record"[: frames.RECORD.size // 2])
    return Shelf(ask, place)


def test_frames_by_time_and_node(place: Places) -> None:
    found = shelf(place, GOOD)
    assert [frame.lba for frame in found.frames()] == [0, 1, 2]
    assert [frame.lba for frame in found.frames(since_ms=5000)] == [1, 2]
    assert [frame.lba for frame in found.frames(mac_of="pete", since_ms=1001)] == [2]
    assert [frame.lba for frame in found.frames(until_ms=9000)] == [0, 1]
    assert found.frames(since_ms=9001) == []


def test_a_frame_out_of_order_by_less_than_a_second_is_found(place: Places) -> None:
    found = shelf(place, GOOD, (900, 1600, 1400, 1700))
    assert [frame.lba for frame in found.frames(since_ms=1500)] == [1, 3]


@pytest.mark.parametrize(
    ("fact", "why"),
    [
        ({"dropped": 3}, "lost 3 frames"),
        ({"full": True}, "its record is full"),
        ({"caught_up": False}, "behind"),
        ({"problem": "OSError: x"}, "broke down"),
        ({"shelf": "vblade ended with code 1"}, "vblade ended"),
    ],
)
def test_a_witness_that_missed_something_does_not_testify(place: Places, fact: dict[str, object], why: str) -> None:
    with pytest.raises(LabError, match=why):
        shelf(place, GOOD | fact).frames()


# --- the command line -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["fly"],
        ["up", "--image", "windows"],
        ["shell", "bob"],
        ["cord", "pete", "sideways"],
        ["link", "pete", "eth1"],
    ],
)
def test_what_cannot_be_meant_is_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(argv)
    assert caught.value.code == main.USAGE
    assert "usage: lab" in capsys.readouterr().err


def test_no_lab_is_a_sentence(place: Places, capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["status"], ["shell", "pete"], ["boot"], ["switch", "show"], ["cord", "pete", "out"]):
        assert main.main(["--rundir", place.root, *argv]) == main.FAILED
        assert capsys.readouterr().err == f"lab: {place.root}: no lab runs there; start one with 'up'\n"


def test_needs_are_lines_with_a_remedy(
    place: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(needs, "PATH", "/nonexistent")
    monkeypatch.setattr(needs, "TUN", "/nonexistent/tun")
    monkeypatch.setattr(needs, "MEMORY_BYTES", 1 << 60)
    monkeypatch.setattr(needs, "DISK_BYTES", 1 << 60)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main.main(["--rundir", place.root, "up"]) == main.USAGE
    lines = capsys.readouterr().err.splitlines()
    for word in ("not root", "qemu-system-x86_64 is missing", "modprobe tun", "GiB of memory", "make room"):
        assert [line for line in lines if word in line], word
    assert all("; " in line for line in lines)
    assert not os.path.exists(place.root)


def test_the_printed_commands_work_from_where_the_reader_stands() -> None:
    assert main.command(main.RUNDIR, main.CHECKOUT) == "/usr/bin/python3 tests/lab"
    away = main.command("/var/tmp/other", "/").split()
    assert os.path.isfile(os.path.join(away[1], "__main__.py"))
    assert away[2:] == ["--rundir", "/var/tmp/other"]


def test_the_program_starts_from_its_directory() -> None:
    done = subprocess.run(
        ["/usr/bin/python3", os.path.dirname(os.path.realpath(main.__file__)), "--help"],
        capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, cwd="/", timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "disaster" in done.stdout
    assert sys.version_info >= (3, 11)


@pytest.mark.parametrize(
    ("argv", "head", "words"),
    [
        (["howto", "--scene", "a"], ["howto"], ["--scene", "a"]),
        (["--rundir", "howto", "disaster", "-h"], ["--rundir", "howto", "disaster"], ["-h"]),
        (["--rundir=x", "howto"], ["--rundir=x", "howto"], []),
        (["shell", "pete", "howto"], ["shell", "pete", "howto"], None),
    ],
)
def test_a_play_s_words_are_its_own(argv: list[str], head: list[str], words: list[str] | None) -> None:
    assert main.split(argv) == (head, words)


# --- disks and the switch's address -----------------------------------------------------------------------


def test_an_overlay_has_the_fields_of_its_format() -> None:
    """Field by field from docs/interop/qcow2.txt; that QEMU boots from it is seen in the lab."""
    data = overlay.content("/image/root.img", 1100 << 20)
    assert data[:8] == b"QFI\xfb\0\0\0\3"
    at, length = struct.unpack_from(">QI", data, 8)
    assert data[at : at + length] == b"/image/root.img"
    assert struct.unpack_from(">I", data, 20)[0] == 16
    assert struct.unpack_from(">Q", data, 24)[0] == 1100 << 20
    l1_entries, l1 = struct.unpack_from(">IQ", data, 36)
    assert l1_entries == 3
    assert data[l1 : l1 + 8 * l1_entries] == bytes(24)
    table = struct.unpack_from(">Q", data, 48)[0]
    block = struct.unpack_from(">Q", data, table)[0]
    assert struct.unpack_from(">5H", data, block) == (1, 1, 1, 1, 0)
    assert len(data) == 4 * 65536


def test_an_overlay_never_replaces_a_disk(tmp_path: Path) -> None:
    (tmp_path / "disk").write_text("x")
    with pytest.raises(LabError, match="File exists"):
        overlay.make(str(tmp_path / "disk"), "/proc/version")


def test_the_switch_s_address_is_read_from_what_it_remembers() -> None:
    settings = {"address": "192.0.2.219", "mask": "255.255.255.0"}
    assert benjamin.address_in({"settings": settings}) == "192.0.2.219/24"
    with pytest.raises(ValueError, match="bad"):
        benjamin.address_in({"settings": settings | {"address": "bad"}})
