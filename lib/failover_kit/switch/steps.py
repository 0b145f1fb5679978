"""What is done at a switch, one step at a time: generators that yield what to send and get the screen it led to.

Pure like ``talk``: a step knows no clock and no connection, so every one of them is tested against written
transcripts. A step that fails raises StepFailed with what was on the screen, and leaves getting out of the menu to
the session.

Only the number of an item found by its label, checked values, ``/G``, ``/N``, ``/P n``, ``/S``, ``/E``, ``/X,Y``,
<ESC> and the answer to a question we understand are ever sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from failover_kit.fence.screens import PlugRow, ScreenError, has_table, parse_status
from failover_kit.fence.secret import Secret
from failover_kit.switch.menu import Label, Menu, MenuError, choose, choose_word, find, read_menu, shown_lines
from failover_kit.switch.talk import REFUSAL, Kind, Screen

# How many <ESC> it may take from the deepest menu to the prompt.
ESCAPES = 6
# A menu that a stray prompt ran ahead of must come within this time.
LATE_MENU_MS = 2000
# A prompt too many, and the menu's title, whose colon looks like a question, may come before it.
LATE_MENU_PARTS = 2
WAKES = 3
WAKE_MS = 2000
_BANNER = re.compile(r"(?:Power\s+Switch|Boot\s+Bar|Managed\s+Power)\b.*\bv\d", re.I)
_ASKS_USER = re.compile(r"\s*(?:enter\s+)?(?:login(?:\s+name)?|user\s*name|user)\s*[:>]\s*", re.I)
_ASKS_PASSWORD = re.compile(r"\s*(?:enter\s+)?(?:\w+\s+)?password\s*[:>]\s*", re.I)
_BUSY = re.compile(r"\bis\s+busy\b|session\s+in\s+progress", re.I)
# A long listing stops and waits for Enter (fence_wti's "Enter: ", rhbz#678522).
_PAGER = re.compile(r"(?!.*\|).*\benter\s*:\s*", re.I)
PAGES = 100
_AGAIN = re.compile(r"\b(?:verify|confirm|re-?enter|re-?type|again|repeat|once\s+more)\b", re.I)
_CURRENT = re.compile(r"\b(?:current|old|present)\b", re.I)
# A question about keeping what was changed, or about the reset of the network interface that follows from it.
_ABOUT_CHANGES = re.compile(r"\b(?:save|sav(?:ing)|chang\w*|update|apply|network|interface|restart|reset)\b", re.I)
_ABOUT_MORE = re.compile(r"\b(?:default|factory|plug|outlet|erase|all)\b", re.I)

# The prompts whose menus /G, /P n and /N are known: NPS, TPS and IPS guides. VMR, MPC and RSM use /F, /PL and user
# accounts.
CLASSIC = frozenset(("IPS", "NPS", "TPS", "NBB", "PS", "BB"))


@dataclass(frozen=True, slots=True)
class Line:
    """Type a text and Enter."""

    text: str
    within_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Hidden:
    """Type a secret and Enter."""

    secret: Secret


@dataclass(frozen=True, slots=True)
class Escape:
    """Press <ESC>."""

    within_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Listen:
    """Send nothing and wait for more."""

    within_ms: int | None = None


@dataclass(frozen=True, slots=True)
class AskPassword:
    """The unit wants a password and none is left. Answered by a screen, too, when somebody typed one."""


Request = Line | Hidden | Escape | Listen | AskPassword
_T = TypeVar("_T")
Step = Generator[Request, Screen, _T]


class StepFailed(Exception):
    """A step did not lead where it should; ``str()`` says what was expected and what stood there."""


class LostConnection(StepFailed):
    """The unit hung up in the middle of a step."""


class NothingHeard(StepFailed):
    """The unit was silent, or said nothing that can be understood, for as long as it may."""


class Denied(StepFailed):
    """The unit does not let us in. Not to be tried again: newer units lock out."""


class NotServed(StepFailed):
    """Somebody else has the unit's one session, or there is nobody at the other end of the serial line."""


@dataclass(frozen=True, slots=True)
class Entered:
    """We are in. ``password``: the index of the one the unit took; None when it asked for none."""

    prompt: str
    banner: str
    password: int | None


def drive(step: Step[_T], do: Callable[[Request], Screen], redact: Callable[[str], str]) -> _T:
    """Run a step to its end: ``do`` sends and waits. What it raises has no secret in its words."""
    try:
        request = next(step)
        while True:
            request = step.send(do(request))
    except StopIteration as end:
        value: _T = end.value
        return value
    except (StepFailed, MenuError) as error:
        error.args = (redact(str(error)),)
        raise


# --- in and out -----------------------------------------------------------------------------------------


def log_in(*, wake: bool, username: str, passwords: Sequence[Secret], may_ask: bool) -> Step[Entered]:
    """From a fresh connection to the prompt. Each password is presented once, in order.

    ``wake``: a serial console says nothing until Enter is pressed, and may still stand in somebody's menu.
    ``may_ask``: yield AskPassword when the unit asks for a password and none was given.
    """
    screen = yield from _wake() if wake else _first()
    tried = 0
    user_sent = False
    asked = False
    for _ in range(16):
        text = " / ".join(shown_lines(screen.lines))
        if any(_BUSY.search(line) for line in screen.lines) and not tried:
            raise NotServed(f"somebody else has the unit's one session; it says {text!r}")
        if screen.kind is Kind.PROMPT:
            banner = next((line.strip() for line in screen.lines if _BANNER.search(line)), "")
            return Entered(screen.prompt, banner, tried - 1 if tried else None)
        if screen.kind is Kind.CLOSED:
            if tried:
                raise Denied("the unit hung up after it got the password")
            raise LostConnection("the unit hung up at once: somebody may have its one session, or its IP security "
                                 "denies this host")  # fmt: skip
        if screen.kind is Kind.SILENT:
            if tried:
                if any(REFUSAL.fullmatch(line) for line in screen.lines):
                    raise Denied(f"the unit rejected the password; it says {text!r}")
                raise Denied(f"no prompt came after the password; the unit says {text!r}")
            raise NothingHeard(f"no prompt came{f'; it says {text!r}' if text else ''}")
        if _pager(screen):
            screen = yield Line("")
        elif screen.kind is Kind.VALUE and _ASKS_PASSWORD.fullmatch(screen.ask):
            if tried < len(passwords):
                screen = yield Hidden(passwords[tried])
            elif tried:
                raise Denied("the unit rejected the password")
            elif may_ask and not asked:
                asked = True
                screen = yield AskPassword()
            else:
                raise Denied("the unit asks for a password; give --password-file or --password-env")
            tried += 1
        elif screen.kind is Kind.VALUE and _ASKS_USER.fullmatch(screen.ask):
            if user_sent or not username:
                raise Denied("the unit rejected the user name" if user_sent
                             else "the unit asks for a user name; give --username")  # fmt: skip
            user_sent = True
            screen = yield Line(username)
        elif wake:
            screen = yield Escape()  # a menu that somebody left open
        else:
            raise StepFailed(
                f"this does not look like a WTI power switch; it says {text!r} and {screen.ask.strip()!r}"
            )
    raise StepFailed("the login does not end")


def _first() -> Step[Screen]:
    return (yield Listen())


def _wake() -> Step[Screen]:
    screen = Screen(Kind.SILENT, ())
    for _ in range(WAKES):
        screen = yield Line("", WAKE_MS)
        if screen.kind is not Kind.SILENT:
            return screen
    if screen.lines:
        raise NothingHeard(
            "what comes over the line is not readable; is it 9600 baud, 8 bits, no parity? It says "
            f"{' / '.join(shown_lines(screen.lines))[:200]!r}"
        )
    raise NotServed(
        "the console does not answer to Enter. It does not wake while somebody has the unit's one session over the "
        "network or modem; else look at the cable (null modem), the device name and the baud rate"
    )


def to_prompt(screen: Screen, *, save: bool) -> Step[Screen]:
    """From wherever ``screen`` is, out to the command prompt. A question about saving is answered with ``save``."""
    for _ in range(ESCAPES):
        if screen.kind is Kind.PROMPT:
            return screen
        if screen.kind is Kind.CLOSED:
            raise LostConnection("the unit hung up while the menu was being left")
        if screen.kind is Kind.QUESTION:
            screen = yield from _answer(screen, yes=save)
        else:
            screen = yield Escape()
    raise StepFailed(f"<ESC> does not lead out of the menu; it says {screen.ask.strip()!r}")


def _answer(screen: Screen, *, yes: bool) -> Step[Screen]:
    """Y only to a question about keeping changes; to any other N, and the step fails."""
    text = " ".join([*screen.lines[-4:], screen.ask])
    known = _ABOUT_CHANGES.search(text) is not None and _ABOUT_MORE.search(screen.ask) is None
    after = yield Line("Y" if known and yes else "N")
    if not known:
        raise StepFailed(f"the unit asks what we do not understand: {screen.ask.strip()!r}; answered N")
    return after


def _pager(screen: Screen) -> bool:
    return screen.kind is Kind.VALUE and _PAGER.fullmatch(screen.ask) is not None


def _whole(screen: Screen) -> Step[Screen]:
    """All pages of a listing as one screen."""
    lines: list[str] = []
    for _ in range(PAGES):
        if not _pager(screen):
            break
        lines += screen.lines
        screen = yield Line("")
    everything = (*lines, *screen.lines)
    return Screen(screen.kind, everything, screen.ask, read_menu(everything)) if lines else screen


def status() -> Step[tuple[PlugRow, ...]]:
    """The plug table."""
    screen = yield from _whole((yield Line("/S")))
    if screen.kind is Kind.PROMPT and not has_table(screen.lines) and not screen.refusal:
        screen = yield from _whole((yield Listen(LATE_MENU_MS)))
    _expect(screen, Kind.PROMPT, "the status screen")
    try:
        return parse_status(screen.lines)
    except ScreenError as error:
        raise StepFailed(str(error)) from None


# --- menus ----------------------------------------------------------------------------------------------


def open_menu(command: str) -> Step[Screen]:
    """The screen of the menu behind ``command``, which the unit then waits at."""
    screen = yield from _whole((yield Line(command)))
    for _ in range(LATE_MENU_PARTS):
        if screen.kind not in (Kind.PROMPT, Kind.VALUE) or screen.refusal:
            break
        screen = yield Listen(LATE_MENU_MS)
    if screen.kind is Kind.MENU:
        return screen
    if screen.refusal:
        raise StepFailed(
            f"{command}: the unit says {screen.refusal!r}. A plug password gives no menus: log in with the system "
            "password"
        )
    if screen.kind is Kind.PROMPT:
        raise StepFailed(
            f"{command}: the menu did not come. Was this a plug password? Menus need the system password"
        )
    raise _unexpected(screen, f"the menu of {command}")


def read(command: str) -> Step[Menu]:
    """Open a menu, read it, leave it."""
    screen = yield from open_menu(command)
    yield from to_prompt(screen, save=False)
    return screen.menu


def read_submenu(command: str, label: Label) -> Step[Menu | None]:
    """The menu behind an item, for looking only; None when there is something else behind it."""
    screen = yield from open_menu(command)
    outer = screen.menu
    inner = yield Line(str(find(outer, label).number))
    yield from to_prompt(inner, save=False)
    return inner.menu if inner.kind is Kind.MENU and inner.menu != outer else None


def set_text(command: str, label: Label, value: str | Secret, current: Secret | None = None) -> Step[None]:
    """Choose an item and type its new value; ends at the prompt. Proves nothing: read the menu again.

    ``current``: the password in force, for a unit that wants it before a new one.
    """
    screen = yield from open_menu(command)
    outer = screen.menu
    item = find(outer, label)
    screen = yield Line(str(item.number))
    if screen.kind is not Kind.VALUE:
        raise _unexpected(screen, f"the question for {item.label!r}")
    if current is not None and _CURRENT.search(screen.ask):
        screen = yield Hidden(current)
        if screen.kind is not Kind.VALUE or screen.refusal:
            raise _unexpected(screen, f"the question for the new {item.label!r}")
    screen = yield _typed(value)
    if screen.kind is Kind.VALUE and isinstance(value, Secret) and _AGAIN.search(screen.ask):
        screen = yield _typed(value)
    yield from _taken(screen, item.label)


def set_minutes(command: str, label: Label, minutes: int) -> Step[None]:
    """As set_text for a time, which some units ask for and others offer as a list."""
    screen = yield from open_menu(command)
    outer = screen.menu
    item = find(outer, label)
    screen = yield Line(str(item.number))
    if screen.kind is Kind.VALUE:
        screen = yield Line(str(minutes))
    elif screen.kind is Kind.MENU and screen.menu.items != outer.items:
        screen = yield Line(str(choose(screen.menu, minutes).number))
    else:
        raise _unexpected(screen, f"the question for {item.label!r}")
    yield from _taken(screen, item.label)


def set_word(command: str, label: Label, word: str) -> Step[None]:
    """As set_text for on or off: some units ask, others offer a list, and some just turn it over."""
    screen = yield from open_menu(command)
    outer = screen.menu
    item = find(outer, label)
    screen = yield Line(str(item.number))
    if screen.kind is Kind.VALUE:
        screen = yield Line(word.capitalize())
    elif screen.kind is Kind.MENU and [new.key for new in screen.menu.items] != [old.key for old in outer.items]:
        screen = yield Line(str(choose_word(screen.menu, word).number))
    elif screen.kind is not Kind.MENU:
        raise _unexpected(screen, f"the question for {item.label!r}")
    yield from _taken(screen, item.label)


def _typed(value: str | Secret) -> Request:
    return Hidden(value) if isinstance(value, Secret) else Line(value)


def _taken(screen: Screen, label: str) -> Step[None]:
    """After the value: out of the menu, unless the unit turned it down."""
    if screen.refusal:
        reason = shown_lines([screen.refusal])[0]
        yield from to_prompt(screen, save=False)
        raise StepFailed(f"the unit does not take the value for {label!r}: it says {reason!r}")
    if screen.kind is Kind.VALUE:
        ask = shown_lines([screen.ask])[0]
        yield from to_prompt(screen, save=False)
        raise StepFailed(f"the unit does not take the value for {label!r}: it asks again: {ask!r}")
    if screen.kind is Kind.CLOSED:
        raise LostConnection(f"the unit hung up after it got the value for {label!r}")
    if screen.kind is Kind.SILENT:
        raise NothingHeard(f"nothing came after the value for {label!r}")
    yield from to_prompt(screen, save=True)


def save() -> Step[bool]:
    """``/E``: save and leave, as the HOWTO for firmware v1.41h has it. A unit without it saves when a menu is left.

    False when the unit has logged us out by it.
    """
    screen = yield Line("/E")
    if screen.kind is Kind.QUESTION:
        screen = yield from _answer(screen, yes=True)
    if screen.kind in (Kind.CLOSED, Kind.SILENT) or _ASKS_PASSWORD.fullmatch(screen.ask):
        return False
    yield from to_prompt(screen, save=True)
    return True


def _expect(screen: Screen, kind: Kind, what: str) -> None:
    if screen.kind is not kind:
        raise _unexpected(screen, what)


def _unexpected(screen: Screen, what: str) -> StepFailed:
    seen = "\n".join(f"    {line}" for line in shown_lines([*screen.lines, screen.ask])) or "    (nothing)"
    if screen.kind is Kind.CLOSED:
        return LostConnection(f"the unit hung up before {what}. It said:\n{seen}")
    if screen.kind is Kind.SILENT:
        return NothingHeard(f"{what} did not come. What came reads:\n{seen}")
    return StepFailed(f"{what} did not come; the screen reads:\n{seen}")
