"""Other versions of failover-kit, to run beside this one: copies of the tree with its dialect changed.

``older`` speaks 1.0: it has no line of a beat that is younger, and does not know them. ``newer`` speaks 1.9, which
does not exist: its beats have a line and a word for each group that nobody else knows, its record another field.
"""

from __future__ import annotations

import compileall
import shutil
from pathlib import Path

from pair import REPOSITORY

MANAGER = "lib/failover_kit/manager"

OLDER = {
    "lib/failover_kit/__init__.py": [('VERSION = "0.1.0"', 'VERSION = "0.0.9"')],
    f"{MANAGER}/dialect.py": [("\nMINOR = 1\n", "\nMINOR = 0\n")],
}

NEWER = {
    "lib/failover_kit/__init__.py": [('VERSION = "0.1.0"', 'VERSION = "0.9.0"')],
    f"{MANAGER}/dialect.py": [("\nMINOR = 1\n", "\nMINOR = 9\n")],
    f"{MANAGER}/wireitems.py": [
        (
            '    Addition("release", 1, ("release",), _write_release, _read_release),\n',
            '    Addition("release", 1, ("release",), _write_release, _read_release),\n'
            '    Addition("weather", 9, ("node",), lambda beat: "fine 21", lambda words: {}),\n',
        ),
        ("_DEFAULTS: dict[str, Any] = {", '_DEFAULTS: dict[str, Any] = {"node": "", **{'),
        ("if field.default is not MISSING}\n", "if field.default is not MISSING}}\n"),
    ],
    f"{MANAGER}/wire.py": [
        (
            "[_group_line(claim) for claim in beat.groups]",
            '[_group_line(claim) + (" colour=green" if beat.minor >= 9 else "") for claim in beat.groups]',
        )
    ],
    f"{MANAGER}/records.py": [
        ('    leaving: str = ""  # nonce', '    mice: int = 7\n    leaving: str = ""  # nonce'),
    ],
}


def installed(folder: Path, name: str, changes: dict[str, list[tuple[str, str]]]) -> Path:
    """A tree of that version under ``folder``."""
    tree = folder / name
    for part in ("lib", "bin"):
        shutil.copytree(REPOSITORY / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    for path, pairs in changes.items():
        text = (tree / path).read_text()
        for old, new in pairs:
            assert text.count(old) == 1, f"{path} has not once {old!r}; correct tests/system/versions.py"
            text = text.replace(old, new)
        (tree / path).write_text(text)
    compileall.compile_dir(str(tree / "lib"), quiet=1)  # as installed: a start must not take a deadtime
    return tree
