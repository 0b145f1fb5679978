"""What ``--json`` prints for scripts: one document for each command, and its keys as they are declared here.

--help, the manual and docs/scripting.md say them from these declarations. A declared key is in every document of
its kind, whatever the outcome, and keeps its name and its meaning; new ones may be added. A document is printed for
every outcome, also where nobody answers; only a command line that argparse refuses, and an interruption, leave
stdout empty.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from failover_kit.manager.actions import ExitCode


@dataclass(frozen=True, slots=True)
class Document:
    """One kind of document: what comes when, and its keys with their meanings."""

    name: str
    comes: str
    keys: tuple[tuple[str, str], ...]
    also: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()  # of the objects in lists: key of the list, keys

    def told(self) -> str:
        """One paragraph for --help and the manual."""
        words = [f"With --json: {self.comes}, with the keys {_listed(self.keys)}."]
        words += [f"Each of {name} has {_listed(keys)}." for name, keys in self.also]
        return " ".join(words)

    def text(self, facts: Mapping[str, object], *, indent: int | None = 2) -> str:
        """The document. ValueError when its keys are not the declared ones: a bug of ours."""
        if list(facts) != [name for name, _ in self.keys]:
            raise ValueError(f"the keys of a document of {self.name} are {', '.join(facts)}: this is a bug")
        return json.dumps(facts, indent=indent)


def _listed(keys: tuple[tuple[str, str], ...]) -> str:
    return "; ".join(f"{name} ({meaning})" for name, meaning in keys)


def outcome_word(code: ExitCode) -> str:
    """``done``, ``no-daemon`` and so on: the exit code as a word."""
    return code.name.lower().replace("_", "-")


_END = (
    ("code", "the exit code"),
    ("outcome", f"it as a word: {', '.join(outcome_word(code) for code in ExitCode)}"),
    ("text", "the sentence for people"),
)
_ORDERED = (
    ("verb", "the order as failoverd knows it"),
    ("groups", "the groups that were named, none for all"),
    ("node", "the node that was named, or empty"),
)

ORDER = Document("order", "one document on stdout, whatever the outcome", (*_ORDERED, *_END))
FENCE = Document(
    "fence",
    "one document on stdout, whatever the outcome",
    (*_ORDERED, *_END, ("plugs", "what each plug read, of --test; else null")),
    (
        (
            "plugs",
            (
                ("node", "whose plug"),
                ("level", "of its fence devices, 1 is tried first"),
                ("device", "its name in ha.cf"),
                ("plug", "as in ha.cf"),
                ("state", "on, off, unknown, or answers where a state cannot be read"),
                ("took_ms", "milliseconds"),
                ("problem", "fact and remedy, empty when nothing is wrong"),
            ),
        ),
    ),
)
REPLAY = Document(
    "replay",
    "one document on stdout, whatever the outcome",
    (
        ("journal", "what was named"),
        ("events", "how many were replayed"),
        ("different", "how many of them came out otherwise"),
        ("complete", "false when a part could not be replayed"),
        *_END,
        ("remarks", "sentences on lives and gaps, in order"),
        ("steps", "events that led to something, with --verbose all"),
    ),
    (
        (
            "steps",
            (
                ("at_ms", "the node's clock since its boot"),
                ("wall_ms", "since 1970, 0 when it was not recorded"),
                ("agrees", "whether it came out alike"),
                ("event", "as in the journal"),
                ("decided", "what failoverd decided then"),
                ("decides", "what this version decides"),
            ),
        ),
    ),
)
WATCH = Document(
    "watch",
    "a document on each line, as it happens",
    (
        ("wall_ms", "since 1970"),
        ("group", "that is watched"),
        (
            "event",
            "watching, warning, answers, failing, moved, unknown, not-asked, would-ask, asks or outcome",
        ),
        ("code", "of not-asked and outcome: an exit code as above; else null"),
        ("outcome", f"it as a word, else null: {', '.join(outcome_word(code) for code in ExitCode)}"),
        ("text", "the sentence for people"),
    ),
)

DOCUMENTS = (ORDER, FENCE, REPLAY, WATCH)


def end(code: ExitCode, text: str) -> dict[str, object]:
    """The three keys that tell how it ended."""
    return {"code": code.value, "outcome": outcome_word(code), "text": text}
