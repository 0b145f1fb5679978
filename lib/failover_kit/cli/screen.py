"""Status for a reader at three in the morning: state, why, what to do; then nodes, groups, links.

Pure: a frozen Status and a Style in, text out. Colour only repeats what a word says already.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from failover_kit.manager.actions import Level
from failover_kit.manager.records import ClusterView, GroupView, LinkView, ProofState
from failover_kit.manager.states import GroupState
from failover_kit.manager.status import Health, Status, assess

RECENT_SHOWN = 5
_LABEL_WIDTH = 9

_GREEN, _YELLOW, _RED = "32", "33", "31;1"
_HEALTH_COLOUR = {Health.HEALTHY: _GREEN, Health.DEGRADED: _YELLOW, Health.NO_SERVICE: _RED}
_LEVEL_COLOUR = {Level.INFO: "", Level.WARNING: _YELLOW, Level.ALARM: _RED}
_GROUP_COLOUR = {
    GroupState.STARTED: _GREEN,
    GroupState.STARTING: _YELLOW,
    GroupState.STOPPING: _YELLOW,
    GroupState.FAILED: _RED,
    GroupState.UNKNOWN: _RED,
    GroupState.STOPPED: "",
}


@dataclass(frozen=True, slots=True)
class Style:
    """How to print. ``width`` 0: lines are not wrapped (a pipe)."""

    colour: bool = False
    width: int = 0

    def paint(self, text: str, code: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.colour and code else text


@dataclass(frozen=True, slots=True)
class Cell:
    """One word of a table with its colour."""

    text: str
    colour: str = ""


def render(status: Status, style: Style) -> str:
    """The whole screen, ending with a newline."""
    parts = [
        _head(status, style),
        _nodes(status.view, style),
        _groups(status.view, style),
        _links(status, style),
        _pings(status.view, style),
        _proof(status, style),
        _versions(status, style),
        _now(status, style),
        _recent(status, style),
    ]
    return "\n".join(part for part in parts if part)


def _head(status: Status, style: Style) -> str:
    view = status.view
    health, reason, todo = assess(status)
    state = style.paint(health.value.upper(), _HEALTH_COLOUR[health])
    lines = [f"{'cluster':>{_LABEL_WIDTH}}  {_clean(view.node)} + {_clean(view.peer)}  {state}\n"]
    lines.append(_labelled("reason", reason, style))
    label = "do"
    for sentence in todo:
        lines.append(_labelled(label, sentence, style))
        label = ""
    return "".join(lines)


def _nodes(view: ClusterView, style: Style) -> str:
    if view.leaving:
        own = Cell("LEAVING", _YELLOW)
    elif view.ready:
        own = Cell("NOT READY", _RED)
    else:
        own = Cell("up", _GREEN)
    up = view.peer_state == "up"
    peer = Cell(view.peer_state, _GREEN) if up else Cell(view.peer_state.upper(), _RED)
    remark = ""
    if view.peer_leaving:
        remark = "left in good order" if not up else "is leaving"
    elif up and not view.peer_hears_us:
        remark = "does not hear this node"
    elif up and not view.peer_ready:
        remark = "is not ready to take groups"
    # Each shot that failed is a change of state, too; how long it is silent stands beside.
    shot_in_vain = not up and view.fence_attempts and view.fence_running_since_ms is None
    heard, since = _ago(view.peer_heard_ago_ms), "-" if shot_in_vain else _since(view, view.peer_since_ms)
    rows = [
        (Cell(view.node), own, Cell("this node"), Cell("-"), Cell(view.ready)),
        (Cell(view.peer), peer, Cell(heard), Cell(since), Cell(remark)),
    ]
    return _table(("node", "state", "heard", "since", ""), rows, style)


def _groups(view: ClusterView, style: Style) -> str:
    rows = [
        (
            Cell(group.name),
            Cell(group.home),
            _state(group.state),
            _state(group.peer_state),
            Cell(_since(view, group.since_ms)),
            Cell(_group_remark(group)),
        )
        for group in view.groups
    ]
    if not rows:
        return "no groups: haresources is empty\n"
    return _table(("group", "home", f"on {view.node}", f"on {view.peer}", "since", ""), rows, style)


def _state(state: GroupState | None) -> Cell:
    if state is None:
        return Cell("not known", _YELLOW)
    text = state.value.upper() if state in (GroupState.FAILED, GroupState.UNKNOWN) else state.value
    return Cell(text, _GROUP_COLOUR[state])


def _group_remark(group: GroupView) -> str:
    if group.failed_here and not group.parked:
        return f"{group.doing}; it failed to start here before"
    return group.doing


def _links(status: Status, style: Style) -> str:
    health = {link.name: link for link in status.links}
    rows = []
    for link in status.view.links:
        own = health.get(link.name)
        remarks = [link.one_way] if link.one_way else []
        if own is not None and own.error:
            remarks.append(own.error)
        if own is not None and own.refused:
            remarks.append(f"{own.refused} frames refused since the start, see the log")
        rows.append((Cell(link.name), _link_state(link), Cell(_ago(link.heard_ago_ms)), Cell("; ".join(remarks))))
    return _table(("link", "state", "heard", ""), rows, style)


def _link_state(link: LinkView) -> Cell:
    if link.up is None:
        return Cell("NEVER HEARD", _RED)
    if link.one_way:
        return Cell("ONE WAY", _RED)
    return Cell("up", _GREEN) if link.up else Cell("SILENT", _RED)


def _pings(view: ClusterView, style: Style) -> str:
    """Ping nodes, where there are some; what the peer says of them is one number."""
    if not view.pings:
        return ""
    words = {True: Cell("answers", _GREEN), False: Cell("SILENT", _RED), None: Cell("not known", _YELLOW)}
    rows = [
        (Cell(ping.name), words[ping.reached], Cell(_since(view, ping.since_ms)), Cell("")) for ping in view.pings
    ]
    there = "a number not known" if view.peer_reaches is None else f"{view.peer_reaches} of {len(rows)}"
    return _table(("ping node", "state", "since", ""), rows, style) + f"{_clean(view.peer)} reaches {there}\n"


_PROOF_WORD = {
    ProofState.NEVER: "NOT PROVED",
    ProofState.RUNNING: "RUNNING",
    ProofState.PROVED: "proved",
    ProofState.CHANGED: "proved",
    ProofState.OUTDATED: "OUT OF DATE",
    ProofState.FAILED: "FAILED",
}
_PROOF_COLOUR = {ProofState.PROVED: _GREEN, ProofState.FAILED: _RED}


def _proof(status: Status, style: Style) -> str:
    """Whether this node can cut the other one, as far as anybody tried, and how long ago (rule 25)."""
    proof = status.view.proof
    lines = []
    if proof.state in _PROOF_WORD:
        word = _PROOF_WORD[proof.state]
        age = f", {_span(status.proof_age_ms)} ago" if status.proof_age_ms is not None else ""
        text = _labelled("proof", f"{word}{age}: {proof.text}", style)
        colour = _PROOF_COLOUR.get(proof.state, _YELLOW)
        lines.append(text.replace(word, style.paint(word, colour), 1))
    lines += [_labelled("note", sentence, style) for sentence in status.remarks]
    return "".join(lines)


def _versions(status: Status, style: Style) -> str:
    """What runs on both nodes; "" while the other one was not heard."""
    view = status.view
    if view.versions_differ:
        text = _labelled("versions", f"DIFFER: {view.versions_differ}", style)
        return text.replace("DIFFER", style.paint("DIFFER", _YELLOW), 1)
    return _labelled("versions", f"failoverd {status.version} on both nodes", style) if view.peer_speaks else ""


def _now(status: Status, style: Style) -> str:
    """What runs, with the end of its time, and what is due."""
    view = status.view
    lines = []
    for operation in status.operations:
        spent, left = view.now_ms - operation.began_ms, operation.deadline_ms - view.now_ms
        lines.append(_labelled("running", f"{operation.what}: {_span(spent)}, {_limit(left)}", style))
    if view.fence_running_since_ms is not None and not status.operations:
        spent = view.now_ms - view.fence_running_since_ms
        lines.append(_labelled("running", f"the power of {view.peer} is being cut: {_span(spent)}", style))
    if view.fence_attempts:
        text = f"{view.fence_attempts} failed in a row, the last: {view.fence_last}"
        lines.append(_labelled("fencing", text, style))
    if view.fence_next_ms is not None:
        due_ms = view.fence_next_ms - view.now_ms
        when = f"in {_span(due_ms)}" if due_ms > 0 else "now"
        lines.append(_labelled("due", f"fencing of {view.peer} {when}", style))
    if view.on_owed:
        lines.append(_labelled("due", f"{view.peer} is to be switched on again", style))
    lines += [_labelled("problem", sentence, style) for sentence in status.problems]
    return "".join(lines)


def _limit(left_ms: int) -> str:
    return f"gives up in {_span(left_ms)}" if left_ms > 0 else "its time is over"


def _recent(status: Status, style: Style) -> str:
    lines = []
    for said in status.recent[-RECENT_SHOWN:]:
        when = time.strftime("%H:%M:%S", time.localtime(said.wall_ms / 1000))
        word = f"{said.level.value.upper()}: " if said.level is not Level.INFO else ""
        text = _labelled(when, word + said.text, style)
        lines.append(text.replace(word, style.paint(word, _LEVEL_COLOUR[said.level]), 1) if word else text)
    return "".join(lines)


# --- words and tables -----------------------------------------------------------------------------------


def _clean(text: str) -> str:
    """One printable line: an agent's message must not steer the terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _labelled(label: str, text: str, style: Style) -> str:
    indent = " " * (_LABEL_WIDTH + 2)
    first = f"{label:>{_LABEL_WIDTH}}  "
    return "\n".join(_wrap(_clean(text), first, indent, style)) + "\n"


def _wrap(text: str, first: str, indent: str, style: Style) -> list[str]:
    if not style.width or style.width < len(indent) + 20:
        return [first + text]
    return textwrap.wrap(
        text,
        style.width,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first]


def _table(head: Sequence[str], rows: Iterable[Sequence[Cell]], style: Style) -> str:
    """Columns as wide as their widest word; the last one is a sentence and wraps under itself."""
    clean = [[Cell(_clean(cell.text), cell.colour) for cell in row] for row in rows]
    columns = range(len(head) - 1)
    widths = [max(len(head[at]), *(len(row[at].text) for row in clean)) for at in columns]
    lines = ["  ".join(f"{head[at]:<{widths[at]}}" for at in columns).rstrip()]
    for row in clean:
        plain = "  ".join(f"{row[at].text:<{widths[at]}}" for at in columns) + "  "
        painted = "  ".join(
            style.paint(row[at].text, row[at].colour) + " " * (widths[at] - len(row[at].text)) for at in columns
        )
        wrapped = _wrap(row[-1].text, plain, " " * len(plain), style)
        lines.append((painted + "  " + wrapped[0][len(plain) :]).rstrip())
        lines += wrapped[1:]
    return "\n".join(lines) + "\n"


def _ago(ms: int | None) -> str:
    return "never" if ms is None else f"{_span(ms)} ago"


def _since(view: ClusterView, since_ms: int) -> str:
    return _span(view.now_ms - since_ms)


def _span(ms: int) -> str:
    """A length of time in its two largest units, as one would say it."""
    ms = max(0, ms)
    if ms < 10_000:
        return f"{ms / 1000:.1f} s"
    seconds = ms // 1000
    if seconds < 120:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 120:
        return f"{minutes} min"
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{days} d {hours % 24} h"
