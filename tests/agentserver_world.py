"""A real agent server with cells of its own, programs that tell what they are, and a ledger of what began."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from failover_kit.manager import actionspace
from failover_kit.manager.actionspace import AGENTS, Cell, CgroupSpace, cgroup2_mount, emptied
from failover_kit.manager.agentserver import AgentServer
from failover_kit.manager.children import Begin, Ended, Freshness, run_in

GROUP = "web"
LIMIT_S = 60.0
TIMEOUT_MS = 60_000
HEAD = "#!/usr/bin/python3 -IS\n"


def mount() -> str:
    return cgroup2_mount(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))


def eventually(condition: Callable[[], object], what: str) -> None:
    """Poll for a fact; fails with ``what`` after a minute."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"never happened: {what}")
        time.sleep(0.01)


def is_over(pid: int) -> bool:
    """Gone, or waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


class World:
    """``call`` runs a program through the server, ``execute`` as its own process; the rest looks and breaks."""

    def __init__(self, folder: Path, tag: str) -> None:
        self.folder = folder
        self.space = CgroupSpace(f"as-{tag}-{os.getpid()}", (mount(),))
        self.said: list[str] = []
        self.ledger = folder / "ledger"
        self.ledger.touch()
        self.server: AgentServer | None = None

    def program(self, name: str, body: str) -> str:
        """An agent of its own; ``began`` notes that it runs."""
        path = self.folder / name
        note = f"import os\ndef began():\n    fd = os.open({str(self.ledger)!r}, os.O_WRONLY | os.O_APPEND)\n"
        path.write_text(f"{HEAD}{note}    os.write(fd, b'%d\\n' % os.getpid())\n    os.close(fd)\n{body}")
        path.chmod(0o755)
        return str(path)

    def began(self) -> list[int]:
        """The processes that ran an agent's code."""
        return [int(line) for line in self.ledger.read_text().split()]

    def start(self, *programs: str) -> AgentServer:
        """A server for ``programs`` that is ready."""
        server = self.server = AgentServer(self.space, programs, self.said.append)
        server.start()
        eventually(lambda: server.ready() or self.said, "the agent server is ready")
        assert server.ready(), self.said
        return server

    def pid(self) -> int:
        """Of the server."""
        pids = [pid for cell in self.space.leftovers(AGENTS) for pid in cell.pids()]
        assert len(pids) == 1, pids
        return pids[0]

    def signal(self, number: int) -> None:
        os.kill(self.pid(), number)

    def cell(self) -> Cell:
        return self.space.create(GROUP, "1.monitor")

    def left(self) -> list[int]:
        return [pid for cell in self.space.leftovers(GROUP) for pid in cell.pids()]

    async def run(
        self,
        program: str,
        verb: str = "monitor",
        environment: Mapping[str, str] | None = None,
        *,
        begin: Begin | None = None,
        freshness: Freshness | None = None,
        timeout_ms: int = TIMEOUT_MS,
    ) -> Ended:
        """One call, and its cell emptied."""
        cell = self.cell()
        argv = (program, verb)
        ended = await run_in(
            cell, argv, timeout_ms=timeout_ms, environment=environment, freshness=freshness, begin=begin
        )
        assert await emptied(cell) == ""
        return ended

    def execute(self, program: str, verb: str = "monitor", environment: Mapping[str, str] | None = None) -> Ended:
        return asyncio.run(self.run(program, verb, environment))

    def call(
        self,
        program: str,
        verb: str = "monitor",
        environment: Mapping[str, str] | None = None,
        timeout_ms: int = TIMEOUT_MS,
    ) -> Ended:
        """Through the server, for certain: a call that was executed instead fails."""
        server = self.server
        assert server is not None
        forked = []

        def begin(*given: object) -> object:
            forked.append(server.begin(*given))  # type: ignore[arg-type]
            return forked[-1]

        ended = asyncio.run(self.run(program, verb, environment, begin=begin, timeout_ms=timeout_ms))  # type: ignore[arg-type]
        assert forked, "not asked"
        assert forked[0] is not None, f"executed instead; said: {self.said}"
        return ended

    def close(self) -> None:
        """Everything of it, whatever state it is in."""
        if self.server is not None:
            asyncio.run(self.server.close())
        for group in (AGENTS, GROUP):
            for cell in [*self.space.leftovers(group), *self.space.services(group)]:
                for pid in cell.pids():
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGCONT)
            asyncio.run(self.space.clear(group))
            asyncio.run(self.space.clear_services(group))
        ours = ("agent server", "spawn", "reaper")
        eventually(lambda: not [one for one in threading.enumerate() if one.name in ours], "all threads end")
        top = Path(mount()) / actionspace.BRANCH / f"{self.space_name()}"
        for folder, _, _ in sorted(os.walk(top), reverse=True):
            with suppress(OSError):
                Path(folder).rmdir()

    def space_name(self) -> str:
        return os.path.basename(self.space._bases[0])
