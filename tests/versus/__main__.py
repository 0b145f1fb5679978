"""``make peers-heartbeat``: the cases in which Heartbeat 3 loses the service or has it twice, and ours in the same.

    /usr/bin/python3 tests/versus [--write FILE] [--only KEY]... [--side heartbeat|failoverd] [--logs DIR] [--list]

Needs root, and Debian's heartbeat for its side. About twelve minutes. Prints one case after the other. Exit codes:
0 it holds with ours in every case, whatever Heartbeat does; 1 it does not, or a case could not be played with ours;
2 the comparison cannot run here; 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "lib"), str(TESTS.parent / "bench")]

from common.facts import machine_facts  # noqa: E402 - the path is known only now

from versus.cases import CASES, Outcome  # noqa: E402
from versus.managers import HEARTBEAT, MANAGERS  # noqa: E402
from versus.play import attempt  # noqa: E402
from versus.table import Row, as_markdown, as_text, tally  # noqa: E402

UNUSABLE, INTERRUPTED = 2, 130


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="tests/versus", description="Heartbeat 3 and failoverd side by side.")
    keys = [case.key for case in CASES]
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page (docs/versus-heartbeat.md)")
    parser.add_argument("--only", action="append", choices=keys, metavar="KEY", help="this case; may be repeated")
    parser.add_argument("--side", choices=("heartbeat", "failoverd"), help="only this side")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep both nodes' logs and the ledger there")
    parser.add_argument("--list", action="store_true", help="the keys of the cases, and nothing else")
    options = parser.parse_args(argv)
    if options.write and (options.only or options.side):
        parser.error("--write: only with all cases and both sides")
    return options


def main(argv: list[str]) -> int:
    options = parse(argv)
    if options.list:
        print("\n".join(f"{case.key:20} {case.title}" for case in CASES))
        return 0
    if os.geteuid() != 0:
        sys.stderr.write("make peers-heartbeat: needs root, for namespaces and mounts\n")
        return UNUSABLE
    if options.side != "failoverd" and not Path(HEARTBEAT).exists():
        sys.stderr.write(f"make peers-heartbeat: no {HEARTBEAT}; tools/setup.sh test installs it\n")
        return UNUSABLE
    # As Ctrl-C: nodes, links and directories go before we do.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rows = []
    try:
        for case in CASES:
            if options.only is None or case.key in options.only:
                results = [
                    attempt(case, manager, options.logs) if options.side in (None, manager.name.lower()) else None
                    for manager in MANAGERS
                ]
                rows.append(Row(case, *results))
                print(as_text(rows[-1]), flush=True)
    except KeyboardInterrupt:
        return INTERRUPTED
    facts = {**machine_facts(), **{manager.name: manager.version() for manager in MANAGERS}}
    print("\n".join(["", *(f"{name}: {value}" for name, value in facts.items()), tally(rows)]))
    if options.write:
        options.write.write_text(as_markdown(rows, facts), encoding="utf-8")
        print(f"written: {options.write}")
    held = all(row.ours is None or (isinstance(row.ours, Outcome) and row.ours.holds) for row in rows)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
