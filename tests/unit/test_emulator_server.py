"""The emulator on real sockets, inside this process: sessions, faults, outlets that run commands."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from failover_kit.emulator import control
from failover_kit.emulator.control import ControlError, ControlServer
from failover_kit.emulator.server import Emulator, EmulatorConfig, OutletConfig
from failover_kit.emulator.unit import Line

PATIENCE_S = 60
PROMPT = b"IPS> "


class Client:
    """A telnet user without options."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def until(self, mark: bytes) -> bytes:
        return await asyncio.wait_for(self._reader.readuntil(mark), PATIENCE_S)

    async def type(self, text: str, mark: bytes = PROMPT) -> bytes:
        self._writer.write(text.encode())
        return await self.until(mark)

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        return await asyncio.wait_for(self._reader.read(), PATIENCE_S)

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Emulator]:
    emulator = Emulator(EmulatorConfig(port=0, **settings))
    await emulator.start()
    try:
        yield emulator
    finally:
        await emulator.stop()


@asynccontextmanager
async def session(emulator: Emulator) -> AsyncIterator[Client]:
    """A logged-in user; tries again while the end of the session before has not been noticed."""
    client = await connected(emulator)
    try:
        yield client
    finally:
        await client.close()


async def connected(emulator: Emulator) -> Client:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return Client(*await asyncio.open_connection(emulator.address, emulator.port))
            except ConnectionRefusedError:
                await asyncio.sleep(0)


def drive(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 2 * PATIENCE_S))


def state(emulator: Emulator, number: int) -> str:
    return "on" if emulator.device.outlet(number).on else "off"


def python(code: str, *arguments: str) -> Sequence[str]:
    return [sys.executable, "-I", "-S", "-c", code, *arguments]


def test_a_second_session_is_refused_and_the_first_goes_on() -> None:
    async def story() -> None:
        async with running() as emulator, session(emulator) as first:
            await first.until(PROMPT)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(emulator.address, emulator.port)
            assert b"Plug | Name" in await first.type("/S\r")

    drive(story)


def test_after_logout_the_same_port_takes_the_next_session_at_once() -> None:
    """The device listens again before the client can see the end of the connection."""

    async def story() -> None:
        async with running() as emulator:
            for _ in range(20):
                reader, writer = await asyncio.open_connection(emulator.address, emulator.port)
                client = Client(reader, writer)
                await client.until(PROMPT)
                await client.type("/X,Y\r", b"/X,Y\r\n")
                assert await client.rest() == b""
                await client.close()

    drive(story)


def test_nobody_else_gets_the_port_while_the_device_does_not_listen() -> None:
    async def story() -> None:
        async with running() as emulator, session(emulator) as first:
            await first.until(PROMPT)
            with socket.socket() as thief, pytest.raises(OSError, match="in use"):
                thief.bind((emulator.address, emulator.port))

    drive(story)


def test_refuse_closes_the_door_until_it_is_cleared() -> None:
    async def story() -> None:
        async with running() as emulator:
            emulator.set_fault("refuse", [], None)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(emulator.address, emulator.port)
            emulator.clear_fault("refuse", None)
            async with session(emulator) as client:
                await client.until(PROMPT)

    drive(story)


def test_drop_ends_the_connection_and_the_outlet_switches() -> None:
    async def story() -> None:
        async with running() as emulator, session(emulator) as client:
            await client.until(PROMPT)
            emulator.set_fault("drop", [], None)
            await client.type("/OFF 1,Y\r", b"/OFF 1,Y")
            assert PROMPT not in await client.rest()
            assert state(emulator, 1) == "off"

    drive(story)


def test_who_is_told_of_a_command_finds_it_in_the_diary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test reads the diary when its client has ended, which may be before the emulator's next turn."""
    log = tmp_path / "log"
    written: list[int] = []
    say = Emulator._say

    def said(emulator: Emulator, line: Line, data: bytes) -> None:
        if PROMPT in data:
            written.append(log.read_text().count('"command"'))
        say(emulator, line, data)

    monkeypatch.setattr(Emulator, "_say", said)

    async def story() -> None:
        async with running(log_path=str(log)) as emulator, session(emulator) as client:
            await client.until(PROMPT)
            await client.type("/S\r")

    drive(story)
    assert written == [0, 1]


def test_an_idle_session_is_disconnected() -> None:
    async def story() -> None:
        async with running(idle_timeout_ms=50) as emulator, session(emulator) as client:
            await client.until(PROMPT)
            assert await client.rest() == b""

    drive(story)


def test_the_off_command_runs_with_its_environment_before_off_is_shown(tmp_path: Path) -> None:
    async def story() -> None:
        mark = tmp_path / "mark"
        code = (
            "import os, sys; open(sys.argv[1], 'w')"
            ".write(' '.join(os.environ[k] for k in ('WTI_OUTLET', 'WTI_NAME', 'WTI_STATE')))"
        )
        outlet = OutletConfig("pete", off_command=python(code, str(mark)))
        async with running(outlets={1: outlet}) as emulator, session(emulator) as client:
            await client.until(PROMPT)
            said = await client.type("/OFF pete,Y\r")
            assert mark.read_text() == "1 pete off"
            assert b"|  OFF   |" in said

    drive(story)


def test_a_failing_or_missing_or_late_off_command_leaves_the_plug_on(tmp_path: Path) -> None:
    async def story() -> None:
        log = tmp_path / "log"
        outlets = {
            1: OutletConfig(delay_ms=0, off_command=python("import sys; sys.exit('no such node')")),
            2: OutletConfig(delay_ms=0, off_command=["/nonexistent/off"]),
            3: OutletConfig(delay_ms=0, off_command=python("import signal; signal.pause()")),
        }
        for limit_ms, plugs in ((30_000, "1:2"), (500, "3")):  # only the third is to be too late
            settings = {"outlets": outlets, "outlet_timeout_ms": limit_ms, "log_path": str(log)}
            async with running(**settings) as emulator, session(emulator) as client:
                await client.until(PROMPT)
                said = await client.type(f"/OFF {plugs},Y\r")
                assert b"|  OFF   |" not in said
                assert [state(emulator, number) for number in (1, 2, 3)] == ["on", "on", "on"]
        events = [json.loads(line) for line in log.read_text().splitlines()]
        reasons = [event["why"] for event in events if event["event"] == "command_failed"]
        assert reasons[0].endswith("exited 1: no such node")
        assert reasons[1].startswith("cannot run /nonexistent/off")
        assert reasons[2].endswith("did not end within 0.5 s and was killed")

    drive(story)


@pytest.mark.parametrize(("off_works", "shown"), [(True, "off"), (False, "on")])
def test_after_a_failed_on_command_off_is_shown_only_when_the_off_command_has_worked(
    tmp_path: Path, off_works: bool, shown: str
) -> None:
    """It may have started the machine before it failed, and a cluster would take an OFF for a fence."""

    async def story() -> None:
        mark = tmp_path / "off"
        outlet = OutletConfig(
            on=False,
            on_command=python("import sys; sys.exit('started, but could not be seen')"),
            off_command=python(
                "import sys; open(sys.argv[1], 'w'); sys.exit(int(sys.argv[2]))", str(mark), str(int(not off_works))
            ),
        )
        async with running(outlets={1: outlet}) as emulator:
            assert await emulator.press(1, True) is not off_works
            assert mark.exists()
            assert state(emulator, 1) == shown

    drive(story)


def test_without_a_place_for_its_output_a_command_runs_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        def full() -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("tempfile.TemporaryFile", full)
        async with running(outlets={1: OutletConfig(off_command=python("print('off')"))}) as emulator:
            assert await emulator.press(1, False)

    drive(story)


def test_what_an_on_command_leaves_running_does_not_hold_up_the_relay(tmp_path: Path) -> None:
    """A booting node inherits the command's output and outlives it."""

    async def story() -> None:
        pid_file = tmp_path / "pid"
        code = (
            "import os, signal, sys\n"
            "pid = os.fork()\n"
            "if pid: open(sys.argv[1], 'w').write(str(pid))\n"
            "else: signal.alarm(60); signal.pause()\n"
        )
        outlet = OutletConfig(on=False, on_command=python(code, str(pid_file)))
        async with running(outlets={1: outlet}) as emulator:
            assert await emulator.press(1, True)
            pid = int(pid_file.read_text())
            os.kill(pid, 9)  # it is alive: no ProcessLookupError

    drive(story)


def test_stop_kills_a_command_that_still_runs(tmp_path: Path) -> None:
    async def story() -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        # The child holds the fifo open for writing; its end of file is the child's death.
        code = "import signal, sys; f = open(sys.argv[1], 'w'); f.write('x'); f.flush(); signal.pause()"
        outlets = {1: OutletConfig(off_command=python(code, str(fifo)))}
        emulator = Emulator(EmulatorConfig(port=0, outlets=outlets))
        await emulator.start()
        press = asyncio.create_task(emulator.press(1, False))
        with await asyncio.to_thread(open, fifo, "rb") as reader:
            assert await asyncio.to_thread(reader.read, 1) == b"x"
            await emulator.stop()
            assert await asyncio.to_thread(reader.read) == b""
        with pytest.raises(asyncio.CancelledError):
            await press
        assert state(emulator, 1) == "on"

    drive(story)


# --- the control socket ----------------------------------------------------------------------------------


@asynccontextmanager
async def controlled(path: Path, **settings: Any) -> AsyncIterator[Emulator]:
    async with running(**settings) as emulator:
        server = ControlServer(emulator, str(path))
        await server.start()
        try:
            yield emulator
        finally:
            await server.stop()


async def ask(path: Path, **what: object) -> dict[str, Any]:
    return await asyncio.to_thread(control.request, str(path), what)


def test_control_shows_and_sets_and_clears(tmp_path: Path) -> None:
    path = tmp_path / "ctl"

    async def story() -> None:
        async with controlled(path, outlets={1: OutletConfig("pete")}):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            view = await ask(path, do="show")
            assert view["outlets"][0] == {"outlet": 1, "name": "pete", "state": "on"}
            assert (view["faults"], view["session"], view["busy"]) == ({}, None, False)
            await ask(path, do="fault", fault="stuck", outlets=[1])
            view = await ask(path, do="fault", fault="slow", seconds=0.25, outlets=[2])
            assert view["faults"] == {"stuck": [1], "slow": {"2": 0.25}}
            assert (await ask(path, do="clear", fault="stuck"))["faults"] == {"slow": {"2": 0.25}}
            assert (await ask(path, do="clear"))["faults"] == {}
        assert not path.exists()

    drive(story)


def test_the_button_of_a_stuck_outlet_says_so(tmp_path: Path) -> None:
    path = tmp_path / "ctl"

    async def story() -> None:
        async with controlled(path) as emulator:
            await ask(path, do="fault", fault="stuck", outlets=[1])
            with pytest.raises(ControlError, match="outlet 1 did not switch off"):
                await ask(path, do="switch", outlet=1, state="off")
            await ask(path, do="clear")
            await ask(path, do="switch", outlet=1, state="off")
            assert state(emulator, 1) == "off"

    drive(story)


def test_buttons_that_are_disabled_in_the_menu_do_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ctl"

    async def story() -> None:
        async with controlled(path) as emulator:
            emulator.device.unit.settings.buttons = False
            with pytest.raises(ControlError, match="buttons on the front are disabled"):
                await ask(path, do="switch", outlet=1, state="off")
            assert state(emulator, 1) == "on"

    drive(story)


@pytest.mark.parametrize(
    ("request_line", "reason"),
    [
        (b"nonsense\n", "not JSON"),
        (b"[" * 60_000 + b"\n", "not JSON"),
        (b"[]\n", "a JSON object"),
        (b'{"do": "explode"}\n', "unknown request 'explode'"),
        (b'{"do": "fault"}\n', "no fault ''"),
        (b'{"do": "fault", "fault": "fire"}\n', "no fault 'fire'"),
        (b'{"do": "fault", "fault": 7}\n', "'fault' is the name"),
        (b'{"do": "fault", "fault": "slow"}\n', "'slow' needs a number of seconds"),
        (b'{"do": "fault", "fault": "slow", "seconds": -1}\n', "a number from 0 to 3600"),
        (b'{"do": "fault", "fault": "stuck", "outlets": [9]}\n', "a number from 1 to 8"),
        (b'{"do": "fault", "fault": "lockout"}\n', "'lockout' needs a number"),
        (b'{"do": "fault", "fault": "lockout", "count": 0}\n', "a number from 1 to 1000"),
        (b'{"do": "fault", "fault": "mute", "count": 3}\n', "'lockout' needs a number"),
        (b'{"do": "switch", "outlet": 1, "state": "up"}\n', "'state' is on or off"),
        (b'{"do": "switch", "state": "on"}\n', "a number from 1 to 8"),
    ],
)
def test_a_bad_request_is_answered_with_a_reason(tmp_path: Path, request_line: bytes, reason: str) -> None:
    path = tmp_path / "ctl"

    async def story() -> None:
        async with controlled(path) as emulator:
            before = emulator.device.view()
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(request_line)
            answer = json.loads(await asyncio.wait_for(reader.readline(), PATIENCE_S))
            assert answer["ok"] is False
            assert reason in answer["error"]
            assert emulator.device.view() == before
            writer.close()

    drive(story)


def test_a_stale_socket_is_replaced_a_live_one_and_a_file_are_not(tmp_path: Path) -> None:
    path = tmp_path / "ctl"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def story() -> None:
        async with controlled(path) as emulator:
            with pytest.raises(ControlError, match="another emulator answers"):
                await ControlServer(emulator, str(path)).start()
            plain = tmp_path / "file"
            plain.write_text("keep me")
            with pytest.raises(ControlError, match="is no socket"):
                await ControlServer(emulator, str(plain)).start()
            assert plain.read_text() == "keep me"
            assert (await ask(path, do="show"))["ok"]

    drive(story)


def test_a_socket_path_that_is_too_long_is_refused_by_name(tmp_path: Path) -> None:
    async def story() -> None:
        async with running() as emulator:
            with pytest.raises(ControlError, match="at most 107 bytes"):
                await ControlServer(emulator, str(tmp_path / ("x" * 108))).start()

    drive(story)


def test_asking_where_nobody_listens_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="is the emulator running"):
        control.request(str(tmp_path / "nobody"), {"do": "show"})
