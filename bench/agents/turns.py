"""One row: its world, and the contenders in turns: A B C, A B C, …"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import meter
from contest import OURS, PEER, Contender, Row
from meter import Command, Sample
from worlds import World, users

from failover_kit.spec.process import CLEAN_ENV

NOT_RUNNING = 7
# A tracer between meter and agent, only to count: seccomp lets everything but execve pass at full speed.
_STRACE = ("-f", "-qq", "-A", "--seccomp-bpf", "-e", "trace=execve", "-o")


class WrongOutcome(Exception):
    """A contender did not do what it is measured for; ``str()`` says who and what."""


@dataclass
class Result:
    """All samples of one row, by contender, in their turns; how many programs one sample executes."""

    row: Row
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    programs: dict[str, int] = field(default_factory=dict)


class Turns:
    """One row in its world."""

    def __init__(self, row: Row, present: Mapping[str, Contender], base: str) -> None:
        self.row = row
        self.present = {key: present[key] for key in row.contenders() if key in present}
        self.place = tempfile.mkdtemp(prefix="row-", dir=base)
        self.stderr = f"{self.place}/stderr"
        self.trace = f"{self.place}/trace"
        self.state = f"{self.place}/state"

    def measure(self, asked: int, slow: bool) -> Result:
        """Warm up, look that everybody tells running from stopped, measure. Raises WrongOutcome.

        Without ``slow`` a peer that struggles does not take part.
        """
        if not slow and self.row.peer_struggles:
            self.present.pop(PEER, None)
        result = Result(self.row, {key: [] for key in self.present})
        with self.row.world(f"{self.place}/world") as world:
            Path(self.state).mkdir()
            if self.row.once:
                agents = [key for key in self.present if key in (OURS, PEER)]
                for key in agents:
                    self._expect(key, world, ("monitor",), NOT_RUNNING)
                for key in agents:
                    # The second one finds it running; ClusterLabs' exportfs must have been told, too.
                    self._expect(key, world, self.row.once, 0)
            for key in self.present:
                if not (key == PEER and self.row.peer_struggles):
                    self._sample(key, world)
                    self._count_programs(key, world, result)
            for turn in range(asked):
                for key in self.present:
                    if turn < self.row.runs(key, asked):
                        result.samples[key].append(self._sample(key, world))
        return result

    def _expect(self, key: str, world: World, verbs: tuple[str, ...], code: int) -> None:
        """Not measured: something that has to be so before we begin."""
        taken = meter.sample(self._commands(key, world, verbs), self.row.limit_s, self.stderr)
        self._judge(key, verbs, taken, code)

    def _sample(self, key: str, world: World, prefix: tuple[str, ...] = ()) -> Sample:
        if self.row.before:
            self._expect(key, world, self.row.before, 0)
        with users(f"{self.place}/world/disk", self.row.users) if self.row.users else nullcontext():
            commands = self._commands(key, world, self.row.verbs, prefix)
            taken = meter.sample(commands, self.row.limit_s, self.stderr)
        struggles = key == PEER and self.row.peer_struggles
        if not struggles:
            self._judge(key, self.row.verbs, taken, self.row.code if key in (OURS, PEER) else 0)
        return taken

    def _count_programs(self, key: str, world: World, result: Result) -> None:
        strace = shutil.which("strace", path=CLEAN_ENV["PATH"])
        if strace is None:
            return
        Path(self.trace).unlink(missing_ok=True)
        self._sample(key, world, (strace, *_STRACE, self.trace))
        lines = Path(self.trace).read_text(errors="replace").splitlines()
        result.programs[key] = sum("execve" in line and line.endswith(" = 0") for line in lines)

    def _judge(self, key: str, verbs: tuple[str, ...], taken: Sample, code: int) -> None:
        if taken.wrong or any(found != code for found in taken.codes):
            lines = Path(self.stderr).read_text(errors="replace").splitlines()
            said = f"; it said: {lines[-1]}" if lines else ""
            fact = taken.wrong or f"expected {code}"
            raise WrongOutcome(f"{key} {' '.join(verbs)} exited {list(taken.codes)}: {fact}{said}")

    def _commands(
        self, key: str, world: World, verbs: tuple[str, ...], prefix: tuple[str, ...] = ()
    ) -> list[Command]:
        """``verbs`` as one contender is called for them, with a look at what each has done."""
        argv, env = self.present[key].argv[self.row.agent], self._environment(world)
        if key not in (OURS, PEER):
            return [Command((*prefix, *argv), env)]
        return [Command((*prefix, *argv, verb), env, self._check(world, verb)) for verb in verbs]

    def _check(self, world: World, verb: str) -> Callable[[], str]:
        wanted = {"start": True, "stop": False}.get(verb)

        def check() -> str:
            there = world.present() if wanted is not None else None
            return "" if there in (None, wanted) else f"after {verb} the resource is {'' if there else 'not '}there"

        return check

    def _environment(self, world: World) -> dict[str, str]:
        """What Pacemaker's executor sets, as far as these agents look at it."""
        timeout_ms = self.row.limit_s * 1000
        parameters = {**world.parameters(), "CRM_meta_timeout": timeout_ms, "CRM_meta_interval": 10_000}
        return {
            **CLEAN_ENV,
            "OCF_ROOT": "/usr/lib/ocf",
            "OCF_RA_VERSION_MAJOR": "1",
            "OCF_RA_VERSION_MINOR": "1",
            "OCF_RESOURCE_INSTANCE": "bench",
            "OCF_RESOURCE_TYPE": self.row.agent,
            "HA_RSCTMP": self.state,
            # No syslog: the peers would start a logger for each line.
            "HA_LOGFACILITY": "none",
            "HA_debug": "0",
            **{f"OCF_RESKEY_{name}": str(value) for name, value in parameters.items()},
        }
