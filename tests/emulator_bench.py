"""A pure emulated device on the bench: time in our hand, relays that move when we let them."""

from __future__ import annotations

from failover_kit.emulator.device import Device, factory_outlets
from failover_kit.emulator.relays import Event, Switch
from failover_kit.emulator.settings import Settings
from failover_kit.emulator.unit import Hangup, Line, Send, Store
from failover_kit.emulator.variants import IPS, Variant


class Bench:
    """A device with a clock in our hand; relays move at once unless ``hold`` is set."""

    def __init__(
        self,
        password: str | None = None,
        *,
        variant: Variant = IPS,
        user: str = "",
        groups: dict[str, tuple[int, ...]] | None = None,
        **names: str,
    ) -> None:
        outlets = factory_outlets(variant)
        for key, name in names.items():
            outlets[int(key[1:]) - 1].name = name
        settings = Settings(password=password, user=user)
        self.device = Device(outlets, settings, variant=variant, groups=groups)
        self.now_ms = 1_000
        self.hold = False
        self.relay_ok = True
        self.events: list[Event] = []
        self.moves: list[tuple[int, int, str]] = []
        self.hung_up = False
        self.stores = 0
        self.console_said = ""

    def drain(self) -> bytes:
        """Do what the device wants; returns what it said to the network. The console's part is kept."""
        said = bytearray()
        while effects := self.device.take():
            for effect in effects:
                if isinstance(effect, Send) and effect.line is Line.CONSOLE:
                    self.console_said += effect.data.decode("latin-1")
                elif isinstance(effect, Send):
                    said += effect.data
                elif isinstance(effect, Store):
                    self.stores += 1
                elif isinstance(effect, Hangup):
                    self.hung_up = True
                elif isinstance(effect, Event):
                    self.events.append(effect)
                elif isinstance(effect, Switch):
                    self.moves.append((self.now_ms, effect.number, "on" if effect.on else "off"))
                    if not self.hold:
                        self.device.switched(self.now_ms, self.relay_ok)
        return bytes(said)

    def connect(self) -> bytes:
        self.hung_up = False
        self.device.connect(self.now_ms, "192.0.2.1:4000")
        return self.drain()

    def type(self, text: str | bytes) -> str:
        self.device.receive(self.now_ms, text if isinstance(text, bytes) else text.encode())
        return self.drain().decode("latin-1")

    def console(self, text: str) -> str:
        """Type on the serial port; returns what it says."""
        self.console_said = ""
        self.device.console(self.now_ms, text.encode())
        self.drain()
        return self.console_said

    def wait(self, ms: int) -> str:
        """Let time pass without asking the device's own timer."""
        self.now_ms += ms
        self.device.handle(self.now_ms)
        return self.drain().decode("latin-1")

    def run(self, until_ms: int = 10_000_000) -> str:
        """Let the device's own timer run until the relays are done, at most to ``until_ms``."""
        said = b""
        while self.device.view()["busy"]:
            at_ms = self.device.deadline_ms()
            if at_ms is None or at_ms > until_ms:
                break
            self.now_ms = at_ms
            self.device.handle(self.now_ms)
            said += self.drain()
        return said.decode("latin-1")

    def state(self, number: int) -> str:
        return "on" if self.device.outlet(number).on else "off"

    def event_names(self) -> list[str]:
        return [event.name for event in self.events]


def logged_in(*, variant: Variant = IPS, groups: dict[str, tuple[int, ...]] | None = None, **names: str) -> Bench:
    bench = Bench(variant=variant, groups=groups, **names)
    bench.connect()
    return bench
