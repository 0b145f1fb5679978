"""A machine's life, with a small program in QEMU's place: power, resets, what is recorded."""

from __future__ import annotations

import os
import queue
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import machine, plan
from lab.errors import LabError
from lab.machine import Hardware, Machine, PowerEvent

PATIENCE_S = 60.0

FAKE = r"""
import json, os, socket, sys, threading
qmp, serial = (socket.socket(fileno=int(word)) for word in sys.argv[1:3])
qmp.sendall(b'{"QMP": {}}\n')
runs = threading.Event()
def monitor():
    for line in qmp.makefile("rb"):
        command = json.loads(line)
        if command["execute"] != "cont":
            serial.sendall(json.dumps(command).encode() + b"\n")
        qmp.sendall(b'{"return": {}}\n')
        if command["execute"] == "cont":
            runs.set()
threading.Thread(target=monitor, daemon=True).start()
runs.wait()
reason = serial.recv(100).decode()
if reason:
    qmp.sendall(json.dumps({"event": "SHUTDOWN", "data": {"guest": True, "reason": reason}}).encode() + b"\n")
os._exit(0)
"""


class Stand:
    """One machine and what it tells."""

    def __init__(self, folder: Path, argv: list[str] | None = None) -> None:
        self.events: queue.Queue[PowerEvent] = queue.Queue()
        self.serial: socket.socket | None = None
        self._attached: queue.Queue[socket.socket] = queue.Queue()
        self.gone: list[str] = []
        (folder / "consoles").mkdir()

        def command(_guest: object, _hardware: object, _console: str, serial_fd: int, qmp_fd: int) -> list[str]:
            return argv or ["/usr/bin/python3", "-IS", "-c", FAKE, str(qmp_fd), str(serial_fd)]

        self.machine = Machine(
            plan.PETE,
            Hardware("k", "i", "d", "", 384, ""),
            str(folder),
            attach=self._attach,
            detached=self.gone.append,
            record=self.events.put,
            outlet=True,
            argv=command,
        )

    def _attach(self, _name: str, serial: socket.socket) -> None:
        serial.settimeout(PATIENCE_S)
        self._attached.put(serial)

    def told(self) -> tuple[str, str, int]:
        event = self.events.get(timeout=PATIENCE_S)
        if event.what == "started":
            self.serial = self._attached.get(timeout=PATIENCE_S)
        return event.what, event.by, event.boot

    def pid(self) -> int:
        child = self.machine._child
        assert child is not None
        return child.pid

    def says(self, reason: str) -> None:
        assert self.serial is not None
        self.serial.sendall(reason.encode())


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.machine.end()


def exists(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def test_it_runs_only_with_cord_and_outlet(stand: Stand) -> None:
    assert not stand.machine.view()["on"]
    stand.machine.set_outlet(False)
    stand.machine.set_cord(True)
    assert not stand.machine.view()["on"]
    stand.machine.set_outlet(True)
    assert stand.machine.on
    assert stand.told() == ("started", "outlet", 1)


def test_off_is_said_when_the_process_is_gone(stand: Stand) -> None:
    stand.machine.set_cord(True)
    pid = stand.pid()
    stand.machine.set_outlet(False)
    assert not exists(pid)
    assert [stand.told(), stand.told()] == [("started", "cord", 1), ("ended", "outlet", 1)]
    assert stand.gone == ["pete"]


def test_a_pulled_cord_kills_and_the_outlet_knows_nothing(stand: Stand) -> None:
    stand.machine.press_button()
    pid = stand.pid()
    stand.machine.set_cord(False)
    assert not exists(pid)
    assert stand.machine.outlet
    stand.machine.set_outlet(False)
    stand.machine.set_outlet(True)
    assert not stand.machine.view()["on"]
    stand.machine.set_cord(True)
    assert stand.machine.on
    assert [stand.told()[:2] for _ in range(3)] == [("started", "button"), ("ended", "cord"), ("started", "cord")]


def test_twice_on_is_once_on(stand: Stand) -> None:
    stand.machine.press_button()
    pid = stand.pid()
    stand.machine.press_button()
    stand.machine.set_outlet(True)
    stand.machine.set_cord(True)
    assert stand.pid() == pid
    stand.machine.set_outlet(False)
    stand.machine.set_outlet(False)
    assert [stand.told()[0], stand.told()[0]] == ["started", "ended"]
    assert stand.events.empty()


def test_a_reset_of_its_own_starts_it_again(stand: Stand) -> None:
    stand.machine.press_button()
    stand.told()
    stand.says("guest-reset")
    assert stand.told() == ("ended", "own reset", 1)
    assert stand.told() == ("started", "own reset", 2)


def test_a_machine_that_powers_itself_off_stays_off_until_somebody_boots_it(stand: Stand) -> None:
    stand.machine.press_button()
    stand.told()
    stand.says("guest-shutdown")
    assert stand.told() == ("ended", "own shutdown", 1)
    assert not stand.machine.view()["on"]
    stand.machine.press_button()
    assert stand.told() == ("started", "button", 2)


def test_a_boot_loop_ends(stand: Stand) -> None:
    stand.machine.press_button()
    for boot in range(1, machine.RESET_LIMIT + 2):
        assert stand.told()[::2] == ("started", boot)
        stand.says("guest-reset")
        assert stand.told() == ("ended", "own reset", boot)
    assert stand.machine.view()["on"] is False
    assert "resets of its own" in stand.machine.view()["remark"]  # type: ignore[operator]
    assert stand.events.empty()


def test_qemu_that_dies_is_no_reset(stand: Stand) -> None:
    stand.machine.press_button()
    stand.told()
    os.kill(stand.pid(), 9)
    assert stand.told() == ("ended", "QEMU's end (exit code -9)", 1)
    assert "QEMU ended by itself" in str(stand.machine.view()["remark"])


def test_a_cut_card_stays_cut_over_a_power_cycle(stand: Stand) -> None:
    stand.machine.set_link("card-eth1", up=False)
    stand.machine.press_button()
    stand.told()
    stand.machine.set_link("card-eth1", up=True)
    assert stand.serial is not None
    heard = b""
    while b'"up": true' not in heard:
        heard += stand.serial.recv(1000)
    assert heard.index(b'"name": "card-eth1", "up": false') < heard.index(b'"up": true')
    assert stand.machine.view()["cut"] == []


def test_qemu_that_does_not_start_is_an_error_with_its_last_word(tmp_path: Path) -> None:
    stand = Stand(tmp_path, ["/bin/sh", "-c", "echo could not open tap >&2"])
    with pytest.raises(LabError, match=r"pete: QEMU did not start: .*could not open tap"):
        stand.machine.press_button()
    assert not stand.machine.view()["on"]


def test_the_command_line() -> None:
    hardware = Hardware("/k", "/i", "/d", "/p", 384, "NODE=pete quiet")
    argv = machine.command_line(plan.PETE, hardware, "/c", 7, 8)
    text = " ".join(argv)
    assert "-no-reboot -S" in text
    assert argv.count("-netdev") == 4
    assert "file=/d,format=qcow2,if=virtio,cache=writeback" in argv
    assert "file=/p,format=raw,if=virtio,readonly=on" in argv
    ports = [argv[at + 1] for at, word in enumerate(argv) if word == "-serial"]
    assert ports == ["chardev:serial", "chardev:console"]
    assert "host_mtu=9000" in next(word for word in argv if "card-eth3" in word)
    assert not any("if=virtio,readonly" in word for word in machine.command_line(
        plan.KOKONE, Hardware("/k", "/i", "/d", "", 384, ""), "/c", 7, 8))  # fmt: skip
