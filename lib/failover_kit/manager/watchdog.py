"""The kernel's watchdog (PROTOCOL rule 24): a node that holds something and whose failoverd is gone resets itself.

Armed from the intent to start on, fed by turns of the core, let go of only when nothing is held. A life that ends
otherwise leaves it running, and the next one has to take it up again before the time is over.

The interface is the kernel's, Documentation/watchdog/watchdog-api.rst and include/uapi/linux/watchdog.h.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import struct
from collections.abc import Callable

from failover_kit.manager.actions import Level

# _IOR('W', ...), _IOWR('W', 6, int): struct watchdog_info is two __u32 and 32 bytes of name.
_GETSUPPORT = 0x80285700
_KEEPALIVE = 0x80045705
_SETTIMEOUT = 0xC0045706
_INFO = "=II32s"
_MAGICCLOSE = 0x0100
_FEEDS = 4  # times in one timeout

RESTART_MS = 5_000
"""How long systemd may take from killing a failoverd that hangs to the first turn of the next one."""


def timeout_ms(deadtime_ms: int, fence_delay_ms: int) -> int:
    """How long failoverd may stand still before the node resets.

    Longer than systemd's own watchdog and a restart take together (``host.watchdog_limit_ms``), so that a daemon
    that hangs costs the daemon and not the node; but before a passive peer shoots, if ha.cf leaves room for both.
    """
    restarted_ms = deadtime_ms + RESTART_MS
    return max(restarted_ms, deadtime_ms + fence_delay_ms - 2_000)


class Watchdog:
    """One device. Nothing here blocks for long or raises: what is wrong is said, and shown in ``problem``."""

    def __init__(
        self,
        device: str,
        limit_ms: int,
        say: Callable[[Level, str], None],
        ioctl: Callable[[int, int, bytes], bytes] = fcntl.ioctl,
        sysfs: str = "/sys/class/watchdog",
    ) -> None:
        self.problem = ""
        self._device = device
        self._limit_s = math.ceil(limit_ms / 1000)
        self._say = say
        self._ioctl = ioctl
        # /dev/watchdog is the older name of watchdog0 (drivers/watchdog/watchdog_dev.c).
        name = os.path.basename(device)
        self._attributes = f"{sysfs}/{'watchdog0' if name == 'watchdog' else name}"
        self._fd = -1
        self._fed_ms = 0
        self._tried_ms: int | None = None
        self._starved = False

    @property
    def armed(self) -> bool:
        return self._fd >= 0

    def runs(self) -> bool:
        """Whether it was left running, as far as the kernel tells; with nobody to feed it, it resets the node."""
        return self._attribute("state") == "active"

    def turned(self, now_ms: int, *, wanted: bool, needed: bool) -> None:
        """The core turned. ``wanted``: there is an intent to start; ``needed``: something is held, or in doubt."""
        if not self.armed:
            if wanted and (self._tried_ms is None or now_ms - self._tried_ms >= self._limit_s * 1000):
                self._tried_ms = now_ms
                self._arm(now_ms)
            return
        if not needed:
            self.let_go()
        elif not self._starved and now_ms - self._fed_ms >= self._limit_s * 1000 // _FEEDS:
            self._feed(now_ms)

    def starve(self) -> bool:
        """Feed it no more: the node has to be reset. Whether that will happen."""
        self._starved = True
        return self.armed

    def let_go(self) -> None:
        """Disarm and close; a driver that cannot be disarmed stays open, and fed as long as the core turns."""
        if not self.armed:
            return
        try:
            os.write(self._fd, b"V")
            os.close(self._fd)
        except OSError as error:
            self._trouble(f"cannot be disarmed ({error.strerror})")
            return
        self._fd = -1
        self._say(Level.INFO, f"watchdog {self._device} is let go of: nothing is held")

    def _arm(self, now_ms: int) -> None:
        if self._has_no_way_out():
            # Opening alone would arm it, and nothing could take that back.
            self._trouble("is not used: it cannot be disarmed (nowayout), so an idle node would be reset")
            return
        try:
            fd = os.open(self._device, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            remedy = "load its driver (modprobe softdog), or take the line out of ha.cf"
            if error.errno == errno.EBUSY:
                remedy = "another program has it: systemd's RuntimeWatchdogSec, a watchdog daemon"
            self._trouble(f"cannot be armed ({error.strerror}): {remedy}")
            return
        why_not = self._prepare(fd)
        if why_not:
            self._trouble(why_not)
            try:
                os.write(fd, b"V")  # opening armed it
                os.close(fd)
            except OSError as error:
                self._trouble(f"{why_not}, and cannot be disarmed ({error.strerror})")
            return
        self._fd, self._fed_ms, self.problem = fd, now_ms, ""
        self._starved = False  # that was about what was held then; it is said again if it lasts
        self._say(Level.INFO, f"watchdog {self._device} is armed: {self._limit_s} s without a turn reset this node")

    def _prepare(self, fd: int) -> str:
        """Set the time; "" or why the device is of no use."""
        try:
            options = struct.unpack(_INFO, self._ioctl(fd, _GETSUPPORT, bytes(struct.calcsize(_INFO))))[0]
            if not options & _MAGICCLOSE:
                return "is not used: its driver disarms it whenever it is closed (no magic close)"
            taken_s = struct.unpack("i", self._ioctl(fd, _SETTIMEOUT, struct.pack("i", self._limit_s)))[0]
        except OSError as error:
            return f"is not used: its time cannot be set ({error.strerror})"
        if taken_s < self._limit_s:
            return f"is not used: its longest time is {taken_s} s, and {self._limit_s} s are needed; lower deadtime"
        self._limit_s = taken_s
        return ""

    def _has_no_way_out(self) -> bool:
        return self._attribute("nowayout") == "1"

    def _attribute(self, name: str) -> str:
        """What sysfs says of the device (Documentation/ABI/testing/sysfs-class-watchdog); "" = nothing."""
        try:
            with open(f"{self._attributes}/{name}", encoding="ascii") as file:
                return file.read(20).strip()
        except OSError:
            return ""

    def _feed(self, now_ms: int) -> None:
        try:
            self._ioctl(self._fd, _KEEPALIVE, bytes(4))
            self._fed_ms = now_ms
        except OSError as error:
            self._trouble(f"does not take its feed ({error.strerror})")

    def _trouble(self, text: str) -> None:
        sentence = f"watchdog {self._device} {text}"
        if sentence != self.problem:
            self.problem = sentence
            self._say(Level.ALARM, sentence)
