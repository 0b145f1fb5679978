"""Serial lines over pseudo terminals: frames through, latest beat only, no spinning when the line goes."""

from __future__ import annotations

import asyncio
import os
import pty
import termios
import threading
import tty
from collections.abc import Iterator

import pytest

from failover_kit.manager import links_base, links_serial
from failover_kit.manager.config import Secret
from failover_kit.manager.links_serial import SerialLink
from failover_kit.manager.records import Beat
from failover_kit.manager.wire import encode

KEYS = {1: Secret(b"k")}


def frame(counter: int) -> bytes:
    beat = Beat(node="pete", boot_id="b", nonce="n", counter=counter, echoes=(), hears=False, ready=True)
    return encode(beat, KEYS, 1)


class Cable:
    """A pty: the test holds one end, the link opens the other by name."""

    def __init__(self) -> None:
        self.end, self.slave = pty.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.end, False)
        self.device = os.ttyname(self.slave)
        self.notes: list[str] = []

    def link(self) -> SerialLink:
        return SerialLink("ttyS0", self.device, 9600, self.notes.append)

    def arrived(self) -> bytes:
        try:
            return os.read(self.end, 65536)
        except BlockingIOError:
            return b""

    def cut(self) -> None:
        for fd in (self.end, self.slave):
            if fd >= 0:
                os.close(fd)
        self.end = self.slave = -1


@pytest.fixture
def cable() -> Iterator[Cable]:
    made = Cable()
    yield made
    made.cut()


async def until(condition) -> None:  # type: ignore[no-untyped-def]
    """Let the loop turn until it is so; a hang is a failure, not a slow test."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


def test_frames_go_both_ways(cable: Cable) -> None:
    async def story() -> None:
        came: list[tuple[str, bytes, str]] = []
        link = cable.link()
        link.start(lambda *what: came.append(what))
        link.send(frame(1))
        await until(lambda: cable.arrived() == frame(1))
        os.write(cable.end, b"\xff\xff" + frame(7)[:50])
        os.write(cable.end, frame(7)[50:])
        await until(lambda: came)
        assert came == [("ttyS0", frame(7), "")]
        assert link.error == "" and cable.notes == []
        link.close()
        link.close()

    asyncio.run(story())


def test_a_busy_line_gets_the_latest_beat_only(cable: Cable, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        link = cable.link()
        link.start(lambda *what: None)
        link.send(frame(1))
        await until(lambda: cable.arrived() == frame(1))
        busy = [100]
        monkeypatch.setattr(link, "_in_kernel", lambda: busy[0])
        for counter in (2, 3, 4):
            link.send(frame(counter))
        assert cable.arrived() == b""
        busy[0] = 0
        await until(lambda: cable.arrived() == frame(4))
        await until(lambda: link._pump_timer is None)
        assert cable.arrived() == b""
        link.close()

    asyncio.run(story())


def test_a_full_line_finishes_the_frame_it_began(cable: Cable) -> None:
    """Nobody reads: writes come up short. Afterwards whole frames arrive, the latest last, none is split."""

    async def story() -> None:
        link = cable.link()
        link.start(lambda *what: None)
        sent = 0
        while not link._writing:
            sent += 1
            link.send(frame(sent))
            if link._pump_timer is not None and not link._writing:
                await until(lambda: link._pump_timer is None)
        for counter in range(sent + 1, sent + 50):
            link.send(frame(counter))
        got = b""

        def all_there() -> bool:
            nonlocal got
            got += cable.arrived()
            return link._pump_timer is None

        await until(all_there)
        got += cable.arrived()
        expected = [frame(n) for n in range(1, sent + 1)] + [frame(sent + 49)]
        assert got == b"".join(expected)
        link.close()

    asyncio.run(story())


def test_a_line_that_takes_nothing_is_flushed_and_named(cable: Cable, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        now = [1000]
        flushed: list[int] = []
        monkeypatch.setattr(termios, "tcflush", lambda fd, queue: flushed.append(queue))
        monkeypatch.setattr(links_serial, "boottime_ms", lambda: now[0])
        link = cable.link()
        link.start(lambda *what: None)
        monkeypatch.setattr(link, "_in_kernel", lambda: 10)
        link.send(frame(1))
        now[0] += links_serial.STALL_MS + 1
        await until(lambda: link.error)
        assert "takes no data" in link.error
        assert flushed[-1] == termios.TCOFLUSH, "what the driver holds would arrive as old news"
        assert link._next is None and link._writing == b""
        monkeypatch.setattr(link, "_in_kernel", lambda: 0)
        link.send(frame(2))
        assert link.error == ""
        await until(lambda: cable.arrived() == frame(2))
        link.close()

    asyncio.run(story())


def test_a_line_that_went_away_is_closed_and_tried_again_with_pauses(cable: Cable) -> None:
    async def story() -> None:
        link = cable.link()
        link.start(lambda *what: None)
        cable.cut()
        await until(lambda: link.error)
        assert link._fd == -1, "still watched: the loop would spin on EIO"
        assert link._reopen is not None
        pauses = []
        for _ in range(6):
            link._reopen.cancel()
            pauses.append(link._pause_ms)
            link._try_open()
        assert pauses == sorted(pauses) and pauses[-1] == links_base.REOPEN_LAST_MS
        assert "no serial device" in link.error
        link.send(frame(1))
        link.close()
        assert len(cable.notes) == 2

    asyncio.run(story())


def test_a_device_that_hangs_in_open_and_close_does_not_keep_the_loop(
    cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A USB adapter that is going: the beats of the other links must go on meanwhile."""
    opening, closing, goes_on = threading.Event(), threading.Event(), threading.Event()
    opened, close_port = SerialLink._opened, links_serial._close_port

    def slow_open(link: SerialLink) -> object:
        opening.set()
        assert goes_on.wait(60)
        return opened(link)

    def slow_close(port: object) -> None:
        closing.set()
        assert goes_on.wait(60)
        close_port(port)  # type: ignore[arg-type]

    async def story() -> None:
        link = cable.link()
        link.start(lambda *what: None)
        with monkeypatch.context() as patch:
            patch.setattr(SerialLink, "_opened", slow_open)
            patch.setattr(links_serial, "_close_port", slow_close)
            link._device_failed("cannot read from it: Input/output error")
            await until(lambda: opening.is_set() and closing.is_set())
            assert link._fd == -1
            link.send(frame(1))
            goes_on.set()
            await until(lambda: link._fd >= 0 or "used by" in link.error)
        await until(lambda: link._fd >= 0)
        link.send(frame(2))
        await until(lambda: cable.arrived() == frame(2))
        link.close()

    try:
        asyncio.run(story())
    finally:
        goes_on.set()


def test_a_line_opened_after_the_link_was_closed_is_let_go(
    cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """failoverd ends while a thread opens the device."""
    closed: list[object] = []
    monkeypatch.setattr(links_serial, "_close_port", closed.append)
    link = cable.link()
    link._take("port", "")  # type: ignore[arg-type]
    assert closed == ["port"]
    assert link._fd == -1


def test_a_line_in_use_is_refused_and_taken_when_it_is_free(cable: Cable) -> None:
    async def story() -> None:
        first, second = cable.link(), cable.link()
        first.start(lambda *what: None)
        second.start(lambda *what: None)
        assert "used by another program" in second.error
        first.close()
        await until(lambda: second._fd >= 0)
        second.send(frame(1))
        assert second.error == ""
        second.close()

    asyncio.run(story())


def test_noise_without_frames_names_the_baud_rate(cable: Cable) -> None:
    async def story() -> None:
        link = cable.link()
        link.start(lambda *what: None)
        written = 0
        while written <= links_serial.NOISE_LIMIT_BYTES + 100:
            written += os.write(cable.end, b"\x80\x00\xf8" * 100)
            await asyncio.sleep(0)
        await until(lambda: link.error)
        assert "one baud rate" in link.error
        os.write(cable.end, frame(1))
        await until(lambda: link._stream.noise_bytes == 0)
        link.send(frame(2))
        assert link.error == ""
        link.close()

    asyncio.run(story())


def test_what_is_no_serial_line_says_so(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "file").write_text("")

    async def story() -> None:
        for device, sentence in (("ttyS99", "there is no serial device"), ("file", "as a serial line")):
            link = SerialLink("ttyS0", str(tmp_path / device), 9600, print)
            link.start(lambda *what: None)
            assert sentence in link.error
            link.close()

    asyncio.run(story())
