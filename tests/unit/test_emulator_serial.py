"""The serial console as a device file: pyserial opens it, closes it, opens it again."""

from __future__ import annotations

import os
import socket
import termios
from pathlib import Path

import pytest
import serial

from failover_kit.emulator.harness import EmulatorFailed, EmulatorProcess
from failover_kit.emulator.server import OutletConfig
from failover_kit.spec.deadline import Deadline

PATIENCE_S = 60
PROMPT = b"IPS> "


def opened(switch: EmulatorProcess) -> serial.Serial:
    return serial.Serial(switch.serial_path, 9600, timeout=PATIENCE_S)


def typed(port: serial.Serial, text: str, mark: bytes = PROMPT) -> str:
    port.write(text.encode())
    return bytes(port.read_until(mark)).decode("latin-1")


def test_pyserial_wakes_it_switches_and_leaves(tmp_path: Path) -> None:
    outlets = {1: OutletConfig("pete")}
    with EmulatorProcess(str(tmp_path), outlets=outlets, password="changeme", serial=True) as switch:
        with opened(switch) as port:
            assert typed(port, "\r", b"Password: ")
            assert "pete" in typed(port, "changeme\r")
            assert " OFF " in typed(port, "/off pete,y\r")
            port.write(b"/x,y\r")
            assert port.read_until(b"/x,y\r\n").endswith(b"/x,y\r\n")
        assert switch.outlet_state(1) == "off"
        assert switch.view()["session"] is None


def test_it_is_a_line_of_9600_baud_8n1_that_echoes_nothing_by_itself(tmp_path: Path) -> None:
    with EmulatorProcess(str(tmp_path), outlets={}, serial=True) as switch:
        fd = os.open(switch.serial_path, os.O_RDWR | os.O_NOCTTY)
        try:
            _, _, control, local, speed_in, speed_out, _ = termios.tcgetattr(fd)
        finally:
            os.close(fd)
    assert (speed_in, speed_out) == (termios.B9600, termios.B9600)
    assert control & termios.CSIZE == termios.CS8
    assert not control & (termios.PARENB | termios.CSTOPB)
    assert not local & (termios.ECHO | termios.ICANON)


def test_it_survives_a_client_that_closes_and_costs_nothing_meanwhile(tmp_path: Path) -> None:
    with EmulatorProcess(str(tmp_path), outlets={}, serial=True) as switch:
        for _ in range(3):
            with opened(switch) as port:
                assert "Plug | Name" in typed(port, "\r") + typed(port, "/S\r")
        # A hangup that is reported again and again would be a loop: the emulator would never be asleep.
        deadline = Deadline(PATIENCE_S * 1000)
        while process_state(switch.pid) != "S":
            deadline.require("the emulator sleeps while nobody is on the line")


def process_state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_while_the_console_is_open_tcp_is_refused_and_afterwards_not(tmp_path: Path) -> None:
    with EmulatorProcess(str(tmp_path), outlets={}, serial=True) as switch, opened(switch) as port:
        typed(port, "\r")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((switch.address, switch.port), timeout=PATIENCE_S)
        port.write(b"/x,y\r")
        assert port.read_until(b"/x,y\r\n")
        with socket.create_connection((switch.address, switch.port), timeout=PATIENCE_S) as client:
            assert client.recv(1) == b"\xff"
            port.reset_input_buffer()
            port.timeout = 0.2
            port.write(b"\r")
            assert port.read(100) == b""


def test_a_link_leads_to_it_and_is_gone_afterwards(tmp_path: Path) -> None:
    link = tmp_path / "console"
    link.symlink_to("/nonexistent/left-by-another-life")
    extra = ["--serial-link", str(link)]
    with EmulatorProcess(str(tmp_path), outlets={}, serial=True, extra=extra) as switch:
        assert os.readlink(link) == switch.serial_path
    assert not link.is_symlink()


def test_a_file_in_the_links_place_is_kept(tmp_path: Path) -> None:
    link = tmp_path / "console"
    link.write_text("keep me")
    with pytest.raises(EmulatorFailed, match="console: exists and is no symbolic link"):
        EmulatorProcess(str(tmp_path), outlets={}, extra=["--serial-link", str(link)]).start()
    assert link.read_text() == "keep me"


def test_what_nobody_reads_is_dropped_and_the_device_goes_on(tmp_path: Path) -> None:
    with EmulatorProcess(str(tmp_path), outlets={}, serial=True) as switch:
        with opened(switch) as port:
            port.write(b"\r" + b"/S\r" * 200)
            port.flush()
            while len(switch.events("command")) < 200:
                switch.view()
        with opened(switch) as port:
            assert typed(port, "\r").endswith("IPS> ")
