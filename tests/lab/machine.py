"""One virtual machine: its command line, its life, and who ended it.

A machine runs when its cord is in and its outlet is on, as a machine without a soft power switch does. Power off
is SIGKILL: nothing of the guest, its page cache included, outlives it, and whoever asked hears of it only when the
process has been reaped. What the guest has flushed is on its disk (cache=writeback).

QEMU runs with -no-reboot, so a guest's own reset (reboot, panic, watchdog) ends the process too; the machine is
then started again at once, as hardware would do, but not for ever: see RESET_LIMIT.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from failover_kit.spec.process import CLEAN_ENV
from lab import plan
from lab.errors import LabError
from lab.image import boot
from lab.plan import GuestPlan
from lab.qmp import Monitor, QmpError

QEMU = "qemu-system-x86_64"
RESET_LIMIT, RESET_WINDOW_S = 4, 60.0
"""More resets of its own in that time are a boot loop, which would hide what is wrong: the machine stays off."""

REASON_S = 2.0
KILL_S = 30.0


@dataclass(frozen=True)
class Hardware:
    """What a machine is made of; paths as the keeper sees them. ``project`` "": no second disk."""

    kernel: str
    initrd: str
    disk: str
    project: str
    memory_mb: int
    arguments: str


@dataclass
class PowerEvent:
    """Power came or went. ``what``: started, ended. ``by``: outlet, cord, button, own reset, own shutdown, lab, or
    what else ended QEMU. ``t_ms`` of ``ended`` is when the process was known to be gone."""

    t_ms: int
    guest: str
    what: str
    by: str
    boot: int


def now_ms() -> int:
    """CLOCK_MONOTONIC, the clock of everything the lab records."""
    return time.monotonic_ns() // 1_000_000


def command_line(guest: GuestPlan, hardware: Hardware, console: str, serial_fd: int, qmp_fd: int) -> list[str]:
    """QEMU's arguments. The first serial port is wired to the panel, the second writes the console's file.

    TCG on purpose: a lab must run where there is no KVM. q35, not microvm, which hangs at boot without KVM
    ("TSC unstable", seen in 4 of 8 tries). The machine waits for ``cont``: its cables are put right before.
    """
    argv = [QEMU, "-name", guest.name, "-accel", boot.ACCELERATOR, "-cpu", "max", "-M", "q35", "-smp", "1"]
    argv += ["-m", str(hardware.memory_mb), "-display", "none", "-nodefaults", "-no-user-config"]
    argv += ["-no-reboot", "-S"]
    argv += ["-kernel", hardware.kernel, "-initrd", hardware.initrd, "-append", hardware.arguments]
    argv += ["-drive", f"file={hardware.disk},format=qcow2,if=virtio,cache=writeback"]
    if hardware.project:
        argv += ["-drive", f"file={hardware.project},format=raw,if=virtio,readonly=on"]
    for nic in guest.nics:
        port = plan.tap(guest.name, nic)
        mtu = f",host_mtu={nic.mtu}" if nic.mtu != 1500 else ""
        argv += ["-netdev", f"tap,id={nic.name},ifname={port},script=no,downscript=no"]
        argv += ["-device", f"virtio-net-pci,id=card-{nic.name},netdev={nic.name},mac={nic.mac},romfile={mtu}"]
    argv += ["-device", "virtio-rng-pci"]
    argv += ["-chardev", f"socket,id=serial,fd={serial_fd}", "-serial", "chardev:serial"]
    argv += ["-chardev", f"file,id=console,path={console}", "-serial", "chardev:console"]
    argv += ["-chardev", f"socket,id=qmp,fd={qmp_fd}", "-mon", "chardev=qmp,mode=control"]
    return argv


class Machine:
    """``attach(name, socket)`` gets the serial port's far end at each start, ``detached(name)`` is called when the
    machine has ended, ``record`` takes every PowerEvent. All of it under one lock: power has one order."""

    def __init__(
        self,
        guest: GuestPlan,
        hardware: Hardware,
        directory: str,
        *,
        attach: Callable[[str, socket.socket], None],
        detached: Callable[[str], None],
        record: Callable[[PowerEvent], None],
        outlet: bool,
        argv: Callable[..., Sequence[str]] = command_line,
    ) -> None:
        self.guest = guest
        self.outlet = outlet
        self.cord = False
        self.boots = 0
        self.cut: set[str] = set()
        self.remark = ""
        self._hardware = hardware
        self._directory = directory
        self._attach, self._detached, self._record, self._argv = attach, detached, record, argv
        self._lock = threading.RLock()
        self._child: subprocess.Popen[bytes] | None = None
        self._monitor: Monitor | None = None
        self._resets: list[float] = []

    # --- what is so --------------------------------------------------------------------------------------

    @property
    def on(self) -> bool:
        """Whether a process is there; it may end any moment."""
        return self._child is not None

    def view(self) -> dict[str, object]:
        """What is so, at one point in time."""
        with self._lock:
            return {
                "on": self.on,
                "boot": self.boots,
                "cord": self.cord,
                "outlet": self.outlet,
                "remark": self.remark,
                "cut": sorted(name.removeprefix("card-") for name in self.cut),
            }

    def console(self, boot: int) -> str:
        """The console's file of that boot."""
        return os.path.join(self._directory, "consoles", f"{self.guest.name}.{boot}.log")

    @property
    def qemu_log(self) -> str:
        return os.path.join(self._directory, "consoles", f"{self.guest.name}.qemu.log")

    # --- power -------------------------------------------------------------------------------------------

    def set_outlet(self, on: bool) -> None:
        """The relay has moved. Raises LabError when QEMU cannot be started, or does not end."""
        with self._lock:
            self.outlet = on
            self._follow("outlet")

    def set_cord(self, plugged: bool) -> None:
        """Pull the cord out, or put it in. Raises LabError when QEMU cannot be started, or does not end."""
        with self._lock:
            self.cord = plugged
            self._follow("cord")

    def press_button(self) -> None:
        """Somebody wants it to run: put the cord in, and start it if there is power. Raises LabError."""
        with self._lock:
            self.cord = True
            self._follow("button")

    def end(self) -> None:
        """The lab is over."""
        with self._lock:
            self.cord = False
            self._kill("lab")

    def _follow(self, by: str) -> None:
        if not (self.cord and self.outlet):
            self._kill(by)
        elif self._child is None:
            self._resets.clear()
            self._start(by)

    def _start(self, by: str) -> None:
        self.boots += 1
        self.remark = ""
        serial, serial_far = socket.socketpair()
        qmp, qmp_far = socket.socketpair()
        argv = self._argv(
            self.guest, self._hardware, self.console(self.boots), serial_far.fileno(), qmp_far.fileno()
        )
        with serial_far, qmp_far, open(self.qemu_log, "ab") as log:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=CLEAN_ENV,
                cwd="/",
                pass_fds=(serial_far.fileno(), qmp_far.fileno()),
                start_new_session=True,
            )
        self._child, self._monitor = child, Monitor(qmp)
        self._record(PowerEvent(now_ms(), self.guest.name, "started", by, self.boots))
        self._attach(self.guest.name, serial)
        try:
            self._monitor.greet()
            for name in self.cut:
                self._monitor.command("set_link", name=name, up=False)
            self._monitor.command("cont")
        except QmpError as error:
            self._kill("lab")
            raise LabError(f"{self.guest.name}: QEMU did not start: {error}: {last_line(self.qemu_log)}") from None
        threading.Thread(
            target=self._watch, args=(child, self.boots), name=f"watch-{self.guest.name}", daemon=True
        ).start()

    def _kill(self, by: str) -> None:
        """SIGKILL, reaped, forgotten. Nothing when it is off. LabError: it does not die, so it is not off."""
        if self._child is None:
            return
        self._child.kill()
        try:
            self._child.wait(KILL_S)
        except subprocess.TimeoutExpired:
            raise LabError(
                f"{self.guest.name}: QEMU's process {self._child.pid} was killed and has not ended within "
                f"{KILL_S:g} s; is the disk of the run directory stuck?"
            ) from None
        self._forget(by)

    def _forget(self, by: str) -> None:
        """The process is gone."""
        self._record(PowerEvent(now_ms(), self.guest.name, "ended", by, self.boots))
        self._child = None
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None
        self._detached(self.guest.name)

    def _watch(self, child: subprocess.Popen[bytes], boot: int) -> None:
        """One thread for each boot: what if the machine ends and nobody cut its power?"""
        code = child.wait()
        monitor = self._monitor
        with self._lock:
            if self._child is not child:
                return  # it was killed by us, and that is recorded
            if monitor is not None:
                monitor.ended.wait(REASON_S)
            reason = "" if monitor is None else monitor.shutdown_reason
            if reason == "guest-shutdown":
                self._forget("own shutdown")
            elif reason == "guest-reset":
                self._forget("own reset")
                self._reset()
            else:
                self._forget(f"QEMU's end ({reason or f'exit code {code}'})")
                self.remark = f"QEMU ended by itself: {last_line(self.qemu_log)}"

    def _reset(self) -> None:
        now = time.monotonic()
        self._resets = [at for at in self._resets if now - at < RESET_WINDOW_S] + [now]
        if len(self._resets) > RESET_LIMIT:
            self.remark = f"{len(self._resets)} resets of its own within {RESET_WINDOW_S:g} s; it stays off"
            return
        if self.cord and self.outlet:
            try:
                self._start("own reset")
            except LabError as error:
                self.remark = str(error)

    # --- cables ------------------------------------------------------------------------------------------

    def set_link(self, card: str, up: bool) -> None:
        """The carrier of one of its cards, now and after each start. Raises LabError."""
        with self._lock:
            (self.cut.discard if up else self.cut.add)(card)
            if self._monitor is not None:
                try:
                    self._monitor.command("set_link", name=card, up=up)
                except QmpError as error:
                    raise LabError(f"{self.guest.name}: {card}: {error}") from None


def last_line(path: str) -> str:
    """The last line with something in it, of a file that may not be there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file if line.strip()]
    except OSError as error:
        return f"{path}: {error.strerror}"
    return lines[-1] if lines else f"{path} is empty"
