"""What the evidence needs of a guest, and small things every user of it needs. The lab's ``Guest`` is one.

Commands go to guests as lists, or as fixed scripts on the standard input of ``sh``; every one has a limit.
"""

from __future__ import annotations

import io
import os
import shlex
import tarfile
from collections.abc import Callable, Sequence
from typing import Protocol

from lab.client import clocks

PYTHON = "/usr/bin/python3"
HOME = "/usr/local/lib/lab-evidence"
"""Where the programs lie in a guest."""
DIARIES = "/var/tmp/lab-evidence"
"""Where their diaries lie: a folder of the guest's own journalled disk, kept over power cuts."""
PROGRAMS = (
    "__init__", "diary", "records", "mounts", "locks", "writer", "reader", "walker", "probe_lock", "lock_watch",
)  # fmt: skip
PACKAGES = (
    "nfs-kernel-server",
    "nfs-common",
    "rpcbind",
    "xfsprogs",
    "aoetools",
    "python3",
    "sysvinit-core",
    "systemd",
)


class EvidenceError(Exception):
    """The evidence cannot be taken, or says no. The sentence names place, fact and remedy."""


class Result(Protocol):
    """What a command in a guest left."""

    @property
    def code(self) -> int: ...
    @property
    def stdout(self) -> str: ...
    @property
    def stderr(self) -> str: ...


class Guest(Protocol):
    """See ``lab.guest``."""

    @property
    def name(self) -> str: ...
    def run(
        self, argv: Sequence[str], *, timeout_s: float = 120, input: bytes = b"", check: bool = True
    ) -> Result: ...
    def sh(self, script: str, *, timeout_s: float = 120, check: bool = True) -> Result: ...
    def spawn(self, argv: Sequence[str], *, log: str) -> object: ...
    def get(self, path: str) -> bytes: ...


def program(name: str, *arguments: str, home: str = HOME) -> list[str]:
    """The command of a program of this package in a guest. ``-P``: nothing of its working folder is imported."""
    return ["env", f"PYTHONPATH={home}", PYTHON, "-P", "-m", f"lab.client.{name}", *arguments]


def package() -> bytes:
    """The programs as a tar file, in a package ``lab.client`` of its own."""
    here = os.path.dirname(os.path.abspath(__file__))
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("lab/__init__.py"), io.BytesIO())
        for name in PROGRAMS:
            tar.add(os.path.join(here, f"{name}.py"), f"lab/client/{name}.py", filter=_plain)
    return stream.getvalue()


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    info.mode = 0o644
    return info


def install(guest: Guest, *, home: str = HOME, diaries: str = DIARIES) -> None:
    """Put the programs into ``guest``; again does no harm."""
    guest.run(["mkdir", "-p", home, diaries])
    guest.run(["tar", "-xf", "-", "-C", home], input=package(), timeout_s=600)


def await_line(guest: Guest, path: str, words: Sequence[str], *, timeout_s: int = 60) -> str:
    """Wait until one of ``words`` is the ``what`` of a line of the diary ``path``; that line.

    EvidenceError with the diary's last lines when the limit is over.
    """
    pattern = "|".join(f'"what":"{word}"' for word in words)
    quoted = shlex.quote(path)
    script = (
        f"for i in $(seq {timeout_s * 5}); do grep -E -m1 {shlex.quote(pattern)} {quoted} 2>/dev/null && exit 0; "
        f"sleep 0.2; done; tail -n 3 {quoted} >&2; exit 1\n"
    )
    result = guest.sh(script, timeout_s=timeout_s * 3 + 30, check=False)
    if result.code != 0:
        wanted = " or ".join(words)
        raise EvidenceError(
            f"{guest.name}: no line {wanted} in {path} within {timeout_s} s; it ends with: {result.stderr.strip()}"
        )
    return result.stdout.strip()


def uptime_ms(guest: Guest) -> int:
    """The guest's clock, as its diaries use it."""
    return clocks.uptime_ms(guest.run(["cat", "/proc/uptime"]).stdout)


def clock_map(guest: Guest, now_ms: Callable[[], int]) -> clocks.ClockMap:
    """The guest's clock against the host's, whose moment ``now_ms`` says."""
    return clocks.measure(lambda: guest.run(["cat", "/proc/uptime"]).stdout, now_ms)


def machine_facts(guest: Guest) -> dict[str, str]:
    """Kernel, distribution, init and package versions of a guest, for the table."""
    script = (
        'uname -r; . /etc/os-release; echo "$PRETTY_NAME"; cat /proc/1/comm; '
        "dpkg-query -W -f '${Package} ${Version}\\n' " + " ".join(PACKAGES) + " 2>/dev/null || true\n"
    )
    kernel, system, init, *rest = guest.sh(script).stdout.splitlines()
    versions = dict(line.split(" ", 1) for line in rest if " " in line and line.split(" ", 1)[1])
    return {"kernel": kernel, "system": system, "pid 1": init, **versions}
