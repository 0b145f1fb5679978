"""Rule 24: armed while something is held, fed by turns, let go of when nothing is.

A real driver (softdog) is in tests/labrun/test_systemd_pair.py.
"""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest

from failover_kit.manager import watchdog
from failover_kit.manager.actions import Level
from failover_kit.manager.watchdog import Watchdog, timeout_ms


class Kernel:
    """Answers ioctls as a driver does; what is written to the device is in the file."""

    def __init__(self, place: Path) -> None:
        self.device = place / "watchdog"
        self.device.touch()
        self.options = 0x8180  # softdog: SETTIMEOUT, KEEPALIVEPING, MAGICCLOSE
        self.longest_s = 60
        self.fed = 0
        self.taken_s = 0
        self.fails: set[int] = set()

    def ioctl(self, _fd: int, request: int, argument: bytes) -> bytes:
        if request in self.fails:
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        if request == watchdog._GETSUPPORT:
            return struct.pack("=II32s", self.options, 0, b"Software Watchdog")
        if request == watchdog._SETTIMEOUT:
            self.taken_s = min(struct.unpack("i", argument)[0], self.longest_s)
            return struct.pack("i", self.taken_s)
        self.fed += 1
        return argument

    def no_way_out(self) -> None:
        attributes = self.device.parent / "watchdog0"
        attributes.mkdir()
        (attributes / "nowayout").write_text("1\n")

    @property
    def disarmed(self) -> bool:
        return self.device.read_bytes() == b"V"


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def dog_of(kernel: Kernel, said: list[str] | None = None) -> Watchdog:
    def say(_level: Level, text: str) -> None:
        if said is not None:
            said.append(text)

    return Watchdog(str(kernel.device), 20_000, say, kernel.ioctl, str(kernel.device.parent))


def test_the_numbers_are_the_kernel_s() -> None:
    """_IOC(dir, type, nr, size) of asm-generic/ioctl.h, for include/uapi/linux/watchdog.h."""

    def ioc(direction: int, number: int, size: int) -> int:
        return direction << 30 | size << 16 | ord("W") << 8 | number

    assert ioc(2, 0, struct.calcsize("=II32s")) == watchdog._GETSUPPORT
    assert (ioc(2, 5, 4), ioc(3, 6, 4)) == (watchdog._KEEPALIVE, watchdog._SETTIMEOUT)


def test_from_the_intent_to_start_until_nothing_is_held(kernel: Kernel) -> None:
    dog = dog_of(kernel)
    dog.turned(0, wanted=False, needed=True)  # unknown at the start: nothing was done yet
    assert not dog.armed
    dog.turned(1_000, wanted=True, needed=True)
    assert dog.armed and kernel.taken_s == 20
    dog.turned(2_000, wanted=False, needed=True)  # stopped, not verified
    assert dog.armed
    dog.turned(3_000, wanted=False, needed=False)
    assert not dog.armed and kernel.disarmed


def test_it_is_fed_by_turns_four_times_in_its_time(kernel: Kernel) -> None:
    dog = dog_of(kernel)
    for now_ms in range(0, 20_001, 100):
        dog.turned(now_ms, wanted=True, needed=True)
    assert kernel.fed == 4
    dog.turned(90_000, wanted=True, needed=True)  # stood still for longer than it may: the kernel decides
    assert kernel.fed == 5


def test_a_node_that_has_to_be_reset_feeds_it_no_more(kernel: Kernel) -> None:
    dog = dog_of(kernel)
    assert not dog.starve()
    dog = dog_of(kernel)
    dog.turned(0, wanted=True, needed=True)
    assert dog.starve()
    dog.turned(60_000, wanted=True, needed=True)
    assert kernel.fed == 0


def test_what_it_was_starved_for_is_over_when_nothing_is_held_any_more(kernel: Kernel) -> None:
    """Two rights were found, and people ended that: the next start must not end in a reset."""
    dog = dog_of(kernel)
    dog.turned(0, wanted=True, needed=True)
    dog.starve()
    dog.turned(1_000, wanted=False, needed=False)
    for now_ms in range(30_000, 60_000, 1_000):
        dog.turned(now_ms, wanted=True, needed=True)
    assert kernel.fed > 0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda kernel: kernel.device.unlink(), "modprobe softdog"),
        (lambda kernel: setattr(kernel, "options", 0x8080), "disarms it whenever it is closed"),
        (lambda kernel: kernel.no_way_out(), "cannot be disarmed (nowayout)"),
        (lambda kernel: setattr(kernel, "longest_s", 10), "its longest time is 10 s, and 20 s are needed"),
        (lambda kernel: kernel.fails.add(watchdog._SETTIMEOUT), "its time cannot be set"),
    ],
)
def test_what_cannot_be_armed_is_said_once_and_tried_again(kernel: Kernel, spoil: object, words: str) -> None:
    spoil(kernel)  # type: ignore[operator]
    said: list[str] = []
    dog = dog_of(kernel, said)
    for now_ms in range(0, 100_000, 1_000):
        dog.turned(now_ms, wanted=True, needed=True)
    assert not dog.armed and len(said) == 1
    assert words in said[0] and words in dog.problem


def test_a_device_that_was_armed_by_opening_it_is_disarmed_when_it_is_of_no_use(kernel: Kernel) -> None:
    kernel.longest_s = 10
    dog_of(kernel).turned(0, wanted=True, needed=True)
    assert kernel.disarmed


def test_what_cannot_be_disarmed_is_not_even_opened(kernel: Kernel) -> None:
    """With nowayout an open is for ever: the node would be reset although everything is well."""
    kernel.no_way_out()
    kernel.device.unlink()
    kernel.device.symlink_to("opened")  # open(2) would fail and say so, were it tried
    said: list[str] = []
    dog_of(kernel, said).turned(0, wanted=True, needed=True)
    assert len(said) == 1 and "nowayout" in said[0]


@pytest.mark.parametrize(("state", "runs"), [("active", True), ("inactive", False), (None, False)])
def test_whether_it_was_left_running_is_the_kernel_s_word(kernel: Kernel, state: str | None, runs: bool) -> None:
    attributes = kernel.device.parent / "watchdog0"
    attributes.mkdir()
    if state is not None:
        (attributes / "state").write_text(f"{state}\n")
    assert dog_of(kernel).runs() is runs


@pytest.mark.parametrize("deadtime_ms", [2_000, 10_000, 30_000])
def test_between_the_restart_of_a_daemon_that_hangs_and_the_shot_of_the_peer(deadtime_ms: int) -> None:
    fence_delay_ms = max(5_000, deadtime_ms + 1_000 + 5_000)  # the default of ha.cf
    limit_ms = timeout_ms(deadtime_ms, fence_delay_ms)
    assert deadtime_ms + watchdog.RESTART_MS <= limit_ms < deadtime_ms + fence_delay_ms
