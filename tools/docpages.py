"""Reading the project's pages without a Markdown library: headings, anchors, links, code.

Used by tools/docs.py and by tests/docs, which must also run where cmark-gfm is not installed;
tests/docs/test_rendered.py compares both readings.

The dialect is GitHub's (CommonMark and tables), as far as the pages use it.
"""

from __future__ import annotations

import pathlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

TOP = pathlib.Path(__file__).resolve().parents[1]

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"\s*(```+|~~~+)(.*)$")
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_CODE = re.compile(r"(`+)(.+?)\1(?!`)", re.DOTALL)
_ITEM = re.compile(r"(\s*)(?:[-*+]|\d+[.)])(\s+)\S")


@dataclass(frozen=True, slots=True)
class Link:
    """``[text](target)``, or an image."""

    line: int  # from 1
    target: str
    is_image: bool


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of code as they stand, their indent removed. ``language`` is that of a fence, "" without one."""

    line: int  # of the first line of code, from 1
    language: str
    lines: tuple[str, ...]
    comment: str = ""  # of an HTML comment directly above, such as "run"


@dataclass(frozen=True, slots=True)
class Page:
    """What of a page can be checked."""

    path: pathlib.Path
    headings: tuple[tuple[int, str], ...]  # level, text without its marks
    anchors: tuple[str, ...]  # of the headings, in their order
    links: tuple[Link, ...]
    blocks: tuple[Block, ...]
    spans: tuple[tuple[int, str], ...]  # line, inline code

    @property
    def name(self) -> str:
        """The path below the project."""
        return str(self.path.relative_to(TOP))


def pages(top: pathlib.Path = TOP) -> list[pathlib.Path]:
    """Every page: those beside README.md and all below docs/."""
    return sorted([*top.glob("*.md"), *(top / "docs").rglob("*.md")])


def slug(text: str) -> str:
    """GitHub's anchor of a heading: letters, digits, hyphens and underscores of the text in lower case."""
    kept = [c for c in text.strip().lower() if c in " -_" or unicodedata.category(c)[0] in "LN"]
    return "".join(kept).replace(" ", "-")


def plain(text: str) -> str:
    """A heading's text without Markdown's marks."""
    text = _LINK.sub(lambda found: found[2], text)
    return re.sub(r"[`*]|\\(?=[^\w\s])", "", text)


def anchors_of(headings: Iterator[str] | list[str]) -> tuple[str, ...]:
    """The second heading of one name gets ``-1``, and so on."""
    seen: dict[str, int] = {}
    found = []
    for text in headings:
        base = slug(text)
        number = seen.get(base, 0)
        seen[base] = number + 1
        found.append(f"{base}-{number}" if number else base)
    return tuple(found)


def read(path: pathlib.Path) -> Page:
    """Read one page. ValueError for a fence that does not end."""
    lines = path.read_text(encoding="utf-8").split("\n")
    blocks: list[Block] = []
    headings: list[tuple[int, str]] = []
    prose: list[str] = []
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence:
            end = next((n for n in range(at + 1, len(lines)) if lines[n].strip() == fence[1]), -1)
            if end < 0:
                raise ValueError(f"{path}:{at + 1}: the fence {fence[1]} does not end")
            blocks.append(_block(lines, at + 1, end, fence[2].strip()))
            prose += [""] * (end - at + 1)
            at = end + 1
        elif _begins_code(lines, prose, at):
            end = at
            while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) >= 4 + _content(prose, at)):
                end += 1
            while not lines[end - 1].strip():
                end -= 1
            blocks.append(_block(lines, at, end, ""))
            prose += [""] * (end - at)
            at = end
        else:
            heading = _HEADING.match(lines[at])
            if heading:
                headings.append((len(heading[1]), plain(heading[2])))
            prose.append(lines[at])
            at += 1
    spans, text = _spans("\n".join(prose))
    links = [Link(text.count("\n", 0, m.start()) + 1, m[3], bool(m[1])) for m in _all_links(text)]
    texts = [words for _, words in headings]
    return Page(path, tuple(headings), anchors_of(texts), tuple(links), tuple(blocks), tuple(spans))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _content(prose: list[str], at: int) -> int:
    """The column in which the text of the list item begins that line ``at`` may belong to; 0 outside of lists."""
    column = 0
    for line in reversed(prose[:at]):
        if not line.strip():
            continue
        item = _ITEM.match(line)
        if item:
            return len(item[0]) - 1
        if _indent(line) == 0:
            return column
    return column


def _begins_code(lines: list[str], prose: list[str], at: int) -> bool:
    """An indented line after an empty one; in a list, indented four further than the text of the item."""
    if not lines[at].strip() or _indent(lines[at]) < 4 or (at and prose[at - 1].strip()):
        return False
    return _indent(lines[at]) >= 4 + _content(prose, at)


def _block(lines: list[str], begin: int, end: int, language: str) -> Block:
    body = lines[begin:end]
    width = min((_indent(line) for line in body if line.strip()), default=0)
    above = lines[begin - 2 if language or _FENCE.match(lines[begin - 1]) else begin - 1].strip() if begin else ""
    if not above and begin >= 2:
        above = lines[begin - 2].strip()
    comment = re.fullmatch(r"<!--\s*(.*?)\s*-->", above)
    return Block(begin + 1, language, tuple(line[width:] for line in body), comment[1] if comment else "")


def _spans(text: str) -> tuple[list[tuple[int, str]], str]:
    """Inline code with its lines, and the text with that code made blank."""
    found = [(text.count("\n", 0, m.start()) + 1, " ".join(m[2].split())) for m in _CODE.finditer(text)]
    blank = _CODE.sub(lambda m: re.sub(r"[^\n]", "x", m[0]), text)
    return found, blank


def _all_links(text: str) -> Iterator[re.Match[str]]:
    """Links, and images inside the text of links."""
    for match in _LINK.finditer(text):
        yield match
        if "](" in match[2]:
            yield from _LINK.finditer(match[2])


def problems_of_links(found: list[Page], top: pathlib.Path = TOP) -> list[str]:
    """Each internal link that leads nowhere: file, anchor, image."""
    anchors = {page.path.resolve(): set(page.anchors) for page in found}
    problems = []
    for page in found:
        for link in page.links:
            if re.match(r"[a-z][a-z0-9+.-]*:", link.target):
                continue
            name, _, anchor = link.target.partition("#")
            target = (page.path.parent / name).resolve() if name else page.path.resolve()
            place = f"{page.name}:{link.line}"
            if not target.exists():
                problems.append(f"{place}: {link.target} is not there")
            elif top not in target.parents:
                problems.append(f"{place}: {link.target} is outside of the project")
            elif link.is_image and not target.is_file():
                problems.append(f"{place}: {link.target} is no image")
            elif anchor and target.suffix == ".md" and anchor not in anchors.get(target, set()):
                there = ", ".join(sorted(anchors.get(target, set())))
                problems.append(f"{place}: {target.name} has no heading #{anchor}; it has {there}")
    return problems
