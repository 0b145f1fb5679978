"""``make peers``: what users asked for, tried with our agents and with ClusterLabs'.

    .venv/bin/python tests/needs [--write] [--many N] [--only TEXT] [--side ours|peer]

Needs root. Prints one scenario after the other; ``--write`` writes docs/peers.md at the end. Exit codes: 0 every
need is met by ours, whatever the peer does; 1 one is not, or could not be tried; 2 the comparison cannot run here.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "lib")]

from needs import cell  # noqa: E402 - the path is known only now
from needs.catalogue import Need, Outcome, scenarios  # noqa: E402
from needs.table import Row, as_markdown, as_text, tally  # noqa: E402
from needs.world import NotHere  # noqa: E402

PAGE = TESTS.parent / "docs" / "peers.md"
# "Many": ClusterLabs' agent needs seconds for these, and minutes for the 2000 of the report.
MANY = 100
UNUSABLE = 2


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tests/needs", description="Our agents beside ClusterLabs'.")
    parser.add_argument("--write", action="store_true", help="write docs/peers.md (only with all scenarios)")
    parser.add_argument("--many", type=int, default=MANY, metavar="N", help=f"how many are many ({MANY})")
    parser.add_argument("--only", default="", metavar="TEXT", help="scenarios with this in their name")
    parser.add_argument("--side", choices=("ours", "peer"), help="only this side")
    options = parser.parse_args(argv)
    if options.write and (options.only or options.side):
        parser.error("--write: only with all scenarios and both sides")
    return options


def attempt(one: Need, side: str, many: int) -> Outcome | str:
    """What came of it, or in words why nothing did."""
    try:
        return cell.run(one, side, many)
    except NotHere as error:
        return str(error)
    except cell.Broken as error:
        sys.stderr.write(f"{error}\n")
        return "the scenario itself failed"


def versions() -> str:
    """What was compared, for the page."""
    package = subprocess.run(
        ["dpkg-query", "-W", "-f=${Version}", "resource-agents"], capture_output=True, text=True, check=False
    )
    peer = package.stdout.strip() or "not installed from a Debian package"
    return f"ClusterLabs' agents: `resource-agents` {peer}. Kernel: {os.uname().release}."


def main(argv: list[str]) -> int:
    options = parse(argv)
    if os.geteuid() != 0:
        sys.stderr.write("make peers: needs root, for namespaces, mounts and loop devices\n")
        return UNUSABLE
    rows = []
    for one in scenarios():
        if options.only in one.name:
            results = {
                side: attempt(one, side, options.many) if options.side in (None, side) else None
                for side in ("ours", "peer")
            }
            rows.append(Row(one, **results))
            print(as_text(rows[-1]), flush=True)
    print(f"\n{versions()}\n{tally(rows)}")
    if options.write:
        PAGE.write_text(as_markdown(rows, versions()), encoding="utf-8")
        print(f"written: {PAGE}")
    met = all(row.ours is None or (isinstance(row.ours, Outcome) and row.ours.holds) for row in rows)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
