"""The pictures and examples of the documents are what the commands print; whoever changes these sees it here."""

from __future__ import annotations

import contextlib
import io
import pathlib
import re
import sys
import textwrap

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "tools"))

import pictures  # noqa: E402
import terminal_svg  # noqa: E402

from failover_kit.cli import failoverctl  # noqa: E402
from picture_worlds import pair_files  # noqa: E402

EXPLAIN = TOP / "docs" / "explain.md"


def as_block(text: str) -> str:
    """As an indented example of a page."""
    return textwrap.indent(text, "    ", lambda line: bool(line.strip()))


def test_the_pictures_are_what_the_commands_print(capsys: pytest.CaptureFixture[str]) -> None:
    assert pictures.main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_picture_and_one_that_nobody_makes_are_found(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pictures, "PLACE", tmp_path)
    monkeypatch.setattr(pictures, "PICTURES", {"one": lambda: "new\n", "two": lambda: "same\n"})
    (tmp_path / "one.svg").write_text("old\n")
    (tmp_path / "two.svg").write_text("same\n")
    (tmp_path / "three.svg").write_text("of a picture that is made no more\n")
    assert pictures.main(["--check"]) == 1
    assert "one.svg, three.svg; run tools/pictures.py" in capsys.readouterr().err
    assert pictures.main([]) == 0 and (tmp_path / "one.svg").read_text() == "new\n"


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_each_picture_is_shown_in_a_page(name: str) -> None:
    shown = re.compile(rf"!\[[^]]+\]\((?:docs/)?pictures/{name}\.svg\)")
    assert any(shown.search(page.read_text()) for page in (TOP / "docs").glob("*.md"))


@pytest.mark.parametrize("node", ["mclaws", "pete"])
def test_the_examples_of_explain_are_what_it_prints(node: str) -> None:
    with pictures.eighty_columns(no_color="1"):
        text, code = pictures.shown("explain", "--last", "1", "--journal", str(pictures.PAIR / node))
    assert code == 0 and as_block(text) in EXPLAIN.read_text(), f"docs/explain.md should show:\n{as_block(text)}"


def test_the_table_of_budget_is_what_it_prints() -> None:
    with pair_files(pictures.PAIR) as directory, contextlib.redirect_stdout(io.StringIO()) as out:
        words = ("budget", "--config-dir", directory, "--journal", pictures.JOURNAL, "--node", "mclaws")
        assert failoverctl.main(words) == 0
    first = as_block(out.getvalue().partition("\n\n")[0] + "\n")
    assert first in EXPLAIN.read_text(), f"docs/explain.md should show:\n{first}"


def test_words_stand_at_their_columns_in_their_colours() -> None:
    svg = terminal_svg.picture("x# y", "a b  \033[31;1mNO <\033[0m\n" + "c" * 100, 3, limit=2)
    left = terminal_svg.MARGIN
    assert f"<text x='{left:.1f}' y='54' textLength='25.2'>a b</text>" in svg
    assert f"<text class='bad' x='{left + 5 * 8.4:.1f}' y='54' textLength='33.6'>NO &lt;</text>" in svg
    assert f"textLength='{80 * 8.4:.1f}'>{'c' * 80}</text>" in svg and "… 1 more lines" in svg
    with pytest.raises(ValueError, match="'35' has no class"):
        terminal_svg.picture("x", "\033[35mpurple\033[0m", 0)
