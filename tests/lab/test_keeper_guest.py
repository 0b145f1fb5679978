"""The host's side of a guest: words, waits, errors; no machine needed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab import guest, plan
from lab.errors import GuestError, LabError
from lab.guest import Guest
from lab.places import Places

HARD = ["", "a b", "$HOME", "it's", '"', "`id`", "*", "-n", "a\nb", "\\", "é", "#", "~", "!x", ";", "&", "\t"]


def test_words_arrive_exactly_as_they_are() -> None:
    words = guest.remote_words(["printf", "%s\\0", *HARD])
    out = subprocess.run(["sh", "-c", words], stdout=subprocess.PIPE, check=True, timeout=30).stdout
    assert out.decode().split("\0")[:-1] == HARD


def test_programs_of_sbin_are_found() -> None:
    words = guest.remote_words(["sh", "-c", "echo $PATH $LC_ALL"])
    out = subprocess.run(["/bin/sh", "-c", words], stdout=subprocess.PIPE, env={}, timeout=30)
    assert out.stdout.decode().split() == [guest.GUEST_PATH, "C"]


def test_ssh_never_connects_by_itself() -> None:
    """Without its master it would connect to a host called pete on whatever network this machine has."""
    argv = guest.ssh_argv("/nowhere/pete", "pete", "true")
    assert "ProxyCommand=/bin/false" in argv
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    assert done.returncode == guest.SSH_FAILED


def test_a_tail_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "console"
    path.write_bytes(b"one\r\n\x1b[33mtwo\x1b[0m\r\nthr\xffee\r\n")
    assert guest.tail(str(path), 2) == "two\nthr\ufffdee"
    assert guest.tail(str(tmp_path / "none"), 2) == ""


class Keeper:
    """Answers for a keeper."""

    def __init__(self, **view: object) -> None:
        self.view: dict[str, Any] = {"on": True, "boot": 1, "cord": True, "outlet": True, "remark": "", **view}

    def __call__(self, do: str, *, timeout_s: float = 0, **what: object) -> dict[str, Any]:
        if do == "guest":
            return self.view
        raise LabError(f"pete: no {do} here")


def made(folder: Path, **view: object) -> Guest:
    places = Places(str(folder))
    (folder / "consoles").mkdir()
    (folder / "consoles" / "pete.1.log").write_text("Starting\nKernel panic - not syncing\n")
    return Guest(plan.PETE, places, Keeper(**view))


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("g")


@pytest.mark.parametrize(
    ("view", "why"),
    [
        ({"cord": False}, "its power cord is out"),
        ({"outlet": False}, "its outlet is off"),
        ({}, "it ended by itself; boot it again"),
        ({"remark": "5 resets of its own"}, "5 resets of its own"),
    ],
)
def test_waiting_for_a_machine_that_is_off_says_why_at_once(short: Path, view: dict[str, object], why: str) -> None:
    with pytest.raises(LabError) as caught:
        made(short, on=False, **view).wait_ready(60)
    assert f"pete is off ({why})" in str(caught.value)
    assert "| Kernel panic - not syncing" in str(caught.value)


def test_a_wait_ends_with_the_console(short: Path) -> None:
    with pytest.raises(LabError, match=r"pete was not ready within 0 s(?s:.)*\| Kernel panic"):
        made(short).wait_ready(0)


def test_a_command_that_cannot_be_run_names_itself_and_ends_with_the_console(short: Path) -> None:
    with pytest.raises(GuestError, match="pete cannot run") as caught:
        made(short).run(["echo", "a b"])
    assert "echo 'a b'" in str(caught.value)
    assert "| Kernel panic" in str(caught.value)
    assert caught.value.code is None


def test_ready_is_a_line_of_its_own() -> None:
    assert guest.READY.search(b"x\r\nLAB-READY pete 4.1\r\n")
    assert not guest.READY.search(b"waiting for LAB-READY pete\n")
