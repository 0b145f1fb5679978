"""The emulated switch on the network: an asyncio shell around the pure ``Device``.

One session at a time, as the user's guides say: while one is open the device does not listen, so a
second client is refused by TCP. The socket stays bound all the while. Linux stops listening on
shutdown(SHUT_RD) and starts again on listen(2), so nobody else can take the port in between;
connections that were still in the backlog are reset.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never, cast

from failover_kit.emulator import certificate, state
from failover_kit.emulator.command import run_outlet_command
from failover_kit.emulator.device import Device, factory_outlets
from failover_kit.emulator.eventlog import EventLog
from failover_kit.emulator.relays import DEFAULT_DELAY_MS, Event, Finished, Switch
from failover_kit.emulator.restserver import RestServer
from failover_kit.emulator.serialport import SerialPort
from failover_kit.emulator.settings import IDLE_TIMEOUT_MS, Settings
from failover_kit.emulator.unit import Effect, Hangup, Line, Send, Store
from failover_kit.emulator.variants import VARIANTS
from failover_kit.spec.deadline import boottime_ms

OUTLET_TIMEOUT_MS = 10_000
TELNET_PORT = 23
REST_PORT = 443
LAST_WORDS_S = 2.0  # for a client that does not read what it is sent


@dataclass(frozen=True)
class OutletConfig:
    """What is plugged in: ``on_command`` and ``off_command`` run when the relay moves (empty: nothing)."""

    name: str = ""
    on: bool = True
    delay_ms: int = DEFAULT_DELAY_MS
    on_command: Sequence[str] = ()
    off_command: Sequence[str] = ()


@dataclass(frozen=True)
class EmulatorConfig:
    """One switch. ``port`` 0 picks a free one.

    ``on_command`` and ``off_command`` run for every plug that has a name and no command of its own.
    ``password`` None: no system password, on variants whose factory has none. ``user``: the login name of
    variants that ask for one. ``serial``: also a console on a pty, with a link to it at ``serial_link``.
    ``rest``: address and port of the REST interface. ``state_path``: see ``state``; what that file holds
    wins over the rest of this. ``power_up``: every plug goes to its power-up default at start.
    """

    variant: str = "ips"
    address: str = "127.0.0.1"
    port: int = TELNET_PORT
    password: str | None = field(default=None, repr=False)
    outlets: dict[int, OutletConfig] = field(default_factory=dict)
    on_command: Sequence[str] = ()
    off_command: Sequence[str] = ()
    outlet_timeout_ms: int = OUTLET_TIMEOUT_MS
    idle_timeout_ms: int = IDLE_TIMEOUT_MS
    site_id: str = ""
    user: str = ""
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    serial: bool = False
    serial_link: str | None = None
    rest: tuple[str, int] | None = None
    rest_cert: str | None = None
    rest_plain: bool = False
    state_path: str | None = None
    power_up: bool = False
    control_path: str | None = None
    log_path: str | None = None


class Emulator:
    """``await start()``, then ``address`` and ``port`` say where it listens; ``await stop()`` ends it.

    Raises state.StateError.
    """

    def __init__(self, config: EmulatorConfig) -> None:
        self._config = config
        self.device = _device(config)
        if config.state_path is not None:
            state.load(config.state_path, self.device.unit)
        self.address = config.address
        self.port = config.port
        self._log = EventLog(None)
        self._listener: socket.socket | None = None
        self._listening = False
        self._session: _Session | None = None
        self._taking = False
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._pressed: dict[int, asyncio.Future[None]] = {}
        self._rest: RestServer | None = None
        self._serial: SerialPort | None = None
        if config.serial or config.serial_link is not None:
            self._serial = SerialPort(self._console_heard, config.serial_link)

    # --- life --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind and listen.

        Raises OSError when an address is taken or the log cannot be opened, certificate.CertificateError,
        and state.StateError when the state cannot be written.
        """
        self._listener = _bind(self._config.address, self._config.port)
        self.address, self.port = self._listener.getsockname()[:2]
        try:
            self._log = EventLog(self._config.log_path)
            if self._config.state_path is not None:
                state.begin(self._config.state_path, self.device.unit)
            if self._serial is not None:
                self._serial.start()
            if self._config.rest is not None:
                self._start_rest(*self._config.rest)
        except (OSError, certificate.CertificateError, state.StateError):
            await self.stop()
            raise
        self._log.write("start", {"address": self.address, "port": self.port})
        if self._config.power_up:
            self.device.order(boottime_ms(), "default", list(self.device.unit.relays.outlets))
        self._settle()

    def _start_rest(self, address: str, port: int) -> None:
        tls = None
        if not self._config.rest_plain:
            if self._config.rest_cert is not None:
                tls = certificate.context(self._config.rest_cert, address)
            else:
                with tempfile.TemporaryDirectory() as directory:
                    tls = certificate.context(os.path.join(directory, "rest.pem"), address)
        server = RestServer(self.device, self._settle, tls)
        try:
            server.start(address, port)
        except OSError as error:
            # Python's own words repeat the address, and os.strerror() knows no error of the resolver.
            reason = (error.strerror or str(error)).partition(" (while ")[0]
            raise OSError(error.errno, reason, endpoint(address, port)) from None
        self._rest = server

    async def stop(self) -> None:
        """Close everything; an outlet command that still runs is killed."""
        if self._timer is not None:
            self._timer.cancel()
        self._stop_listening()
        if self._serial is not None:
            self._serial.stop()
        if self._rest is not None:
            await self._rest.stop()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._session is not None:
            self._session.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for waiting in self._pressed.values():
            waiting.cancel()
        await asyncio.sleep(0)  # one turn of the loop: the aborted session closes its socket there
        self._log.write("stop", {})
        self._log.close()

    @property
    def serial_path(self) -> str | None:
        """The device file of the console, once started."""
        return None if self._serial is None else self._serial.path

    @property
    def rest_url(self) -> str | None:
        """Where the REST interface answers, once started."""
        if self._rest is None or self._config.rest is None:
            return None
        scheme = "http" if self._config.rest_plain else "https"
        return f"{scheme}://{endpoint(self._config.rest[0], self._rest.port)}"

    # --- what the control socket asks for ----------------------------------------------------------

    async def press(self, number: int, on: bool) -> bool:
        """Press the button of an outlet, wait for the relay; True when the outlet is in that state."""
        job = self.device.press(boottime_ms(), number, on)
        done = asyncio.get_running_loop().create_future()
        self._pressed[job] = done
        self._settle()
        await done
        return self.device.outlet(number).on == on

    async def power_cycle(self) -> None:
        """Take the power from the device and give it back; returns when the relays are done."""
        job = self.device.power_cycle(boottime_ms())
        done = asyncio.get_running_loop().create_future()
        self._pressed[job] = done
        self._settle()
        await done

    def set_fault(
        self, name: str, outlets: Sequence[int], delay_ms: int | None, count: int | None = None
    ) -> None:
        """Put a fault in force. Raises faults.FaultError."""
        self.device.faults.set(name, outlets, delay_ms, count)
        self._log.write("fault", {"fault": name, "in_force": self.device.faults.view()})
        self._settle()

    def clear_fault(self, name: str | None, outlets: Sequence[int] | None) -> None:
        """End one fault or all. Raises faults.FaultError."""
        self.device.faults.clear(name, outlets)
        self._log.write("clear", {"fault": name, "in_force": self.device.faults.view()})
        self._settle()

    # --- the shell ---------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Listen or not, perform what the device wants, set its timer."""
        effects = self.device.take()
        # The door first: whoever reads a prompt or the echo of his /X must find it shut, or open.
        if self.device.accepting() and self._session is None and not self._taking:
            self._start_listening()
        else:
            self._stop_listening()
        # The diary and the state file before the words: who was told of a thing finds it written down.
        for effect in effects:
            if not isinstance(effect, Hangup):
                self._perform(effect)
        # One write: a screen and its prompt travel together. Nothing is said after Hangup.
        for line in Line:
            self._say(line, b"".join(e.data for e in effects if isinstance(e, Send) and e.line is line))
        for effect in effects:
            if isinstance(effect, Hangup):
                self._perform(effect)
        self._set_timer()

    def _say(self, line: Line, data: bytes) -> None:
        if line is Line.CONSOLE and self._serial is not None:
            self._serial.write(data)
        elif line is Line.NETWORK and data and self._session is not None:
            self._session.transport.write(data)

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, Send):
            pass  # written together, below all this
        elif isinstance(effect, Hangup):
            if effect.line is Line.NETWORK and self._session is not None:
                self._session.hang_up()
        elif isinstance(effect, Store):
            self._store()
        elif isinstance(effect, Switch):
            self._begin(effect)
        elif isinstance(effect, Finished):
            waiting = self._pressed.pop(effect.job, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
        elif isinstance(effect, Event):
            self._log.write(effect.name, effect.fields)
        else:
            assert_never(effect)

    def _store(self) -> None:
        """Write down what the device remembers; a disk that does not take it is reported each time."""
        if self._config.state_path is None:
            return
        try:
            state.save(self._config.state_path, self.device.unit)
        except OSError as error:
            problem = f"{self._config.state_path}: {error.strerror}; not saved"
            print(f"wti-emulator: {problem}", file=sys.stderr, flush=True)
            self._log.write("not_saved", {"why": error.strerror})

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at_ms = self.device.deadline_ms()
        if at_ms is not None and self._listener is not None:
            delay_s = max(0, at_ms - boottime_ms()) / 1000
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._time_has_come)

    def _time_has_come(self) -> None:
        self.device.handle(boottime_ms())
        self._settle()

    def _begin(self, switch: Switch) -> None:
        task = asyncio.get_running_loop().create_task(self._operate(switch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _operate(self, switch: Switch) -> None:
        """Run the outlet's command and tell the device what came of it.

        An ON command that failed may have done its work all the same, or half of it. So the OFF command
        follows, and only when that succeeds is the outlet off again.
        """
        ok = await self._run_command(switch)
        if switch.on and not ok:
            ok = not await self._run_command(Switch(switch.number, False))
        self.device.switched(boottime_ms(), ok)
        self._settle()

    async def _run_command(self, switch: Switch) -> bool:
        """Whether it succeeded; an outlet without a command always does."""
        name = self.device.outlet(switch.number).name
        argv = self._command(switch, name)
        if not argv:
            return True
        state = "on" if switch.on else "off"
        self._log.write("switching", {"outlet": switch.number, "to": state})
        env = {"WTI_OUTLET": str(switch.number), "WTI_NAME": name, "WTI_STATE": state}
        failure = await run_outlet_command(argv, env, self._config.outlet_timeout_ms)
        if failure is not None:
            print(f"wti-emulator: outlet {switch.number} {state}: {failure}", file=sys.stderr, flush=True)
            self._log.write("command_failed", {"outlet": switch.number, "to": state, "why": failure})
        return failure is None

    def _command(self, switch: Switch, name: str) -> Sequence[str]:
        """What is run for this relay: the outlet's own command, else the common one if it has a name now."""
        outlet = self._config.outlets.get(switch.number, OutletConfig())
        own = outlet.on_command if switch.on else outlet.off_command
        common = self._config.on_command if switch.on else self._config.off_command
        return own or (common if name else ())

    def _start_listening(self) -> None:
        if self._listening or self._listener is None:
            return
        self._listener.listen(1)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)
        self._listening = True

    def _stop_listening(self) -> None:
        if not self._listening or self._listener is None:
            return
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.shutdown(socket.SHUT_RD)
        self._listening = False

    def _accept(self) -> None:
        assert self._listener is not None  # noqa: S101 - add_reader is undone before it is closed
        try:
            connection, peer = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # gone again between the event and the call
        if not self.device.unit.settings.admits(str(peer[0])):
            self._log.write("denied", {"peer": endpoint(peer[0], peer[1])})
            connection.close()
            return
        connection.setblocking(False)
        self._taking = True
        self._stop_listening()
        task = asyncio.get_running_loop().create_task(self._take_in(connection, endpoint(peer[0], peer[1])))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take_in(self, connection: socket.socket, peer: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: _Session(self, peer), connection)
        except OSError:
            connection.close()
        finally:
            self._taking = False
        self._settle()

    def _console_heard(self, data: bytes) -> None:
        self.device.console(boottime_ms(), data)
        self._settle()

    # --- called by the session ---------------------------------------------------------------------

    def session_opened(self, session: _Session, peer: str) -> None:
        self._session = session
        self.device.connect(boottime_ms(), peer)
        self._settle()

    def session_heard(self, data: bytes) -> None:
        self.device.receive(boottime_ms(), data)
        self._settle()

    def session_closed(self) -> None:
        self._session = None
        self.device.disconnected(boottime_ms())
        self._settle()


class _Session(asyncio.Protocol):
    """The TCP connection of the one session."""

    transport: asyncio.Transport

    def __init__(self, emulator: Emulator, peer: str) -> None:
        self._emulator = emulator
        self._peer = peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._emulator.session_opened(self, self._peer)

    def data_received(self, data: bytes) -> None:
        self._emulator.session_heard(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._emulator.session_closed()

    def pause_writing(self) -> None:
        """The client does not read: what it types would only pile up as echo."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def hang_up(self) -> None:
        """Close after what is still to be sent; a client that does not take it is cut off."""
        self.transport.close()
        asyncio.get_running_loop().call_later(LAST_WORDS_S, self.transport.abort)


def _device(config: EmulatorConfig) -> Device:
    """The device as ``config`` wants it."""
    variant = VARIANTS[config.variant]
    outlets = factory_outlets(variant)
    for outlet in outlets:
        wanted = config.outlets.get(outlet.number)
        if wanted is not None:
            outlet.name, outlet.on, outlet.delay_ms = wanted.name, wanted.on, wanted.delay_ms
    settings = Settings(
        user=config.user or variant.factory_user,
        password=variant.factory_password if config.password is None else config.password,
        site_id=config.site_id,
        idle_timeout_ms=config.idle_timeout_ms,
    )
    return Device(outlets, settings, variant=variant, groups=config.groups)


def endpoint(address: str, port: int) -> str:
    """``192.0.2.1:23`` or ``[2001:db8::1]:23``."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _bind(address: str, port: int) -> socket.socket:
    """A bound, not yet listening socket.

    A port chosen by the kernel would be given back when listening stops (it keeps only ports that
    were asked for by number), so it is found out first and then asked for.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as scout:
        scout.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if port == 0:
            scout.bind((address, 0))
            port = scout.getsockname()[1]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            listener.bind((address, port))
        except OSError:
            listener.close()
            raise
    return listener
