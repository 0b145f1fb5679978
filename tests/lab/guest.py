"""A guest as the host's side knows it: run commands in it, look at it. Everything here has a limit.

Commands go over the keeper's ssh master of that guest (``sessions``): the local ssh only talks to the master's unix
socket. It can reach nothing else, in particular no address of this machine's own network.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CLEAN_ENV
from lab.errors import GuestError, LabError
from lab.places import Places
from lab.plan import GuestPlan
from lab.wire import RequestError

GUEST_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SSH_FAILED = 255
READY = re.compile(rb"^LAB-READY\b", re.MULTILINE)
CONSOLE_BYTES = 16 << 20
POLL_S = 0.1
READY_S = 300.0
"""For a boot of 10 to 20 s, when the machine has no processor to spare."""
TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class Result:
    """What a command in a guest left: exit code, both outputs, how long it took on the host's clock."""

    code: int
    stdout: str
    stderr: str
    ms: int

    def last_line(self) -> str:
        """The last line of stderr, else of stdout."""
        for text in (self.stderr, self.stdout):
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            if lines:
                return lines[-1]
        return "(no output)"


class Asks(Protocol):
    """Requests to the keeper: ``ask("guest", guest="pete")``. Raises LabError."""

    def __call__(self, do: str, *, timeout_s: float = ..., **what: object) -> dict[str, Any]: ...


def remote_words(argv: Sequence[str]) -> str:
    """``argv`` as one line for the guest's shell: a PATH with sbin, each word exactly as it is."""
    return f"PATH={GUEST_PATH} LC_ALL=C; export PATH LC_ALL; exec {shlex.join(argv)}"


def ssh_argv(socket_path: str, name: str, words: str) -> list[str]:
    """The local command. When the master is gone ssh would connect by itself: ProxyCommand makes that fail."""
    options = ("ControlMaster=no", "ProxyCommand=/bin/false", "BatchMode=yes", "LogLevel=ERROR")
    argv = ["ssh", "-F", "/dev/null", "-S", socket_path]
    for option in options:
        argv += ["-o", option]
    return [*argv, f"root@{name}", words]


def tail(path: str, lines: int) -> str:
    """The last lines of a file; "" when it is not there. Escape sequences and carriage returns are left out."""
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")
    return "\n".join(text.splitlines()[-lines:])


def _put_away(child: subprocess.Popen[bytes]) -> None:
    """End the local ssh. Its pipes are not read to their end: the master holds them until the guest's side ends."""
    if child.poll() is None:
        child.kill()
        child.wait()
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()


class Guest:
    """One machine. Made by the Lab."""

    def __init__(self, plan: GuestPlan, places: Places, ask: Asks) -> None:
        self.plan = plan
        self.name = plan.name
        self.address = plan.address
        self._places = places
        self._ask = ask

    def __repr__(self) -> str:
        return f"Guest({self.name!r})"

    # --- what is so --------------------------------------------------------------------------------------

    def view(self) -> dict[str, Any]:
        """on, boot, cord, outlet, remark (why it is off, if that needs saying), cut (cards without a carrier)."""
        return self._ask("guest", guest=self.name)

    @property
    def on(self) -> bool:
        """Whether its virtual machine runs."""
        return bool(self.view()["on"])

    @property
    def boot(self) -> int:
        """How many times it was started so far."""
        return int(self.view()["boot"])

    def console(self, lines: int = 40, boot: int | None = None) -> str:
        """The end of its console's text in this boot (the last one when it is off), or in an earlier one."""
        return tail(self._places.console(self.name, self.boot if boot is None else boot), lines)

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Until its boot script has said LAB-READY and a command can be run. Raises LabError with the console."""
        deadline = Deadline(round(timeout_s * 1000))
        while True:
            seen = self.view()
            if not seen["on"]:
                raise self.failure(f"is off ({seen['remark'] or self._why_off(seen)})")
            if self._said_ready(int(seen["boot"])):
                break
            if deadline.expired():
                raise self.failure(f"was not ready within {timeout_s:g} s of waiting")
            time.sleep(POLL_S)
        self.run(["true"], timeout_s=max(5.0, deadline.left_s()))

    def _said_ready(self, boot: int) -> bool:
        try:
            with open(self._places.console(self.name, boot), "rb") as file:
                return READY.search(file.read(CONSOLE_BYTES)) is not None  # its first word may be long ago
        except FileNotFoundError:
            return False

    @staticmethod
    def _why_off(seen: dict[str, Any]) -> str:
        if not seen["cord"]:
            return "its power cord is out"
        return "it ended by itself; boot it again" if seen["outlet"] else "its outlet is off"

    def failure(self, fact: str) -> LabError:
        """``NAME FACT`` and the end of its console."""
        try:
            shown = self.console(25) or "(nothing)"
        except LabError as error:
            shown = f"({error})"
        indented = "\n".join(f"  | {line}" for line in shown.splitlines())
        return LabError(f"{self.name} {fact}; the end of its console:\n{indented}")

    # --- commands ----------------------------------------------------------------------------------------

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float = 120,
        input: bytes = b"",
        check: bool = True,
        label: str = "",
    ) -> Result:
        """Run a program in the guest, words exactly as given; a PATH with sbin, LC_ALL=C, nothing else set.

        Raises GuestError when it does not end in time, when the guest is lost meanwhile, and, with ``check``, when
        it exits other than 0. At the limit the local ssh ends; what runs in the guest is not killed by that.
        As with ssh, it ends when the program and everything it left behind have closed their outputs.
        ``label``: what errors call it.
        """
        label = label or f"'{shlex.join(argv)}'"
        code, out, err, ms = self._exchange(argv, timeout_s, input, label)
        result = Result(code, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), ms)
        if check and code != 0:
            raise GuestError(f"{self.name}: {label} exited {code}: {result.last_line()}", code)
        return result

    def sh(self, script: str, *, timeout_s: float = 120, check: bool = True) -> Result:
        """Run a script by ``sh -eu``; it is sent as standard input, so nothing in it needs quoting."""
        lines = [line.strip() for line in script.splitlines() if line.strip()]
        label = f"the script '{lines[0]}{' …' if len(lines) > 1 else ''}'" if lines else "an empty script"
        return self.run(["sh", "-eu"], timeout_s=timeout_s, input=script.encode(), check=check, label=label)

    def spawn(self, argv: Sequence[str], *, log: str) -> None:
        """Start a program that goes on by itself, in a session of its own; its output goes to ``log`` there.

        A program that does not exist is told there, not here.
        """
        script = f"exec setsid --fork {shlex.join(argv)} >{shlex.quote(log)} 2>&1 </dev/null\n"
        self.sh(script)

    def put(self, path: str, data: bytes | str, mode: int = 0o644) -> None:
        """Write a file, whole or not at all, and onto the disk: a power cut right after it loses nothing."""
        content = data.encode() if isinstance(data, str) else data
        new = f"{path}.lab-new"
        words = f'umask 077; cat > "$1" && chmod {mode:o} "$1" && sync "$1" && mv -f "$1" "$2" && sync "${{2%/*}}/"'
        self.run(["sh", "-c", words, "put", new, path], input=content, timeout_s=60)

    def get(self, path: str) -> bytes:
        """A file's content. Raises GuestError."""
        code, out, err, _ = self._exchange(["cat", path], 60, b"", f"'cat {path}'")
        if code != 0:
            raise GuestError(f"{self.name}: {path}: {err.decode('utf-8', 'replace').strip()}", code)
        return out

    def _exchange(
        self, argv: Sequence[str], timeout_s: float, data: bytes, what: str
    ) -> tuple[int, bytes, bytes, int]:
        """Exit code, stdout, stderr, milliseconds. Raises GuestError."""
        deadline = Deadline(round(timeout_s * 1000))
        try:
            master = self._ask(
                "master", timeout_s=timeout_s + 10, guest=self.name, timeout_ms=deadline.left_ms()
            )
        except (LabError, RequestError) as error:
            raise GuestError(str(self.failure(f"cannot run {what}: {error}"))) from None
        began = time.monotonic()
        child = subprocess.Popen(
            ssh_argv(str(master["path"]), self.name, remote_words(argv)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**CLEAN_ENV, "HOME": "/root"},
            cwd="/",
            start_new_session=True,
        )
        try:
            out, err = child.communicate(data, timeout=max(0.1, deadline.left_s()))
        except subprocess.TimeoutExpired:
            raise GuestError(str(self.failure(f"did not end {what} within {timeout_s:g} s"))) from None
        finally:
            _put_away(child)
        ms = round((time.monotonic() - began) * 1000)
        if child.returncode == SSH_FAILED and not self._still(master):
            raise GuestError(str(self.failure(f"was lost while it ran {what}")))
        return child.returncode, out, err, ms

    def _still(self, master: dict[str, Any]) -> bool:
        """Whether the connection outlived the command: then 255 is the command's own code."""
        seen = self._ask("alive", guest=self.name, master=master["master"])
        return bool(seen["alive"]) and seen["boot"] == master["boot"]
