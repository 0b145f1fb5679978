"""Where the password comes from, and what validate-all knows without asking the device."""

from __future__ import annotations

import importlib.util
import os
import time
from typing import Any

import pytest

from failover_kit.fence.config import check
from failover_kit.fence.options import read_stdin
from failover_kit.fence.validate import host_problems
from fence.parts import PASSWORD, Answer, agent, certificate, switch

SECRET = "hidden-Pa55"


@pytest.fixture
def secret_file(tmp_path: Any) -> Any:
    path = tmp_path / "secret file"
    path.write_text(SECRET + "\nsecond line\n")
    path.chmod(0o600)
    return path


def test_every_source_opens_the_device(tmp_path: Any) -> None:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    path.chmod(0o600)
    with switch(tmp_path) as emulator:
        base = ("ip=127.0.0.1", f"ipport={emulator.port}", "action=status", "plug=1")
        sources = (f"password={PASSWORD}", f'password="{PASSWORD}"', f"passwd={PASSWORD}", f"password_file={path}",
                   f"password_script=cat '{path}'", "password_env=WTI_SECRET")  # fmt: skip
        for source in sources:
            assert agent(*base, source, env={"WTI_SECRET": PASSWORD}) == Answer(0, "Status: ON\n", ""), source
        # The first of script, file, environment and option counts.
        order = (f"password_script=cat {path}", "password_file=/nonexistent", "password_env=NOWHERE", "password=x")
        assert agent(*base, *order).code == 0
        assert "/nonexistent" in agent(*base, *order[1:]).err
        assert "NOWHERE" in agent(*base, *order[2:]).err


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["password_env=NOT_SET"], "the environment has no variable NOT_SET"),
        (["password_env=EMPTY"], "gives no usable password"),
        (["password_file=/nonexistent"], "No such file"),
        (["password_file=/"], "Is a directory"),
        (["password_script=/nonexistent/script"], "did not run"),
        (["password_script=echo 'x"], "quotes do not match"),
        (["password_script=/bin/false"], "exited 1"),
        (["password_script=/bin/true"], "gives no usable password"),
        (["password_script=printf 'a\\nb'"], "gives no usable password"),
    ],
)
def test_a_source_that_does_not_work_is_named_and_nothing_else_is_tried(lines: list[str], words: str) -> None:
    answer = agent("ip=192.0.2.1", "plug=1", "action=status", "password=x", *lines, env={"EMPTY": ""})
    assert answer.code == 1
    assert words in answer.err
    assert "bug" not in answer.err


def test_a_script_is_no_shell_command(tmp_path: Any) -> None:
    mark = tmp_path / "mark"
    answer = agent("ip=192.0.2.1", "plug=1", "action=status", f"password_script=/bin/false; touch {mark}")
    assert answer.code == 1
    assert not mark.exists()


def test_a_script_that_hangs_ends_with_the_deadline() -> None:
    started = time.monotonic()
    answer = agent("ip=192.0.2.1", "plug=1", "action=status", "password_script=sleep 100", "timeout=1")
    assert answer.code == 1
    assert "CommandTimeout" in answer.err
    assert time.monotonic() - started < 50


def test_a_file_others_can_read_and_a_pipe_nobody_fills(tmp_path: Any, secret_file: Any) -> None:
    secret_file.chmod(0o604)
    assert "open to everybody" in agent("ip=h", "plug=1", "action=status", f"password_file={secret_file}").err
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    assert "no usable password" in agent("ip=h", "plug=1", "action=status", f"password_file={pipe}").err


# validate-all.

VALID = ("action=validate-all", "ip=192.0.2.1", "plug=node1")


def test_validate_all_of_what_is_fine(tmp_path: Any, secret_file: Any) -> None:
    pem = certificate(tmp_path)
    ssh = ("ssh=1", "username=u")
    for lines in (
        VALID,
        (*VALID, f"password_file={secret_file}"),
        (*VALID, "password_script=/bin/cat /nonexistent"),
        (*VALID, "password_env=THERE"),
        (*VALID, *ssh, f"identity_file={secret_file}"),
        (*VALID, "rest=1", "username=u", "password=x", f"ca_file={pem}"),
        ("action=validate-all", "plug=node1", "serial=/dev/not-in-this-node"),
    ):
        assert agent(*lines, env={"THERE": "x"}) == Answer(0, "", ""), lines


def test_validate_all_names_every_problem_at_once(tmp_path: Any) -> None:
    lines = ("password_script=/nonexistent", "ssh=1", "username=u", "identity_file=/nope", "ssh_path=/no/ssh")
    answer = agent(*VALID, *lines)
    assert answer.code == 1
    assert answer.out == ""
    for words in ("the password script cannot be run", "Identity file /nope does not exist", "/no/ssh cannot be"):
        assert f"ERROR: Failed: {words}" in answer.err
    assert "ERROR:" in agent(*VALID, "password_script='").err


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["password_env=NOT_SET"], "NOT_SET"),
        (["password_file=/nonexistent"], "No such file"),
        (["rest=1", "username=u", "password=x", "ca_file=/etc/hostname"], "no PEM certificate"),
        (["serial=/etc/hostname"], "is not a serial line"),
        (["serial=ttyS0"], "whole path"),
        (["ssh=1", "rest=1", "username=u", "password=x"], "exclude each other"),
        (["ssh=1", "username=u"], "You have to enter password, password script or identity file"),
    ],
)
def test_validate_all_finds(lines: list[str], words: str) -> None:
    answer = agent(*VALID, *lines)
    assert answer.code == 1
    assert words in answer.err


def test_validate_all_runs_no_script_and_shows_no_secret(tmp_path: Any, secret_file: Any) -> None:
    mark = tmp_path / "mark"
    assert agent(*VALID, f"password_script=touch {mark}") == Answer(0, "", "")
    assert not mark.exists()
    secret_file.chmod(0o604)
    assert SECRET not in agent(*VALID, f"password_file={secret_file}", "verbose=1").err


@pytest.mark.parametrize(
    ("lines", "package"),
    [
        (["serial=/dev/ttyS0", "plug=1"], "python3-serial"),
        (["ip=h", "plug=1", "ssh=1", "username=u", "password=x"], "python3-pexpect"),
        (["ip=h", "plug=1"], ""),
        (["ip=h", "plug=1", "rest=1", "username=u", "password=x"], ""),
    ],
)
def test_validate_all_names_the_package_that_is_missing(
    lines: list[str], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    found = host_problems(check(read_stdin(["action=validate-all", *lines])), {})
    assert len(found) == (1 if package else 0)
    assert all(package in problem for problem in found)
