"""On the serving node: is a client's lock on these files held? Takes nothing and changes nothing.

    python3 -m lab.client.probe_lock --mount /mnt/e0.0 /mnt/e0.0/v3.data /mnt/e0.0/v4.data

Prints a JSON list: path, state (``held``, ``not held``, ``unknown``), why, holder, pid. A folder that should be the
mounted disk and is not makes every answer ``unknown``. Exit: 0 all held, 1 any other, 2 usage.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from lab.client.locks import SERVERS, LockState, State, state_of


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="probe_lock", description="says whether clients' locks are held here")
    parser.add_argument("--mount", required=True, help="where the shared disk must be mounted")
    parser.add_argument("--server", action="append", help="name of a thread that locks for clients (nfsd, lockd)")
    parser.add_argument("files", nargs="+")
    options = parser.parse_args(argv)
    if os.path.ismount(options.mount):
        states = [state_of(path, tuple(options.server or SERVERS)) for path in options.files]
    else:
        why = f"nothing is mounted on {options.mount} here"
        states = [LockState(path, State.UNKNOWN, why) for path in options.files]
    print(json.dumps([{**_plain(one), "state": one.state.value} for one in states]))
    return 0 if all(one.state is State.HELD for one in states) else 1


def _plain(one: LockState) -> dict[str, object]:
    return {"path": one.path, "why": one.why, "holder": one.holder, "pid": one.pid}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
