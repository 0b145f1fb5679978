"""What a run found and did, for people and for programs. No secret reaches this module: settings carry their shown
form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from failover_kit.fence.log import printable
from failover_kit.switch.plan import GENERAL, NETWORK, Progress, Seen, shown_rules
from failover_kit.switch.setup import Outcome, Result

_MENU_NAMES = {GENERAL: "general", NETWORK: "network"}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell, two blanks apart."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (head, *rows)]  # fmt: skip


def setup_text(out: Outcome) -> str:
    """The summary of a setup: each setting before and after, and how far it got."""
    lines = [f"  {out.place}  {_title(out.seen)}".rstrip()] if out.seen else []
    if out.settings:
        rows = [
            (setting.title, printable(setting.before), printable(setting.after), setting.progress.value)
            for setting in out.settings
        ]
        lines += ["", *table(("setting", "before", "after", ""), rows), ""]
    lines += [f"  {_closing(out)}"] if out.result in _CLOSINGS else []
    return "".join(f"{line}\n" for line in lines)


_CLOSINGS = {
    Result.NOTHING: "nothing to do: everything is as asked for",
    Result.WOULD: "dry run: nothing was changed",
    Result.DONE: "done; every change was read back",
}


def _closing(out: Outcome) -> str:
    return _CLOSINGS[out.result]


def show_text(out: Outcome) -> str:
    """The plug table and, when they were read, the general and network settings."""
    seen = out.seen
    if seen is None:
        return ""
    rows = [(str(row.number), printable(row.name) or "-", row.state.value) for row in seen.plugs]
    lines = [f"  {out.place}  {_title(seen)}", "", *table(("plug", "name", "state"), rows)]
    for command, menu in seen.menus.items():
        items = [(printable(item.label), item.shown() or "-") for item in menu.items]
        lines += ["", *table((_MENU_NAMES.get(command, command), ""), items)]
    if seen.rules:
        lines += [
            "",
            "  IP security (the last rule that fits counts)",
            *(f"  {rule}" for rule in shown_rules(seen.rules)),
        ]
    return "".join(f"{line}\n" for line in lines)


def as_json(out: Outcome) -> dict[str, Any]:
    """Everything, for programs."""
    answer: dict[str, Any] = {"switch": out.place, "result": out.result.value}
    if out.seen is not None:
        answer |= _seen_json(out.seen)
    if out.settings:
        answer["settings"] = [
            {
                "setting": setting.title,
                "before": setting.before,
                "after": setting.after,
                "differs": setting.differs,
                "progress": setting.progress.value,
            }
            for setting in out.settings
        ]
        answer["changed"] = any(setting.progress is Progress.CHANGED for setting in out.settings)
    return answer | {"warnings": out.warnings, "errors": out.errors}


def _seen_json(seen: Seen) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "prompt": seen.prompt,
        "banner": seen.banner,
        "plugs": [{"plug": row.number, "name": row.name, "state": row.state.value} for row in seen.plugs],
    }
    for command, menu in seen.menus.items():
        if command in _MENU_NAMES:
            answer[_MENU_NAMES[command]] = {item.label: item.shown() for item in menu.items}
    if seen.rules is not None:
        answer["ip_security"] = [
            {"rule": rule.number, "mask": rule.mask, "permit": rule.permit} for rule in seen.rules
        ]
    return answer


def _title(seen: Seen | None) -> str:
    if seen is None:
        return ""
    return printable(" ".join(seen.banner.split())) or f"prompt {seen.prompt}>"
