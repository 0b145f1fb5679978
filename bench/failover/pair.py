"""The stage with a disk, an address and a client, and what can be read off it in milliseconds."""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from drivers import Driver

from failover_kit.rehearsal.disk import SharedDisk
from failover_kit.rehearsal.namespaces import dies_with_us
from failover_kit.rehearsal.plan import GROUP
from failover_kit.spec.process import CLEAN_ENV
from versus.stage import Stage
from versus.switch import Pace

PINGER = Path(__file__).resolve().parent / "programs" / "pinger"
# Relays that move at once: on hardware their time comes on top, for everybody alike.
INSTANT = Pace(relay_s=0.0, off_time_s=0.0)


class Pair(Stage):
    """``with Pair(OursDriver) as pair``: the disk is made before the managers' files and outlives the nodes."""

    def __init__(self, kind: type[Driver], **timing: int) -> None:
        with tempfile.NamedTemporaryFile(prefix="fkv-", dir="/var/tmp") as image:
            self.disk = SharedDisk(image.name, "bench")
        try:
            super().__init__(kind(self.disk.device, **timing), disk=self.disk.number, pace=INSTANT)
        except BaseException:
            self.disk.close()
            raise
        self.driver: Driver = self.manager  # type: ignore[assignment]
        self.answers_file = os.path.join(self.directory, "answers")
        Path(self.answers_file).touch()
        argv = [*self.network.client.prefix(), "/usr/bin/python3", "-IS", str(PINGER), GROUP.address]
        client = subprocess.Popen(dies_with_us([*argv, self.answers_file]), env=CLEAN_ENV, cwd="/")
        self._children.append(client)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self.disk.close()

    def serving(self) -> str:
        """Who has all that is to be had, by what is seen in the nodes; "" for nobody, or for two."""
        things = (GROUP.disk, GROUP.cluster_address) if self.driver.has_disk else (GROUP.cluster_address,)
        found = [name for name in self.nodes if all(self.has(name, thing) for thing in things)]
        return found[0] if len(found) == 1 else ""

    def has(self, name: str, thing: str) -> bool:
        node = self.nodes[name]
        seen = [s for s in node.sightings if s.thing == thing and s.boot == node.boot]
        return node.on and bool(seen) and seen[-1].present

    def seen_ms(self, name: str, thing: str, present: bool, since_ms: int) -> int | None:
        """When it appeared (or was gone) there for the last time after ``since_ms``, from then; None: not."""
        times = [
            s.t_ms for s in self.nodes[name].sightings
            if s.thing == thing and s.present is present and s.t_ms >= since_ms
        ]  # fmt: skip
        return times[-1] - since_ms if times else None

    def answers(self) -> list[float]:
        """When the client was answered, in ms of the boot clock."""
        text = Path(self.answers_file).read_text().rpartition("\n")[0]
        return [int(line) / 1000 for line in text.splitlines()]

    def answered_since(self, since_ms: float) -> int:
        return sum(t >= since_ms for t in self.answers())


def longest_gap(answers: Sequence[float], since_ms: float) -> float:
    """The longest time without an answer that ended after ``since_ms``; inf when there was none since."""
    pairs = itertools.pairwise(answers)
    return max((after - before for before, after in pairs if after >= since_ms), default=float("inf"))
