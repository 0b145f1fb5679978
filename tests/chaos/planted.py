"""Bugs to be planted into a copy of the tree: a nemesis that finds none of them proves nothing.

    .venv/bin/python tests/chaos/planted.py NAME DIRECTORY     then: tests/chaos --kit DIRECTORY --seed N
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

KIT = Path(__file__).resolve().parents[2]
PARTS = ("lib", "bin", "ocf", "stonith", "etc")
MANAGER = "lib/failover_kit/manager/"


@dataclass(frozen=True)
class Planted:
    """In ``file`` the text ``sound`` becomes ``broken``."""

    file: str
    sound: str
    broken: str


PLANTED = {
    # Rule 8: whatever the switch answered counts as a proof.
    "unproved": Planted(
        MANAGER + "law.py",
        "    if not evidence.in_time or not evidence.readings:\n        return False\n",
        "    if ordered_ms >= 0:\n        return True\n",
    ),
    # Rules 4, 6, 17: a stop that failed counts as a stop, and the group is granted.
    "stopped-anyway": Planted(
        MANAGER + "groups.py",
        "        self._become(group, GroupTrigger.STOP_FAILED)\n        group.stop_failed = True\n",
        "        self._become(group, GroupTrigger.STOP_OK)\n"
        "        self._change_group(group.name, held=False)\n        return\n",
    ),
    # Rule 3: a right outlives its boot.
    "old-right": Planted(
        MANAGER + "law.py", "    return stored.boot_id == boot_id\n", "    return bool(stored.boot_id or boot_id)\n"
    ),
    # Rule 6: what an earlier life left running is not killed.
    "leftovers": Planted(
        MANAGER + "actionspace.py",
        "        return await _all_emptied(self.leftovers(group))\n",
        '        return ""\n',
    ),
    # The agent: a stop that says success and does nothing.
    "lazy-stop": Planted(
        "lib/failover_kit/agents/filesystem_stop.py",
        "    claims = source.claims(seen, attempts)\n    for claim in claims:\n",
        "    if seen.mount is not None:\n        return codes.SUCCESS\n"
        "    claims = source.claims(seen, attempts)\n    for claim in claims:\n",
    ),
}


def plant(name: str, directory: Path) -> None:
    """A copy of the tree at ``directory`` with that bug in it. ValueError when the sound text is not there once."""
    bug = PLANTED[name]
    for part in PARTS:
        shutil.copytree(KIT / part, directory / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    file = directory / bug.file
    text = file.read_text(encoding="utf-8")
    if text.count(bug.sound) != 1:
        raise ValueError(f"{bug.file} has changed: {bug.sound!r} is in it {text.count(bug.sound)} times")
    file.write_text(text.replace(bug.sound, bug.broken), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in PLANTED:
        sys.exit(f"usage: planted.py {'|'.join(PLANTED)} DIRECTORY")
    plant(sys.argv[1], Path(sys.argv[2]))
