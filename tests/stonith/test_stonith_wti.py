"""``stonith -t wti_nps`` beside cluster-glue's, on the same emulated switch; and what theirs cannot do.

The tests after ``traps`` are named after the weaknesses of wti_nps that were measured against the same
emulator (docs/stonith.md): each must be impossible here.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from failover_kit.emulator.harness import EmulatorProcess
from stonith.commands import OURS, PATH, PATIENCE_S, THEIRS, Answer, run
from stonith.switches import ADDRESS, PARAMETERS, PASSWORD, ScriptedSwitch, emulator, namespace

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace"),
]
beside_theirs = pytest.mark.skipif(not Path(THEIRS).exists(), reason="needs the package cluster-glue")


@pytest.fixture
def inside() -> Iterator[list[str]]:
    with namespace() as prefix:
        yield prefix


@pytest.fixture
def classic(inside: list[str], tmp_path: Path) -> Iterator[EmulatorProcess]:
    """On port 23, which is all cluster-glue's wti_nps knows."""
    with emulator(str(tmp_path), prefix=inside) as switch:
        yield switch


@pytest.fixture
def switch(tmp_path: Path) -> Iterator[EmulatorProcess]:
    with emulator(str(tmp_path)) as running:
        yield running


def ours(port: int, *arguments: str, **parameters: str) -> Answer:
    """Ours on a terminal, with all parameters as name=value."""
    given = {**PARAMETERS, "ipport": str(port), **parameters}
    pairs = [f"{name}={value}" for name, value in given.items()]
    return run(OURS, ["-t", "wti_nps", *pairs, *arguments], terminal=True)


# --- beside theirs ---------------------------------------------------------------------------------


@beside_theirs
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-S"], 0),
        (["-l"], 0),
        (["mclaws"], 0),
        (["-T", "reset", "pete"], 0),
        (["MCLAWS", "-T", "off"], 0),
        (["-T", "on", "pete"], 0),
        (["-S", "-l", "pete"], 0),
        (["-S", "-c", "2"], 0),
        (["kokone"], 4),
        (["-T", "off", "kokone"], 4),
    ],
)
def test_same_outcome_on_the_same_switch(
    inside: list[str], classic: EmulatorProcess, arguments: list[str], code: int
) -> None:
    for _ in range(5):  # theirs waits five seconds for each answer; on a busy machine they may be over
        theirs = run(THEIRS, ["-t", "wti_nps", "-E", *arguments], terminal=True, env=PARAMETERS, prefix=inside)
        if theirs.code == code:
            break
    mine = run(OURS, ["-t", "wti_nps", "-E", *arguments], terminal=True, env=PARAMETERS, prefix=inside)
    assert (mine.code, mine.out) == (theirs.code, theirs.out)
    assert mine.code == code
    if code == 0:
        # Theirs numbers the outlets, ours names the node.
        assert _without_outlets(mine.err) == _without_outlets(theirs.err)


def _without_outlets(text: str) -> list[str]:
    """The words, those of an outlet's switching cut to what is common to both.

    "connect() failed" is theirs while the emulator still closes the session before.
    """
    lines = [line for line in text.splitlines() if not line.startswith("connect() failed")]
    return [" ".join([*line.split()[:4], line.split()[-1]]) if "outlet" in line else line for line in lines]


def test_the_line_of_the_howto(inside: list[str], classic: EmulatorProcess) -> None:
    answer = run(
        OURS, ["-t", "wti_nps", "-p", f"{ADDRESS} {PASSWORD}", "mclaws", "-S"], terminal=True, prefix=inside
    )
    assert answer.code == 0
    assert answer.out == ""
    assert answer.err.splitlines() == [
        "info: Successful login to WTI Network Power Switch.",
        "info: wti_nps device OK.",
        "info: Successful login to WTI Network Power Switch.",
        "info: Host is being rebooted: mclaws",
        "info: Power restored to host: mclaws",
    ]
    moves = [(event["outlet"], event["to"]) for event in classic.events("switched")]
    assert moves == [(2, "off"), (5, "off"), (2, "on"), (5, "on")]


def test_a_script_sees_nothing_but_the_hosts(inside: list[str], classic: EmulatorProcess) -> None:
    answer = run(OURS, ["-t", "wti_nps", "-E", "-S", "-l", "pete"], env=PARAMETERS, prefix=inside)
    assert answer == Answer(0, "pete\nmclaws\nmclaws\n", "")


def test_parameters_from_a_file(tmp_path: Path, inside: list[str], classic: EmulatorProcess) -> None:
    config = tmp_path / "switch.conf"
    config.write_text(f"# the switch\n\n{ADDRESS}   {PASSWORD}  \n")
    config.chmod(0o640)
    assert run(OURS, ["-t", "wti_nps", "-F", str(config), "-S"], prefix=inside) == Answer(0, "", "")


# --- traps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "before"), [("off", "on"), ("reset", "on"), ("on", "off")])
def test_a_plug_that_never_switched_is_a_failure(switch: EmulatorProcess, action: str, before: str) -> None:
    switch.press(5, before)
    switch.fault("stuck", 5)
    answer = ours(switch.port, "-T", action, "mclaws", power_timeout="1", retry_on="0")
    assert answer.code == 5  # S_RESETFAIL
    assert "Timed out waiting to power" in answer.err
    assert "Power" not in answer.err.replace("power O", "")
    assert switch.outlet_state(5) == before


def test_power_that_does_not_come_back_is_said_and_the_node_is_fenced(switch: EmulatorProcess) -> None:
    """Off was read back: that is what a cluster waits for. Nobody is told that power was restored."""
    switch.press(1, "off")
    switch.fault("stuck", 1)
    answer = ours(switch.port, "pete", power_timeout="1", retry_on="1")
    assert answer.code == 0
    assert "WARN: Power is not known to be restored to host: pete" in answer.err
    assert "info: Power restored" not in answer.err


NARROW = (
    "\r\nInternet Power Switch v1.41d    Site ID: (undefined)\r\n\r\n"
    " Plug | Name           | Password    | Status | Boot/Seq. Delay | Default |\r\n"
    "-----+----------------+-------------+--------+-----------------+---------+\r\n"
    " 1   | pete           | (undefined) |   ON   |     0.5 Secs    |   ON    |\r\n"
    " 2   | mclaws         | (undefined) |   ON   |     0.5 Secs    |   ON    |\r\n"
    "-----+----------------+-------------+--------+-----------------+---------+\r\n\r\n"
    '"/H" for help.\r\n\r\n'
)


@pytest.mark.parametrize("prompt", ["IPS> ", "VMR> ", "RSM> ", "MPC> "])
def test_a_narrow_name_column_and_any_prompt_give_clean_names(prompt: str) -> None:
    """The v1.41d layout and the newer units: theirs lists ``pete          |`` or waits for a prompt it knows."""
    with ScriptedSwitch(NARROW + prompt, {}) as scripted:
        assert ours(scripted.port, "-l").out == "pete\nmclaws\n"
        assert ours(scripted.port, "kokone", "-T", "off").code == 4
        # Nothing but questions (status, plug groups), and each session ended.
        sent = [line.upper() for line in scripted.lines if line]
        assert set(sent) <= {"/S", "/SG", "/X,Y"}
        assert sent.count("/X,Y") == 2


def test_a_serial_line_instead_of_the_network(tmp_path: Path) -> None:
    with emulator(str(tmp_path), serial=True) as switch:
        pairs = [f"serial={switch.serial_path}", f"password={PASSWORD}"]
        assert run(OURS, ["-t", "wti_nps", *pairs, "-l"]) == Answer(0, "pete\nmclaws\nmclaws\n", "")
        assert run(OURS, ["-t", "wti_nps", *pairs, "-T", "off", "pete"]).code == 0
        assert switch.outlet_state(1) == "off"


@pytest.mark.parametrize(("variant", "user"), [("nps", ""), ("vmr", "admin")])
def test_other_units_of_the_same_maker(tmp_path: Path, variant: str, user: str) -> None:
    with emulator(str(tmp_path), variant=variant, user=user) as switch:
        login = {} if not user else {"username": user}
        assert ours(switch.port, "-l", **login).out.split() == ["pete", "mclaws", "mclaws"]
        assert ours(switch.port, "mclaws", **login).code == 0
        moves = [(event["outlet"], event["to"]) for event in switch.events("switched")]
        assert moves == [(2, "off"), (5, "off"), (2, "on"), (5, "on")]


def test_a_wrong_password_is_tried_once(switch: EmulatorProcess) -> None:
    answer = ours(switch.port, "pete", password="no such secret")
    assert answer.code == 2  # S_ACCESS
    assert len(switch.events("login_refused")) == 1
    assert switch.events("switched") == []
    assert "no such secret" not in answer.err
    # Nobody stands in the way of the next one.
    assert ours(switch.port, "-S").code == 0


def test_a_unit_without_a_password_works(tmp_path: Path) -> None:
    with emulator(str(tmp_path), password=None) as open_unit:
        assert ours(open_unit.port, "-l", password="").out == "pete\nmclaws\nmclaws\n"
        assert ours(open_unit.port, "-T", "off", "pete", password="").code == 0
        assert open_unit.outlet_state(1) == "off"


def test_a_closed_port_is_an_exit_code_not_an_abort() -> None:
    """Theirs ends with SIGABRT, "bit out of range 0 - FD_SETSIZE", after 19 s."""
    with socket.create_server((ADDRESS, 0)) as taken:
        port = taken.getsockname()[1]
    for arguments in (["-S"], ["pete"]):
        assert ours(port, *arguments, timeout="1", login_timeout="1").code == 2
    answer = ours(port, "-l", timeout="1")
    assert answer.code == 255
    assert "ERROR: Could not list hosts for wti_nps." in answer.err


def test_a_switch_that_was_taken_for_a_while_is_operated(switch: EmulatorProcess) -> None:
    with socket.create_connection((switch.address, switch.port)) as other:
        other.recv(100)
        child = _start(switch.port, "-T", "off", "pete")
        _agent_of(child)
        # Time to be turned away a few times; on a slow machine the test only proves less.
        time.sleep(1)
        assert child.poll() is None
    assert child.wait(PATIENCE_S) == 0
    assert switch.outlet_state(1) == "off"


def test_debugging_does_not_show_the_password(switch: EmulatorProcess) -> None:
    answer = ours(switch.port, "-d", "-d", "-S")
    assert answer.code == 0
    assert "/S" in answer.err  # the dialogue is there
    assert PASSWORD not in answer.err
    assert PASSWORD not in ours(switch.port, "-d", "pete", power_timeout="x").err


def test_an_unknown_node_logs_out(switch: EmulatorProcess) -> None:
    answer = ours(switch.port, "-T", "off", "kokone")
    assert answer.code == 4
    assert f"WARN: {ADDRESS} doesn't control host [kokone]" in answer.err
    assert [event["text"] for event in switch.events("command")] == ["/S", "/X,Y"]
    assert switch.events("switched") == []


def test_a_password_in_the_environment_under_another_name(switch: EmulatorProcess) -> None:
    """Only the variable that is named reaches the agent."""
    pairs = [f"ipaddr={ADDRESS}", f"ipport={switch.port}", "password_env=SWITCH_WORD"]
    line = ["-t", "wti_nps", *pairs, "-S"]
    assert run(OURS, line, env={"SWITCH_WORD": PASSWORD}).code == 0
    assert run(OURS, line).code != 0


def test_a_trailing_blank_is_not_part_of_the_password(inside: list[str], classic: EmulatorProcess) -> None:
    answer = run(OURS, ["-t", "wti_nps", "-p", f" {ADDRESS}  {PASSWORD} ", "-S"], prefix=inside)
    assert answer.code == 0


def test_half_the_parameters_do_not_print_the_other_half() -> None:
    """Theirs prints the -p text, which is the password of whoever forgot the address."""
    answer = run(OURS, ["-t", "wti_nps", "-p", PASSWORD, "-S"], terminal=True)
    assert answer.code == 1
    assert PASSWORD not in answer.err


@pytest.mark.parametrize("node", ["1+2", "1,2", "*", "1:8", "pete\r/OFF *", "-T", " "])
def test_a_node_name_cannot_widen_a_command(switch: EmulatorProcess, node: str) -> None:
    answer = ours(switch.port, "-T", "off", "--", node)
    assert answer.code in (4, 1)
    assert switch.events("switched") == []


def test_no_password_in_any_command_line_nor_in_our_own(switch: EmulatorProcess) -> None:
    """-p cannot be avoided, but it does not stay in ps: it is overwritten before anything is waited for."""
    with socket.create_connection((switch.address, switch.port)) as other:
        other.recv(100)
        child = _start(switch.port, "pete")
        _agent_of(child)
        lines = _command_lines(child.pid)
        child.terminate()
        child.wait(PATIENCE_S)
    assert len(lines) == 2, lines  # stonith and the agent
    assert any("fence_wti_ips800" in line for line in lines)
    assert not any(PASSWORD in line for line in lines)


def test_whoever_ends_it_ends_its_agent(switch: EmulatorProcess) -> None:
    with socket.create_connection((switch.address, switch.port)) as other:
        other.recv(100)
        child = _start(switch.port, "pete")
        agent = _agent_of(child)
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE_S) == 8
        end = time.monotonic() + PATIENCE_S
        while Path(f"/proc/{agent}").exists():
            assert time.monotonic() < end, "the agent goes on"
            time.sleep(0.02)
    assert switch.events("switched") == []


def test_a_mute_switch_does_not_hold_it_beyond_the_timeout(switch: EmulatorProcess) -> None:
    switch.fault("mute")
    answer = ours(switch.port, "--timeout=3", "-S")
    assert answer.code in (2, 6)
    assert "device not accessible" in answer.err


def _start(port: int, *arguments: str) -> subprocess.Popen[bytes]:
    pairs = [f"ipaddr={ADDRESS}", f"ipport={port}", f"password={PASSWORD}"]
    return subprocess.Popen(
        [OURS, "-t", "wti_nps", *pairs, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": PATH},
    )


def _agent_of(child: subprocess.Popen[bytes]) -> int:
    """The pid of the agent, once ``child`` runs it."""
    end = time.monotonic() + PATIENCE_S
    while True:
        for pid in _children(child.pid):
            if b"fence_wti_ips800" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        assert time.monotonic() < end, "no agent was started"
        time.sleep(0.02)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command_lines(pid: int) -> list[str]:
    """Of the process and all below it."""
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()]
    for child in _children(pid):
        lines += _command_lines(child)
    return lines
