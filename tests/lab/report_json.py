"""The table of steps as JSON, for programs and for comparing runs. Pure.

``schema`` is raised when a key changes its meaning or goes away; new keys may come without it.
"""

from __future__ import annotations

import json

from lab.report import SCHEMA, Step, Table, ordered


def document(table: Table) -> str:
    """The document, with a newline at its end."""
    return json.dumps(tree(table), indent=1, sort_keys=False) + "\n"


def tree(table: Table) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "heading": table.heading,
        "began": table.began,
        "lasted_ms": table.lasted_ms,
        "passed": table.passed,
        "trouble": table.trouble,
        "kept": table.kept,
        "machines": table.machines,
        "steps": [_step(step) for step in ordered(table)],
    }


def _step(step: Step) -> dict[str, object]:
    return {
        "number": step.number,
        "title": step.title,
        "part": step.part,
        "result": step.result.value,
        "why": step.why,
        "began_ms": step.begin_ms if step.started else None,
        "lasted_ms": step.ms if step.started else None,
        "did": step.deeds,
        "facts": step.facts,
        "checks": [{"name": c.name, "passed": c.passed, "detail": c.detail} for c in step.checks],
        "pauses": [{"who": p.who, "kind": p.kind, "ms": p.ms} for p in step.pauses],
        "reclaims": [{"who": r.who, "ms": r.ms} for r in step.reclaims],
        "expected": step.expected,
        "seen": step.seen,
        "trace": step.trace,
    }
