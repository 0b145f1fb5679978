"""Pages made from the code are as the code makes them, and the documents name nothing that is not there."""

from __future__ import annotations

import pathlib
import re
import subprocess

import pytest

from failover_kit.manager import configfiles

TOP = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted([*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md")])


def test_the_state_machine_page_is_made_from_the_tables() -> None:
    result = subprocess.run(
        ["/usr/bin/python3", "-I", str(TOP / "tools" / "state_machine.py"), "--check"],
        check=False,
        timeout=120,
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


def _blocks(page: str) -> list[str]:
    """The indented examples of a page, without their indent."""
    found = re.findall(r"(?:^(?: {4}.*|)\n)+", page, re.MULTILINE)
    return [re.sub(r"^ {4}", "", block, flags=re.MULTILINE).strip("\n") + "\n" for block in found if block.strip()]


def test_the_files_of_the_howto_load(tmp_path: pathlib.Path) -> None:
    """They are typed as they stand there, and mean what the page prints of them."""
    page = (TOP / "docs" / "howto" / "a-real-pair.md").read_text()
    blocks = _blocks(page)
    files = {
        "ha.cf": next(block for block in blocks if block.startswith("node pete mclaws")),
        "haresources": next(block for block in blocks if block.startswith("pete Filesystem::")),
        "authkeys": "auth 1\n1 sha256 5f0c7a52b1d94e6c8a1b\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    loaded = configfiles.load(str(tmp_path))
    config = loaded.config
    assert not loaded.notes
    assert [resource.name for resource in config.groups[0].resources] == [
        "Filesystem:/dev/etherd/e0.0", "nfsserver:/mnt/e0.0/.nfs", "exportfs:/mnt/e0.0",
        "IPaddr:192.0.2.220/24/eth0",
    ]  # fmt: skip
    assert config.groups[0].name == "Filesystem:e0.0"
    assert config.fence_delay_ms == 16_000, "the page counts with it"
    assert config.can_fence("pete") and config.can_fence("mclaws")


def test_every_rule_that_the_code_names_can_be_looked_up() -> None:
    """ "rule 7" in the code is a rule of docs/protocol.md."""
    rules = {int(n) for n in re.findall(r"^(\d+)\. \*\*", (TOP / "docs" / "protocol.md").read_text(), re.M)}
    assert rules == set(range(1, 27))
    for path in (TOP / "lib" / "failover_kit" / "manager").glob("*.py"):
        for number in re.findall(r"\brules? (\d+)", path.read_text()):
            assert int(number) in rules, f"{path.name} names rule {number}"
