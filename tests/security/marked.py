"""A real pair in which every secret is a mark that can be looked for, and who looks for it.

The marks are random words, so that finding one anywhere means that a secret got there.
"""

from __future__ import annotations

import base64
import functools
import os
import re
import subprocess
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from pair import Node, Pair

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig

PORT = 2323
CLOSED_PORT = 2324  # nobody listens there in the pair's namespaces

ALERT = '#!/bin/sh\n{ env; cat; tr "\\0" " " < /proc/self/cmdline; } >> "$CRM_alert_recipient" 2>&1\nexit 0\n'


class Marks:
    """The secrets, by what they are for."""

    def __init__(self) -> None:
        names = ("authkeys key", "telnet password", "REST password", "ssh password", "serial password")
        # A sign that a URL and a shell would write otherwise; the word is long enough to be nobody else's.
        self.of = {name: f"{name[:3]}-{uuid.uuid4().hex}-+z" for name in names}

    def forms(self) -> Iterator[tuple[str, bytes]]:
        """Each secret in each form it might stand somewhere in."""
        for name, text in self.of.items():
            plain = text.encode()
            yield name, plain
            yield f"{name}, quoted", quote(text).encode()
            yield f"{name}, hex", plain.hex().encode()
            for user in (b"", b":", b"admin:"):  # HTTP basic; with a prefix base64 looks different
                yield f"{name}, base64", base64.b64encode(user + plain).rstrip(b"=")[:-2]
            yield f"{name}, utf-16", text.encode("utf-16-le")

    def found_in(self, data: bytes) -> list[str]:
        """The names of those that stand in ``data``."""
        return sorted({name for name, form in self.forms() if form in data})


class Watch:
    """Looks at the argument lists and environments of all processes of this machine, again and again."""

    def __init__(self, marks: Marks, may_know: Sequence[int]) -> None:
        self.looks = 0
        self.seen: set[str] = set()  # names of programs that were looked at
        self.found: set[str] = set()
        self._marks = marks
        self._may_know = {os.getpid(), *may_know}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            self.looks += 1
            whole = {
                (pid, name): data
                for pid in os.listdir("/proc")
                if pid.isdigit() and int(pid) not in self._may_know
                for name in ("cmdline", "environ")
                if (data := self._read(pid, name))
            }
            # One search for all: with hundreds of processes, one for each would be a look every other second.
            if self._marks.found_in(b"\n".join(whole.values())):
                for (pid, name), data in whole.items():
                    for secret in self._marks.found_in(data):
                        if not self._is_between_fork_and_exec(pid, whole.get((pid, "cmdline"), b"")):
                            self.found.add(f"{secret} in {name} of {data[:80]!r}")

    def _is_between_fork_and_exec(self, pid: str, cmdline: bytes) -> bool:
        """Whether it is still a copy of one that may know: the switch starts its outlets' commands so."""
        parents = [str(known) for known in self._may_know]
        alike = any(self._read(parent, "cmdline") == cmdline for parent in parents)
        return alike and _parent(pid) in ("", *parents)

    def _read(self, pid: str, name: str) -> bytes:
        try:
            data = Path(f"/proc/{pid}/{name}").read_bytes()
        except OSError:  # it has ended
            return b""
        if name == "cmdline":
            self.seen.update(word.rpartition(b"/")[2].decode(errors="replace") for word in data.split(b"\0")[:4])
        return data


def _parent(pid: str) -> str:
    """"" when it has ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return ""
    return status.rpartition(")")[2].split()[1]


def prepare(pair: Pair, marks: Marks) -> None:
    """Files with marks; unhurried times: what is shown here is no race; alerts that write down all they get."""
    first, second = pair.nodes
    for node in pair.nodes:
        for made in ("run", "var"):  # failoverd makes them itself here
            (node.home / made).rmdir()
        path = node.home / "ha.d" / "ha.cf"
        text = path.read_text().replace("deadtime 2", "deadtime 30").replace("initdead 4", "initdead 60")
        text = re.sub(r"fence_device .*\n", "", text).replace("op_timeout 5", "op_timeout 30")
        plugs = f"plug.{first.name}=1 plug.{second.name}=2"
        quick = "timeout=1 login_timeout=1"
        here = "fence_wti_ips800 ip=10.77.0.1"
        closed = f"ipport={CLOSED_PORT} username=admin"
        devices = {
            "telnet": f"{here} ipport={PORT} password={marks.of['telnet password']}",
            "restful": f"{here} {closed} rest=1 password={marks.of['REST password']} {quick}",
            "shelled": f"{here} {closed} ssh=1 password={marks.of['ssh password']} {quick}",
            "lined": f"fence_wti_ips800 serial=/dev/nosuch password={marks.of['serial password']} {quick}",
        }
        text += "".join(f"fence_device {name} {rest} {plugs}\n" for name, rest in devices.items())
        for each in pair.nodes:
            for level, name in enumerate(("restful", "shelled", "lined", "telnet"), 1):
                text += f"fence_level {each.name} {level} {name}\n"
        path.write_text(text)
        keys = node.home / "ha.d" / "authkeys"
        keys.write_text(f"auth 1\n1 sha1 {marks.of['authkeys key']}\n2 sha1 {marks.of['authkeys key']}old\n")
        folder = node.home / "ha.d" / "alerts.d"
        folder.mkdir(mode=0o755)
        (folder / "dump").write_text(ALERT)
        (folder / "dump").chmod(0o755)
        (folder / "dump.conf").write_text(f"recipient={node.home}/alerts\n")


def start_under(node: Node, umask: str) -> None:
    """Start its daemon as something that never heard of umasks, or of that of a careful administrator."""
    command = functools.partial(node.command, "--metrics-file", str(node.home / "failover_kit.prom"))
    shell = ["/bin/sh", "-c", f'umask {umask}; exec "$@"', "sh"]
    node.command = lambda *extra: [*shell, *command(*extra)]  # type: ignore[method-assign]
    node.start()


@contextmanager
def switch_of(pair: Pair, marks: Marks) -> Iterator[EmulatorProcess]:
    """On the first node's side; outlet 2 feeds the second."""
    first, second = pair.nodes
    subprocess.run(["ip", "-n", first.namespace, "link", "set", "lo", "up"], check=True)
    outlets = {
        1: OutletConfig(name=first.name),
        2: OutletConfig(name=second.name, off_command=["/bin/sh", str(pair.folder / "cut-2")]),
    }
    place = pair.folder / "switch"
    place.mkdir()
    with EmulatorProcess(
        str(place), outlets=outlets, password=marks.of["telnet password"], address="10.77.0.1", port=PORT,
        prefix=["nsenter", f"--net=/run/netns/{first.namespace}"],
    ) as switch:  # fmt: skip
        yield switch
