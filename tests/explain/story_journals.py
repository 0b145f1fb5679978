"""Journals made by the real core: the stories of tests/scenarios are played, and each node keeps a journal."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from unittest import mock

from failover_kit.manager import journal
from failover_kit.manager.actions import Action, SendBeat
from failover_kit.manager.core import Core
from failover_kit.manager.events import Event
from failover_kit.manager.journal import Entry, Head, Life
from failover_kit.manager.records import CoreConfig, NodeRecord
from failover_kit.manager.snapshot import export_core
from scenarios import stage, stage_world

Items = list[Head | Entry]


@cache
def played(story: str) -> dict[str, Items]:
    """The journal of each node at the end of a story, named as its file without ``.txt``."""
    return played_text((stage.HERE / f"{story}.txt").read_text())


def played_text(text: str) -> dict[str, Items]:
    """The same for the text of a story."""
    journals: dict[str, Items] = {}

    class Recording(Core):
        """The real core, and everything it was told and answered."""

        def __init__(
            self, config: CoreConfig, *, boot_id: str, nonce: str, stored: NodeRecord | None, now_ms: int
        ) -> None:
            super().__init__(config, boot_id=boot_id, nonce=nonce, stored=stored, now_ms=now_ms)
            life = Life(config=config, boot_id=boot_id, nonce=nonce, stored=stored, start_ms=now_ms)
            head = Head(life, 1, stage.MORNING_MS + now_ms, "1")
            journals.setdefault(config.node, []).append(head)

        def handle(self, now_ms: int, event: Event) -> list[Action]:
            actions = super().handle(now_ms, event)
            kept = tuple(action for action in actions if not isinstance(action, SendBeat))
            journals[self.config.node].append(Entry(now_ms, stage.MORNING_MS + now_ms, event, kept))
            return actions

    with mock.patch.object(stage_world, "Core", Recording):
        stage.play(text)
    return journals


def written(items: Items, directory: Path, *, file_bytes: int = 8 << 20, snapshots: bool = False) -> str:
    """The same as files, as failoverd writes them. A new file begins at ``file_bytes``, as at a rotation; with
    ``snapshots`` behind one of a core that was made from nothing but these items."""
    files: journal._Files | None = None
    core: Core | None = None
    for item in items:
        if isinstance(item, Head):
            if files is not None:
                files.close()
            files = journal._Files(str(directory), item.life, file_bytes, item.wall_ms)
            core = journal.make_core(item.life) if snapshots else None  # type: ignore[assignment]
            continue
        assert files is not None
        if core is not None:
            core.handle(item.now_ms, item.event)
        if files.write([item], 0):
            files.write([journal._Rotation(export_core(core) if core is not None else None)], 0)
    if files is not None:
        files.close()
    return str(directory)
