"""What a WTI switch says when it waits for us, recognised. Pure.

Everything here is matched against one line from its first character, as far as it has come: a device
that waits ends its text with one of ``ends()`` and sends no line end. A Site ID, a plug name or a group
name may say anything, but they stand behind other words or between bars, never at the start of a line,
so nothing here looks into a line with a bar or behind "Site ID:".

Sources: fence_wti (prompts RSM MPC IPS TPS NBB NPS VMR, "login:", "Login Name:", "User Name :", pager
"Enter: "), wti_nps ("Password:", "Invalid password", PS> IPS> BB>, "(Y/N):"), a published NPS v2.12
session ("Plugs to be turned on", "Plug N: NAME", "Are you sure? (Y/N):"), the NPS manual page 18 ("NPS is
Busy, Session in Progress"), the RPB+ manual ("RPB+>", "?"). The rest is caution.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# Characters that may end a text with which the device waits: "--More--", "Press any key to continue" and others.
_ENDS = frozenset(">:)]-eE")

_PROMPT = re.compile(r"[A-Z][A-Z0-9+-]{1,15}>")
# "Last login:" and "Invalid login:" are no questions. Newer units are Linux inside: "vmr8 login:".
_USER = re.compile(
    r"\s*(?:enter\s+)?(?:(?:(?!last\b|invalid\b|failed\b|bad\b)[\w.-]+\s+)?login(?:\s+name)?|user\s*name|user)\s*:",
    re.I,
)
_PASSWORD = re.compile(r"\s*(?:enter\s+)?(?:(?!new\b|old\b|verify\b|confirm\b)\w+\s+)?password\s*:", re.I)
_PLAIN_PASSWORD = re.compile(r"\s*(?:enter\s+)?password\s*:", re.I)
_DENIED = re.compile(
    r"[\W_]*(?:sorry\W+|error\W+)?(?:"
    r"(?:invalid|incorrect|wrong|bad|illegal)\s+(?:password|login|user|access|credentials)"
    r"|(?:login|password|user\s*name|authentication)\s+(?:is\s+)?(?:incorrect|invalid|failed|failure|rejected|denied)"
    r"|(?:access|permission|login)\s+(?:is\s+)?denied|not\s+authori[sz]ed|invalid\s+access\s+lock"
    r"|(?:port|unit|user|account|login)\s+(?:is\s+)?locked)",
    re.I,
)
_BUSY = re.compile(r"\s*(?:\S{1,20}\s+is\s+busy\b|session\s+in\s+progress)", re.I)
# "Invalid command" (IPS); "?" (RPB+).
_REFUSED = re.compile(
    r"\s*(?:\?|(?:error\b|invalid\b|illegal\b|unknown\b|unrecogni[sz]ed\b|no\s+access\b|access\s+denied).*)\s*",
    re.I,
)
_PAGER = re.compile(
    r".*\benter\s*:|\s*--\s*more\s*--|"
    r"\W*(?:press|hit)\s+(?:any\s+key|<?(?:enter|return|cr)>?)\s+(?:to\s+continue|for\s+(?:more|next\s+page))",
    re.I,
)
# "Enter Selection or <ESC> to Exit:" (NPS manual), and the question for one item's new value.
_MENU = re.compile(r".*<esc>|.*\benter\s*:|\s*enter\s+\w.*:", re.I)
_YES_NO = r"[([]\s*y\s*/\s*n\s*[)\]]"
_QUESTION = re.compile(rf"(?!.*\bsite\b[^:]*:)(?:.*\bsure\b.*|.*\?\s*){_YES_NO}", re.I)
_BARE_QUESTION = re.compile(rf"(?:are\s+you\s+)?sure\s*\??\s*{_YES_NO}", re.I)
_HEADING = re.compile(r"plugs?\s+to\s+be\s+(?:turned|switched)\s+(on|off)\s*:?", re.I)
_NAMED_PLUG = re.compile(r"plug\s+(\d{1,4})\s*(?::\s*\S{0,40})?", re.I)
_ANY_PLUG = re.compile(r"\s*plug\s+\S+\s*:", re.I)
_LEAVING = re.compile(r"(?:exit|leave|quit|disconnect|log\s*(?:out|off))(?:\s+command\s+mode)?\s*[?:.]?", re.I)


def ends(literals: Iterable[str]) -> frozenset[str]:
    """The characters at which a text may be one with which the device waits."""
    last = [text.strip()[-1] for text in literals]
    return _ENDS.union(*(char.lower() + char.upper() for char in last))


def prompt_in(line: str, literals: Sequence[str]) -> str:
    """The command prompt that ``line`` is, or "". ``literals`` takes the place of the known forms."""
    text = line.strip(" \t")
    if literals:
        return text if text and text.casefold() in (literal.strip().casefold() for literal in literals) else ""
    return text if _PROMPT.fullmatch(text) else ""


def asks_user(line: str) -> bool:
    return _USER.fullmatch(line) is not None


def asks_password(line: str, *, plain: bool = False) -> bool:
    """``plain``: only "Password:" and "Enter Password:", as where a menu might ask for a new one."""
    return (_PLAIN_PASSWORD if plain else _PASSWORD).fullmatch(line) is not None


def denies(line: str) -> bool:
    """A rejected password or user name, or a lock-out (NPS/VMR manual: Invalid Access Lockout)."""
    return "|" not in line and _DENIED.match(line) is not None


def is_busy(line: str) -> bool:
    return "|" not in line and _BUSY.match(line) is not None


def refusal(lines: Iterable[str]) -> str:
    """The first line that says a command was not taken, or ""."""
    return next((line for line in lines if "|" not in line and _REFUSED.fullmatch(line)), "")


def is_pager(line: str) -> bool:
    return "|" not in line and _PAGER.fullmatch(line) is not None


def is_menu(line: str) -> bool:
    return "|" not in line and _MENU.fullmatch(line) is not None


def is_question(line: str) -> bool:
    """A (Y/N) question. The line of a plug that somebody named "(Y/N)" is none."""
    return "|" not in line and not _ANY_PLUG.match(line) and _QUESTION.fullmatch(line) is not None


def names_exactly(lines: Sequence[str], command: str, plug: int, *, on: bool) -> bool:
    """True when a (Y/N) question, with all that stands before it, is about ``plug``, our way, and nothing else.

    NPS v2.12 prints a heading, one ``Plug N: NAME`` line for each plug and ``Are you sure? (Y/N)``.
    The direction must stand in the heading or in the echo of our command. Any line that is none of
    these makes it False: a question we only half understand might be about another machine.
    """
    named: list[int] = []
    directed = False
    for line in lines[:-1]:
        text = _without_prompt(line)
        heading = _HEADING.fullmatch(text)
        row = _NAMED_PLUG.fullmatch(text)
        if row:
            named.append(int(row[1]))
        elif heading:
            if (heading[1].upper() == "ON") != on:
                return False
            directed = True
        elif text.upper() == command:
            directed = True
        elif text:
            return False
    return directed and named == [plug] and bool(lines) and _BARE_QUESTION.fullmatch(lines[-1].strip()) is not None


def only_leaving(lines: Sequence[str], command: str) -> bool:
    """True when a (Y/N) question, with all that stands before it, is about leaving (an IPS asks on ``/X``)."""
    for at, line in enumerate(lines[:-1]):
        text = _without_prompt(line)
        if text.upper() == command or _LEAVING.fullmatch(text):
            continue
        # The first line may be a bad echo of the command.
        if text and (at > 0 or "plug" in text.lower() or is_question(text)):
            return False
    if not lines:
        return False
    question = lines[-1].strip()
    asked = re.sub(rf"\s*{_YES_NO}$", "", question, flags=re.I)
    return _BARE_QUESTION.fullmatch(question) is not None or _LEAVING.fullmatch(asked) is not None


def _without_prompt(line: str) -> str:
    text = line.strip()
    prompt = _PROMPT.match(text)
    return text[prompt.end() :].strip() if prompt else text
