"""Findings for a reader: how bad and where, then the fact, then why it matters, then what to do. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from failover_kit.check.findings import Finding, Severity
from failover_kit.check.linktest import Tried
from failover_kit.cli.screen import Style

_COLOUR = {Severity.ERROR: "31;1", Severity.WARNING: "33", Severity.ADVICE: ""}
_LABEL_WIDTH = 9
_INDENT = " " * (_LABEL_WIDTH + 2)


def summary(findings: Sequence[Finding]) -> str:
    """``3 errors, 1 warning, 2 pieces of advice``; ``nothing found`` for none."""
    count = {severity: sum(finding.severity is severity for finding in findings) for severity in Severity}
    words = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.ADVICE: "piece of advice"}
    parts = [
        f"{number} {words[severity] if number == 1 else words[severity].replace('piece', 'pieces') + _s(severity)}"
        for severity, number in count.items()
        if number
    ]
    return ", ".join(parts) or "nothing found"


def _s(severity: Severity) -> str:
    return "" if severity is Severity.ADVICE else "s"


def render(title: str, findings: Sequence[Finding], style: Style) -> str:
    """The whole answer, ending with a newline. Why stands with the first finding of each kind only."""
    parts = [f"{clean(title)}: {summary(findings)}\n"]
    told: set[str] = set()
    for finding in findings:
        parts.append(_one(finding, style, with_why=finding.id not in told))
        told.add(finding.id)
    return "\n".join(parts)


def _one(finding: Finding, style: Style, *, with_why: bool) -> str:
    word = finding.severity.value.upper()
    where = clean(f"{finding.node or 'both'} {finding.place}".rstrip())
    head = f"{word:>{_LABEL_WIDTH}}  {clean(finding.id)}  {where}\n"
    lines = [head.replace(word, style.paint(word, _COLOUR[finding.severity]), 1)]
    lines.append(_labelled("", finding.fact, style))
    if with_why and finding.why:
        lines.append(_labelled("why", finding.why, style))
    lines.append(_remedy(finding.fix, style))
    return "".join(lines)


def _remedy(fix: str, style: Style) -> str:
    """A command or a line to write, which stands after a colon, is kept whole: it is there to be copied."""
    text, colon, command = fix.partition(": ")
    whole = _labelled("do", fix, style)
    if not colon or whole.count("\n") == 1:
        return whole
    return _labelled("do", f"{text}:", style) + f"{_INDENT}{clean(command)}\n"


def _labelled(label: str, text: str, style: Style) -> str:
    first = f"{label:>{_LABEL_WIDTH}}  "
    if not style.width or style.width < len(_INDENT) + 20:
        return f"{first}{clean(text)}\n"
    lines = textwrap.wrap(
        clean(text),
        style.width,
        initial_indent=first,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines or [first]) + "\n"


def links_table(node: str, peer: str, tried: Iterable[Tried], style: Style) -> str:
    """Each link with its two directions."""
    rows = [(t.name, _answer(t.to_here), _answer(t.to_there), t.remark) for t in tried]
    head = ("link", f"{peer} to {node}", f"{node} to {peer}", "")
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(3)]
    lines = []
    for row in (head, *rows):
        cells = [f"{clean(row[column]):<{widths[column]}}" for column in range(3)]
        lines.append(("  ".join(cells) + "  " + clean(row[3])).rstrip())
    text = "\n".join(lines) + "\n"
    return text.replace(" NO ", f" {style.paint('NO', _COLOUR[Severity.ERROR])} ")


def _answer(works: bool | None) -> str:
    return "not known" if works is None else "yes" if works else "NO"


def clean(text: str) -> str:
    """One printable line: what comes from files and from the other node must not steer the terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)
