"""Pages made from the code are as the code makes them, and the documents name nothing that is not there."""

from __future__ import annotations

import pathlib
import re
import subprocess

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted([*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md")])


def test_the_state_machine_page_is_made_from_the_tables() -> None:
    result = subprocess.run(
        ["/usr/bin/python3", "-I", str(TOP / "tools" / "state_machine.py"), "--check"],
        check=False,
        timeout=20,
    )
    assert result.returncode == 0, "run tools/state_machine.py and commit docs/state-machine.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(TOP)))
def test_links_between_pages_lead_somewhere(page: pathlib.Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(TOP)))
def test_files_named_in_pages_exist(page: pathlib.Path) -> None:
    """`docs/…`, `lib/…`, `tests/…` in backquotes are promises."""
    for name in re.findall(r"`((?:docs|lib|tests|tools|bin|etc|ocf|stonith)/[\w./-]+)`", page.read_text()):
        assert (TOP / name).exists(), f"{page.name} names {name}"
