"""Plays one case with one manager on a stage of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from failover_kit.rehearsal.namespaces import NamespaceError
from failover_kit.rehearsal.node import NodeError
from versus.cases import Case, Outcome
from versus.managers import Manager
from versus.stage import Stage, StageFailed


def attempt(case: Case, manager: Manager, logs: Path | None = None) -> Outcome | str:
    """Play a case on a stage of its own: what came of it, or in words why nothing did."""
    try:
        with Stage(manager, boots=case.boots) as stage:
            try:
                return case.play(stage)
            finally:
                if logs is not None:
                    logs.mkdir(parents=True, exist_ok=True)
                    (logs / f"{case.key}.{manager.name}").write_text(stage.record())
    except (StageFailed, NodeError, NamespaceError) as error:
        sys.stderr.write(f"{error}\n")
        return "the case could not be played"
