#!/usr/bin/python3 -I
"""Make the pictures in docs/pictures: what the real commands print, on a terminal of 80 columns.

    tools/pictures.py            write them
    tools/pictures.py --check    exit 1, with their names, when some are not what the commands print now

failoverctl runs in this process with its own arguments. Behind it are failoverd's real control socket with a status
that the real core has in a story, a journal that a rehearsal recorded, and the HOWTO's own files.
"""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from unittest import mock

TOP = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP / "lib"), str(TOP / "tests"), str(TOP / "tools")]

import terminal_svg  # noqa: E402

import picture_worlds as worlds  # noqa: E402
from failover_kit.cli import checkcmd, failoverctl  # noqa: E402

PLACE = TOP / "docs" / "pictures"
PAIR = TOP / "tests" / "data" / "recorded-takeover"
"""A rehearsed takeover: two files of the pair, and the journal of each node. See its README."""
JOURNAL = str(PAIR / "mclaws")

PROVED = """\
both nodes run and every group is at home
fence --prove mclaws on pete
run for 120 s
"""
BOTH_PROVED = f"""\
{PROVED}standby on pete
run for 30 s
fence --prove pete on mclaws
run for 120 s
takeover on pete
run for 600 s
"""


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


def shown(*words: str) -> tuple[str, int]:
    """What ``failoverctl WORDS`` writes to a terminal, and its exit code."""
    with contextlib.redirect_stdout(Terminal()) as out, contextlib.redirect_stderr(out):
        code = failoverctl.main(words)
    return out.getvalue(), code


@contextlib.contextmanager
def eighty_columns(no_color: str = "") -> Iterator[None]:
    """A terminal of 80 columns, in Greenwich."""
    settings = {"COLUMNS": str(terminal_svg.COLUMNS), "LINES": "50", "TZ": "UTC", "NO_COLOR": no_color}
    try:
        with mock.patch.dict(os.environ, settings):
            time.tzset()
            yield
    finally:
        time.tzset()


def terminal(command: str, printed: tuple[str, int], *, limit: int = 0) -> str:
    return terminal_svg.picture(command, *printed, limit=limit)


# --- the pictures -----------------------------------------------------------------------------------------


def status(story: str, node: str) -> str:
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/control.sock"
        with worlds.answering(worlds.status_of_story(story, node), path):
            return terminal(f"{node}# failoverctl status", shown("--socket", path, "status"))


def healthy() -> str:
    return status(BOTH_PROVED, "pete")


def degraded() -> str:
    return status(f"{BOTH_PROVED}cut link ttyS0\nrun for 60 s", "pete")


def no_service() -> str:
    return status(f"{BOTH_PROVED}switch is stuck\npower cut pete\nrun for 75 s", "mclaws")


def explain() -> str:
    printed = shown("explain", "--last", "1", "--brief", "--journal", JOURNAL)
    return terminal("mclaws# failoverctl explain --last 1 --brief", printed)


def explain_lanes() -> str:
    """The picture in the page, with the page's own style."""
    with tempfile.TemporaryDirectory() as directory:
        shown("explain", "--last", "1", "--html", f"{directory}/page.html", "--journal", JOURNAL)
        page = pathlib.Path(directory, "page.html").read_text()
    style, svg = re.search(r"<style>(.*?)</style>", page, re.S), re.search(r"<svg (.*?)>(.*?</svg>)", page, re.S)
    if style is None or svg is None:
        raise ValueError("the page of explain has no style, or no picture")
    rules = "".join(rule for rule in re.findall(r"[^{}]+\{(?:[^{}]|\{[^{}]*\})*\}", style[1]) if _is_drawn(rule))
    size = svg[1].split("viewBox='0 0 ")[1].split("'")[0].split()
    head = f"<svg xmlns='http://www.w3.org/2000/svg' width='{size[0]}' height='{size[1]}' {svg[1]}>"
    paper = f"<rect width='{size[0]}' height='{size[1]}' style='fill: var(--panel)'/>"
    body = svg[2].replace("><", ">\n<")
    return f"{head}<style>{rules.replace('svg text', 'text')}\n</style>{paper}\n{body}\n"


def _is_drawn(rule: str) -> bool:
    """Colours, and what is in a picture."""
    return rule.strip().startswith((":root", "@media", "svg text", ".", "polygon")) and not rule.strip().startswith(
        (".wide", ".faint")
    )


def check() -> str:
    with tempfile.TemporaryDirectory() as directory:
        host = worlds.howto_world(pathlib.Path(directory)).host()
        with mock.patch.object(checkcmd, "_host", lambda _: host), mock.patch("os.geteuid", lambda: 0):
            printed = shown("--socket", f"{directory}/none", "check", "--local")
    return terminal("pete# failoverctl check --local", printed, limit=41)


def budget() -> str:
    with worlds.pair_files(PAIR) as directory:
        printed = shown("budget", "--config-dir", directory, "--journal", JOURNAL, "--node", "mclaws")
    return terminal("mclaws# failoverctl budget", printed, limit=32)


PICTURES: dict[str, Callable[[], str]] = {
    "status-healthy": healthy,
    "status-degraded": degraded,
    "status-no-service": no_service,
    "explain": explain,
    "explain-lanes": explain_lanes,
    "check": check,
    "budget": budget,
}

OTHERS = ("states-group.svg", "states-peer.svg", "failover.svg")
"""Made by tools/state_machine.py and bench/failover."""


def made() -> dict[str, str]:
    """Each picture by its name."""
    with eighty_columns():
        return {name: make() for name, make in PICTURES.items()}


def main(argv: list[str]) -> int:
    if argv not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)  # noqa: T201 - a program
        return 2
    stale = []
    for name, text in made().items():
        path = PLACE / f"{name}.svg"
        if not path.is_file() or path.read_text() != text:
            stale.append(path.name)
            if not argv:
                path.write_text(text)
    stale += [path.name for path in PLACE.iterdir() if path.stem not in PICTURES and path.name not in OTHERS]
    if argv and stale:
        print(f"not what the commands print now: {', '.join(stale)}; run tools/pictures.py", file=sys.stderr)  # noqa: T201
    return int(bool(argv and stale))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
