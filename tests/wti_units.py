"""WTI switches made up for the tests of the dialogue: every dialect that the literature shows, mixed at will.

A ``Unit`` takes the bytes a client sends and gives the bytes a device would; it keeps a record of what it was
really told, so that a test can compare what the dialogue says with what is true. It shares no code with
the fence agent or with the emulator.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

COLUMNS = {
    "plug": "Plug",
    "name": "Name",
    "password": "Password",
    "status": "Status",
    "delay": "Boot/Seq. Delay",
    "default": "Default",
    "priority": "Priority",
}


@dataclass
class Unit:
    """One switch. ``plugs``: number -> [name, state, default]."""

    plugs: dict[int, list[str]]
    prompt: str = "IPS>"
    columns: tuple[str, ...] = ("plug", "name", "password", "status", "delay", "default")
    capitals: bool = False
    name_width: int = 16
    edge: bool = False  # a bar at the left
    last_bar: bool = True  # a bar at the right
    rules: bool = True
    banner: str = "Internet Power Switch v1.41h    Site ID: (undefined)"
    eol: str = "\r\n"
    echo: str = "on"  # on, off, wrong, partial
    user: str = ""
    password: str = "changeme"
    first_screen: str = "status"  # status, help, nothing
    own_screen: bool = True  # shows the status screen after a command
    confirm: bool = False  # asks in spite of ",Y"
    confirm_leaving: bool = False
    asks_about: tuple[int, ...] = ()  # further plugs that its question names
    page_lines: int = 0
    pager: str = "Press Enter to continue, or type Q and Enter: "
    strays: int = 0  # prompts too many after each line
    refuses: tuple[int, ...] = ()  # plugs it will not switch
    groups: dict[str, tuple[int, ...]] | None = None
    stuck: bool = False  # takes commands, moves nothing
    # What really happened.
    lines: list[str] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)
    confirmed: list[tuple[bool, int]] = field(default_factory=list)
    wrongly_confirmed: bool = False
    switched: list[tuple[bool, int]] = field(default_factory=list)
    gone: bool = False
    _state: str = "user"
    _typed: str = ""
    _question: tuple[bool, int] | str | None = None
    _pages: list[str] = field(default_factory=list)
    _out: str = ""

    def connect(self) -> bytes:
        if self.user:
            self._write(self.eol + "Login: ")
        else:
            self._ask_password()
        return self._take()

    def receive(self, data: bytes) -> bytes:
        for char in data.decode("latin-1"):
            if self.gone:
                break
            if char == "\n":
                continue
            if char != "\r":
                self._typed += char
                continue
            line, self._typed = self._typed, ""
            self.lines.append(line)
            self._line(line)
            # A unit that takes CR LF as two lines answers the second, empty one with a prompt.
            if self._state == "ready" and not self._pages:
                self._write((self.eol + self.prompt + " ") * self.strays)
        return self._take()

    def table(self) -> list[tuple[int, str, str]]:
        return [(n, "" if name == "(undefined)" else name, state) for n, (name, state, _) in self.plugs.items()]

    # Lines.

    def _line(self, line: str) -> None:
        if self._state == "user":
            self._write(self._echoed(line) + self.eol)
            self._ask_password()
        elif self._state == "password":
            self.passwords.append(line)
            if line == self.password:
                self._let_in()
            else:
                self._write(self.eol + "Invalid password" + self.eol + "Password: ")
        elif self._state == "pager":
            self._write(self.eol)
            self._page()
        elif self._question is not None:
            self._write(self._echoed(line) + self.eol)
            self._answered(line.strip().upper() == "Y")
        else:
            self._write(self._echoed(line) + self.eol if self.echo != "off" else self.eol)
            self._command(line.strip().upper())

    def _ask_password(self) -> None:
        if self.password:
            self._state = "password"
            self._write(self.eol + "Enter Password: ")
        else:
            self._let_in()

    def _let_in(self) -> None:
        self._state = "ready"
        screens = {"status": self.screen(), "help": ["/S  Plug Status", "/H  This help"], "nothing": []}
        self._show(screens[self.first_screen])

    def _command(self, line: str) -> None:
        match = re.fullmatch(r"/(ON|OFF) (\d+),Y", line)
        if line == "/S":
            self._show(self.screen())
        elif line == "/SG" and self.groups is not None:
            self._show(self.group_screen())
        elif line == "/X,Y":
            if self.confirm_leaving:
                self._question = "leave"
                self._write("Are you sure? (Y/N): ")
            else:
                self.gone = True
        elif line == "":
            self._show([])
        elif match and int(match[2]) in self.plugs and int(match[2]) not in self.refuses:
            self._switch(match[1] == "ON", int(match[2]))
        else:
            self._show(["Invalid command"])

    def _switch(self, on: bool, plug: int) -> None:
        if not self.confirm:
            self._do(on, plug)
            return
        self._question = (on, plug)
        asked = sorted({plug, *self.asks_about})
        names = [f"Plug {n}: {self.plugs[n][0]}" for n in asked if n in self.plugs]
        head = ["", f"Plugs to be turned {'on' if on else 'off'}:", "", *names, "", ""]
        self._write(self.eol.join(head) + "Are you sure? (Y/N): ")

    def _answered(self, yes: bool) -> None:
        question, self._question = self._question, None
        if question == "leave":
            self.gone = yes
            if not yes:
                self._show([])
        elif yes and isinstance(question, tuple):
            self.confirmed.append(question)
            self.wrongly_confirmed = self.wrongly_confirmed or bool(set(self.asks_about) - {question[1]})
            self._do(*question)
        else:
            self._show([])

    def _do(self, on: bool, plug: int) -> None:
        self.switched.append((on, plug))
        if not self.stuck:
            self.plugs[plug][1] = "ON" if on else "OFF"
        busy = "Processing - Please wait or <CR> to continue..."
        self._show([busy, "", *self.screen()] if self.own_screen else [])

    # Screens.

    def screen(self) -> list[str]:
        titles = [COLUMNS[name].upper() if self.capitals else COLUMNS[name] for name in self.columns]
        widths = [self._width(name) for name in self.columns]
        rule = ("|" if self.edge else "") + "+".join("-" * width for width in widths) + "+"
        rows = [self._row([self._cell(name, number) for name in self.columns], widths) for number in self.plugs]
        header = self._row([title if at == 0 else f" {title}" for at, title in enumerate(titles)], widths)
        body = [header, rule, *rows, rule] if self.rules else [header, *rows]
        return ["", self.banner, "", *body, "", '"/H" for help.', ""]

    def group_screen(self) -> list[str]:
        rows = [f"{'GROUP NAME':<16} | PLUG | STATUS |", "-----------------+------+--------+"]
        for name, plugs in (self.groups or {}).items():
            rows.append(f"{name:<16} | ---  |  ---   |")
            rows += [f"{'':<16} | {plug:<4} | {self.plugs[plug][1]:<6} |" for plug in plugs]
        return ["", *rows, "-----------------+------+--------+", ""]

    def _width(self, column: str) -> int:
        return self.name_width + 2 if column == "name" else max(5, len(COLUMNS[column]) + 1 + (column != "plug"))

    def _cell(self, column: str, number: int) -> str:
        name, state, default = self.plugs[number]
        return {
            "plug": f" {number}",
            "name": f" {name}",
            "password": " (undefined)"[: self._width("password")],
            "status": f"   {state}",
            "delay": "     0.5 Secs",
            "default": f"   {default}",
            "priority": f"    {number}",
        }[column]

    def _row(self, cells: list[str], widths: list[int]) -> str:
        text = "|".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return ("|" if self.edge else "") + text + ("|" if self.last_bar else "")

    # Output.

    def _show(self, lines: list[str]) -> None:
        self._pages = list(lines)
        self._page()

    def _page(self) -> None:
        size = self.page_lines if self.page_lines and len(self._pages) > self.page_lines else len(self._pages)
        for line in self._pages[:size]:
            self._write(line + self.eol)
        self._pages = self._pages[size:]
        if self._pages:
            self._state = "pager"
            self._write(self.pager)
        else:
            self._state = "ready"
            self._write(self.eol + self.prompt + " ")

    def _echoed(self, line: str) -> str:
        echoes = {"on": line, "off": "", "wrong": line[::-1].lower() + "#", "partial": line[: len(line) // 2]}
        return echoes[self.echo]

    def _write(self, text: str) -> None:
        self._out += text

    def _take(self) -> bytes:
        out, self._out = self._out, ""
        return out.encode("latin-1")
