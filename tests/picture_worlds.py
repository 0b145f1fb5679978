"""What the pictures of the documents show: statuses that the real core has in a story, and files in directories."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from check_world import AUTHKEYS, World
from failover_kit import VERSION
from failover_kit.manager.actions import Action, Note
from failover_kit.manager.core import Core
from failover_kit.manager.events import Event
from failover_kit.manager.records import CoreGroup
from failover_kit.manager.status import LinkHealth, Recent, Status, proof_age_ms
from scenarios import stage, stage_world

TESTS = Path(__file__).resolve().parent
HOWTO = TESTS / "data" / "howto-files" / "etc"

# The times of etc/ha.cf, and the name that a group has in haresources there.
TIMES = {
    "keepalive_ms": 1_000, "warntime_ms": 5_000, "deadtime_ms": 10_000, "initdead_ms": 60_000,
    "fence_delay_ms": 16_000, "monitor_interval_ms": 10_000, "move_timeout_ms": 600_000,
    "prove_timeout_ms": 600_000,
}  # fmt: skip
GROUP = CoreGroup(name="Filesystem:e0.0", home="pete")


def status_of_story(commands: str, node: str) -> Status:
    """What ``node`` shows at the end of a story (the commands of tests/scenarios/stage.py, one a line)."""
    said: dict[str, Recent] = {}

    class Heard(Core):
        """The real core, and what it said."""

        def handle(self, now_ms: int, event: Event) -> list[Action]:
            actions = super().handle(now_ms, event)
            recent = said.setdefault(self.config.node, Recent())
            for action in actions:
                if isinstance(action, Note):
                    recent.add(stage.MORNING_MS + now_ms, action.level, action.text)
            return actions

    with mock.patch.object(stage_world, "Core", Heard):
        played = stage.Stage()
        played.world.config = dataclasses.replace(played.world.config, groups=(GROUP,), **TIMES)  # type: ignore[arg-type]
        for command in commands.splitlines():
            played.do(command.strip())
        core = played.node(node).core
    assert core is not None
    now_ms = played.world.now_ms
    view, wall_ms = core.view(now_ms), stage.MORNING_MS + now_ms
    return Status(
        version=VERSION,
        wall_ms=wall_ms,
        view=view,
        links=tuple(LinkHealth(name=link.name, error="", refused=0) for link in view.links),
        recent=said[node].last(),
        proof_age_ms=proof_age_ms(view.proof, wall_ms),
    )


def howto_world(root: Path) -> World:
    """pete with the HOWTO's own files, as far as it takes him before its step "remove the boot links"."""
    world = World(root)
    for name in ("ha.cf", "haresources"):
        shutil.copy(HOWTO / "ha.d" / name, root / "etc/ha.d" / name)
    shutil.copy(HOWTO / "ha.d" / "authkeys.is-0600", root / "etc/ha.d/authkeys")
    (root / "etc/ha.d/authkeys").chmod(0o600)
    shutil.copy(HOWTO / "exports", root / "etc/exports")
    (root / "run/systemd/system").rmdir()
    for script in ("nfs-common", "nfs-kernel-server"):
        world.write(f"/etc/init.d/{script}", "#!/bin/sh\n", 0o755)
        world.link(f"/etc/rc2.d/S20{script}", f"../init.d/{script}")
    world.probes.names["benjamin.example"] = ("205.185.197.219",)
    world.remove("/etc/systemd/system/multi-user.target.wants/failoverd.service")
    world.link("/etc/rc2.d/S75failoverd", "../init.d/failoverd")
    return world


@contextlib.contextmanager
def pair_files(recorded: Path) -> Iterator[str]:
    """A directory with the pair's files, and a key that nobody uses."""
    with tempfile.TemporaryDirectory() as directory:
        for name in ("ha.cf", "haresources"):
            shutil.copy(recorded / name, directory)
        authkeys = Path(directory, "authkeys")
        authkeys.write_text(AUTHKEYS)
        authkeys.chmod(0o600)
        yield directory


@contextlib.contextmanager
def answering(status: Status, path: str) -> Iterator[None]:
    """failoverd's real control socket at ``path``, which answers with ``status``."""
    from fake_daemon import FakeDaemon

    daemon = FakeDaemon(path)
    daemon.status = status
    daemon.start()
    try:
        yield
    finally:
        daemon.stop()
