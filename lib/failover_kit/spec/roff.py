"""man(7) text: what every manual page of the project is written with. No page is made at run time, so nobody pays.

The macros are those of groff's man(7) that mandoc has, too.
"""

from __future__ import annotations

import textwrap

from failover_kit import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

LINE = 78
# The last one has no sign on a terminal that knows ASCII only.
_SIGNS = {"\\": "\\e", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", '"': "\\(dq", "…": "..."}


def header(name: str, section: int, date: str, manual: str) -> list[str]:
    """Its first lines. ``date`` (2026-11-26) is that of the source, if it is known; ``manual`` stands in the middle
    of the top line. Nothing is hyphenated or stretched: a broken option cannot be copied.
    """
    return [f'.TH "{name.upper()}" "{section}" "{date}" "failover-kit {VERSION}" "{manual}"', ".nh", ".ad l"]


def escaped(text: str) -> str:
    """``text`` without an escape sequence in it."""
    return "".join(_SIGNS.get(sign, sign if sign.isascii() else f"\\[u{ord(sign):04X}]") for sign in text)


def literal(text: str) -> str:
    """What is typed as it stands: its hyphens are those of ASCII."""
    return escaped(text).replace("-", "\\-")


def prose(text: str) -> str:
    """Running text: lines of a length that people read, none of which is taken for a request. Options and paths
    in it are literal.
    """
    words = " ".join(_word(word) for word in text.split())
    lines = textwrap.wrap(words, LINE, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"\\&{line}" if line.startswith(".") else line for line in lines)


def _word(word: str) -> str:
    return literal(word) if word.lstrip("('\"").startswith(("-", "/")) else escaped(word)


def paragraphs(text: str) -> list[str]:
    """Prose whose paragraphs are parted by an empty line."""
    return "\n.PP\n".join(prose(paragraph) for paragraph in text.strip().split("\n\n")).split("\n")


def verbatim(lines: Iterable[str]) -> list[str]:
    """Lines as they are typed, indented."""
    return [".PP", ".nf", ".RS 4", *(literal(line) for line in lines), ".RE", ".fi"]


def definitions(rows: Iterable[tuple[str, str]], font: str = "B") -> list[str]:
    """What is typed, in ``font`` (B bold, I italic, as file names are), and below it what it means."""
    lines: list[str] = []
    for name, meaning in rows:
        lines += [".TP", f".{font} {literal(name)}", prose(meaning)]
    return lines


def references(names: Iterable[str]) -> list[str]:
    """The other pages, each given like ``crm_resource(8)``."""
    found = []
    for name in names:
        title, _, section = name.rstrip(")").partition("(")
        found.append(f"\\fB{literal(title)}\\fR({section})")
    return ",\n".join(found).split("\n")
