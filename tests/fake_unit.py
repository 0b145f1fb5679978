"""A small power switch in memory, with faults that no emulator of a decent unit has. Prompts and menus are plain
NPS.

It is a ``Transport``: what is sent to it is typed, what it prints is received, and silence is there at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from failover_kit.spec.deadline import Deadline


class FakeUnit:
    """Settings survive from session to session. ``quirks``: words that the methods below look for."""

    def __init__(self, password: str = "", quirks: frozenset[str] = frozenset()) -> None:
        self.password = password
        self.quirks = quirks
        self.names = {1: "", 2: "", 5: ""}
        self.network = {
            "IP Address": "192.0.2.219",
            "Subnet Mask": "255.255.255.0",
            "Gateway Address": "(undefined)",
        }
        self.timeout = 2
        self.sessions = 0
        self.exits: list[str] = []
        self.typed: list[str] = []
        self.on_line: Callable[[str], None] = lambda _: None

    def connect(self) -> FakeSession:
        self.sessions += 1
        return FakeSession(self)


class FakeSession:
    """One connection."""

    def __init__(self, unit: FakeUnit) -> None:
        self._unit = unit
        self._out = bytearray()
        self._line = ""
        self._state = "login" if unit.password else "prompt"
        self._menu = ""
        self._item = ""
        self._asked: list[str] = []
        self._gone = False
        self._print("Password: " if unit.password else "Network Power Switch v3.02\r\nNPS> ")

    # --- as a transport ---------------------------------------------------------------------------------

    def send(self, data: bytes, until: Deadline) -> None:
        for char in "" if self._gone else data.decode():
            if char == "\x1b":
                self._escape()
            elif char == "\r":
                line, self._line = self._line, ""
                self._unit.typed.append(line)
                self._enter(line)
                self._unit.on_line(line)
            elif char != "\n":
                self._line += char

    def receive(self, until: Deadline) -> bytes | None:
        data, self._out = bytes(self._out), bytearray()
        if data:
            return data
        return b"" if self._gone else None

    def close(self) -> None:
        if not self._gone:
            self._unit.exits.append(f"dropped in {self._state}")

    # --- as a unit --------------------------------------------------------------------------------------

    def _print(self, text: str) -> None:
        self._out += text.encode()

    def _hang_up(self, why: str) -> None:
        self._gone = True
        self._unit.exits.append(why)

    def _escape(self) -> None:
        if self._state == "login":
            raise AssertionError("<ESC> at a password prompt")
        if self._state == "value":
            self._show_menu()
        elif self._state == "menu":
            self._state = "prompt"
            self._print("\r\nNPS> ")

    def _enter(self, line: str) -> None:
        match self._state:
            case "login":
                right = line == self._unit.password
                self._state = "prompt" if right else "login"
                self._print("\r\nNPS> " if right else "\r\nInvalid password\r\nPassword: ")
            case "prompt":
                self._command(line.upper())
            case "menu":
                self._item = next((label for number, label in self._items() if str(number) == line), "")
                self._state = "value"
                self._asked = ["Current", "New", "Verify"] if self._asks_thrice() else []
                self._print(f"\r\n{self._asked[0] if self._asked else 'Enter'} {self._item}: ")
            case "value" if self._asked:
                self._answer(line)
            case "value":
                self._take(line)
                if not self._gone:
                    self._show_menu()

    def _asks_thrice(self) -> bool:
        return self._item == "System Password" and "thrice" in self._unit.quirks

    def _answer(self, line: str) -> None:
        """A unit that wants the old password, the new one, and the new one again."""
        question = self._asked.pop(0)
        if question == "Current" and line != self._unit.password:
            self._print("\r\nInvalid password")
            self._show_menu()
        elif question == "Verify":
            self._take(line)
            self._show_menu()
        else:
            self._print(f"\r\n{self._asked[0]} {self._item}: ")

    def _command(self, line: str) -> None:
        if line.startswith("/X") or (line == "/E" and "leaves" in self._unit.quirks):
            self._hang_up("exit")
        elif line == "/S":
            rows = "".join(
                f" {number} | {name or '(undefined)'} | ON |\r\n" for number, name in self._unit.names.items()
            )
            self._print(f"\r\nPlug | Name | Status |\r\n{rows}NPS> ")
        elif line in ("/G", "/N") or re.fullmatch(r"/P \d", line):
            self._menu = line
            self._show_menu()
        else:
            self._print("\r\nInvalid command\r\nNPS> ")

    def _items(self) -> list[tuple[int, str]]:
        labels = {"/G": ["System Password", "Disconnect Timeout"], "/N": list(self._unit.network)}
        return list(enumerate(labels.get(self._menu, ["Plug Name"]), 1))

    def _value(self, label: str) -> str:
        if label == "System Password":
            return self._unit.password or "(undefined)"  # some units print it
        if label == "Disconnect Timeout":
            return f"{self._unit.timeout} min"
        if label == "Plug Name":
            return self._unit.names[int(self._menu[3:])] or "(undefined)"
        return self._unit.network[label]

    def _show_menu(self) -> None:
        self._state = "menu"
        rows = "".join(f"{number}. {label}: {self._value(label)}\r\n" for number, label in self._items())
        self._print(f"\r\n{rows}Enter Selection or <ESC> to Exit\r\n")

    def _take(self, line: str) -> None:
        quirks = self._unit.quirks
        if self._item == "System Password":
            short = line[:6] if "shortens" in quirks else line
            self._unit.password = self._unit.password if "forgets" in quirks else short
        elif self._item == "Disconnect Timeout":
            self._unit.timeout = int(line)
        elif self._item == "Plug Name":
            if "deaf" not in quirks:
                self._unit.names[int(self._menu[3:])] = line
        else:
            self._unit.network[self._item] = line
            if self._item == "IP Address" and "moves" in quirks:
                self._hang_up("moved")
