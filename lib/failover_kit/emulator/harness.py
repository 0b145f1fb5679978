"""Run the emulator as a process of its own for as long as a ``with`` block lasts.

For tests and the rehearsal:

    with EmulatorProcess(directory, outlets={1: OutletConfig("pete")}, password="changeme") as switch:
        ... talk to switch.address, switch.port ...
        switch.fault("stuck", 1)
        assert switch.outlet_state(1) == "on"
"""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from failover_kit.emulator import control
from failover_kit.emulator.server import OutletConfig, endpoint
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CLEAN_ENV

START_MS = 60_000  # an interpreter's start on a busy machine, with room
STOP_MS = 10_000
PASSWORD_VARIABLE = "WTI_EMULATOR_PASSWORD"  # noqa: S105 - a variable's name


class EmulatorFailed(Exception):
    """The emulator did not start; ``str()`` carries what it wrote to stderr."""


class EmulatorProcess:
    """One emulator in a process. ``directory`` takes its control socket, event log and stderr.

    ``variant`` and ``user`` as the options. ``serial``: a console, known as ``serial_path`` once started.
    ``rest``: the REST interface on a free port of the same address, known as ``rest_port``, with TLS; its
    certificate is then the file ``rest_cert``. ``state``: a file that outlives the process.

    ``prefix`` is put before its command line, for example ``["ip", "netns", "exec", NAME]``. ``extra``
    are further options. ``port`` 0: a free one, known as ``port`` once started.
    """

    def __init__(
        self,
        directory: str,
        *,
        outlets: Mapping[int, OutletConfig],
        password: str | None = None,
        variant: str = "ips",
        user: str = "",
        serial: bool = False,
        rest: bool = False,
        state: str | None = None,
        address: str = "127.0.0.1",
        port: int = 0,
        prefix: Sequence[str] = (),
        extra: Sequence[str] = (),
    ) -> None:
        self.address = address
        self.port = port
        self.serial_path = ""
        self.rest_port = 0
        self.rest_cert = os.path.join(directory, "emulator.pem")
        self.control_path = os.path.join(directory, "emulator.ctl")
        self.log_path = os.path.join(directory, "emulator.log")
        self.stderr_path = os.path.join(directory, "emulator.err")
        self._options = ["--variant", variant]
        if user:
            self._options += ["--user", user]
        if serial:
            self._options += ["--serial"]
        if rest:
            self._options += ["--rest", endpoint(address, 0), "--rest-cert", self.rest_cert]
        if state is not None:
            self._options += ["--state", state]
        self._lines_wanted = 1 + serial + rest
        self._outlets = outlets
        self._password = password
        self._prefix = prefix
        self._extra = extra
        self._child: subprocess.Popen[bytes] | None = None

    # --- life --------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of the running emulator."""
        if self._child is None:
            raise EmulatorFailed("the emulator is not running")
        return self._child.pid

    def start(self) -> None:
        """Start it and wait until it listens. Raises EmulatorFailed."""
        env = {**CLEAN_ENV, "PYTHONPATH": _library()}
        if self._password is not None:
            env[PASSWORD_VARIABLE] = self._password
        with open(self.stderr_path, "ab") as stderr:
            self._child = subprocess.Popen(
                self.argv(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=env,
                cwd="/",
                start_new_session=True,
            )
        try:
            text = self._first_lines(Deadline(START_MS))
            if not text.startswith("listening on "):
                raise EmulatorFailed(f"the emulator did not start: {self._stderr() or text or 'no output'}")
        except BaseException:
            self.stop()
            raise
        for line in text.splitlines():
            self._take_place(line)

    def stop(self) -> int | None:
        """SIGTERM, then SIGKILL; returns its exit code, None when it was not running."""
        child, self._child = self._child, None
        if child is None:
            return None
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_MS / 1000)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout is not None:
            child.stdout.close()
        return child.returncode

    def argv(self) -> list[str]:
        """The command line; never contains the password."""
        argv = [*self._prefix, "/usr/bin/python3", "-s", "-P", "-m", "failover_kit.emulator"]
        argv += ["--listen", endpoint(self.address, self.port)]
        argv += ["--control", self.control_path, "--log", self.log_path, *self._options]
        if self._password is not None:
            argv += ["--password-env", PASSWORD_VARIABLE]
        for number, outlet in self._outlets.items():
            argv += ["--outlet-state", f"{number}={'on' if outlet.on else 'off'}"]
            argv += ["--outlet-delay", f"{number}={outlet.delay_ms / 1000:g}"]
            if outlet.name:
                argv += ["--outlet", f"{number}={outlet.name}"]
            if outlet.on_command:
                argv += ["--outlet-on", f"{number}={shlex.join(outlet.on_command)}"]
            if outlet.off_command:
                argv += ["--outlet-off", f"{number}={shlex.join(outlet.off_command)}"]
        return [*argv, *self._extra]

    # --- what a test asks --------------------------------------------------------------------------

    def request(self, do: str, **what: object) -> dict[str, Any]:
        """One request to the control socket. Raises control.ControlError when it is turned down."""
        return control.request(self.control_path, {"do": do, **what})

    def view(self) -> dict[str, Any]:
        return self.request("show")

    def outlet_state(self, number: int) -> str:
        """The truth: "on" or "off"."""
        for outlet in self.view()["outlets"]:
            if outlet["outlet"] == number:
                return str(outlet["state"])
        raise KeyError(number)

    def fault(
        self, name: str, *outlets: int, seconds: float | None = None, count: int | None = None
    ) -> None:
        """Put a fault in force; no outlets: all of them. ``slow`` takes seconds, ``lockout`` a count."""
        what: dict[str, object] = {"fault": name}
        if outlets:
            what["outlets"] = list(outlets)
        if seconds is not None:
            what["seconds"] = seconds
        if count is not None:
            what["count"] = count
        self.request("fault", **what)

    def clear(self, name: str | None = None) -> None:
        """End one fault, or all."""
        self.request("clear", **({} if name is None else {"fault": name}))

    def press(self, number: int, state: str) -> None:
        """Press the button of an outlet; returns when the relay has moved. Raises control.ControlError."""
        self.request("switch", outlet=number, state=state)

    def power_cycle(self) -> None:
        """Take the device's own power away and give it back; returns when the relays are done."""
        self.request("power-cycle")

    def events(self, *names: str) -> list[dict[str, Any]]:
        """The event log so far, or only the events with one of ``names``."""
        with open(self.log_path, encoding="utf-8") as file:
            events = [json.loads(line) for line in file if line.endswith("\n")]
        return [event for event in events if not names or event["event"] in names]

    # --- inside ------------------------------------------------------------------------------------

    def _take_place(self, line: str) -> None:
        """One line in which the emulator says where it can be reached."""
        place = line.rpartition(" on ")[2]
        if line.startswith("serial "):
            self.serial_path = place
        elif line.startswith("rest "):
            self.rest_port = int(place.rpartition(":")[2])
        else:
            self.port = int(place.rpartition(":")[2])

    def _first_lines(self, deadline: Deadline) -> str:
        assert self._child is not None and self._child.stdout is not None  # noqa: S101 - just made
        fd = self._child.stdout.fileno()
        text = b""
        while text.count(b"\n") < self._lines_wanted:
            if not select.select([fd], [], [], deadline.left_s())[0]:
                raise EmulatorFailed(f"the emulator did not start within {deadline.total_ms / 1000:g} s")
            part = os.read(fd, 200)
            if not part:
                break
            text += part
        return text.decode().strip()

    def _stderr(self) -> str:
        with open(self.stderr_path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()


def _library() -> str:
    """The directory that holds the package ``failover_kit``."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
