#!/usr/bin/python3 -IS
"""Stands in a node at the place of a resource agent: writes down what is asked of it, then runs it.

The ledger must not depend on what failoverd says, so this notes every start and stop *attempt* with the
boot clock, before the agent is executed, and its result after. A call is named by the agent and what it is
about. It is mounted over ``ocf/IPaddr`` and
``ocf/Filesystem``; the real ones are below ``/run/rehearsal/kit``. One line is one write(2) to a file opened
for appending, so lines of both nodes never mix. What is installed has its agents elsewhere (``real``).
"""

import os
import sys
import time

KIT = "/run/rehearsal/kit"
LEDGER = "/run/rehearsal/ledger"
BOOT = "/run/rehearsal/boot"
WRITTEN_DOWN = ("start", "stop")


def note(resource: str, verb: str, what: str, code: int = 0) -> None:
    """One line of the ledger; see ``ledger.parse_attempt``."""
    now_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    with open(BOOT, "rb") as file:
        boot = file.read().decode()
    fields = (str(now_ms), os.uname().nodename, boot, resource, verb, what, str(code))
    fd = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    os.write(fd, (" ".join(fields) + "\n").encode())
    os.close(fd)


def about(agent: str, argv: list[str]) -> str:
    """What tells two calls of one agent apart: its directory or address, the first argument of a script."""
    parameter = {"Filesystem": "OCF_RESKEY_directory", "IPaddr": "OCF_RESKEY_ip"}.get(agent)
    found = os.environ.get(parameter, "") if parameter else "".join(argv[1:-1][:1])
    return f"{agent}:{found}" if found else agent


def real(agent: str) -> list[str]:
    """What ``agent`` is where we do not stand in its place. ``kit`` has the two layouts."""
    checkout = os.path.isdir(KIT + "/ocf")
    if agent == "recordd":
        library = KIT + ("/lib" if checkout else "/share/failover-kit")
        return ["/usr/bin/python3", "-IS", library + "/failover_kit/rehearsal/recordd.py"]
    return [KIT + ("/ocf/" if checkout else "/lib/ocf/resource.d/failover-kit/") + agent]


def main(argv: list[str]) -> int:
    agent = os.path.basename(argv[0])
    command = [*real(agent), *argv[1:]]
    # OCF has the verb first, haresources has it last.
    verb = next((word for word in (argv[1:2] + argv[-1:]) if word in WRITTEN_DOWN), "")
    if not verb:
        os.execv(command[0], command)  # noqa: S606
    resource = about(agent, argv)
    note(resource, verb, "begin")
    pid = os.fork()
    if pid == 0:
        os.execv(command[0], command)  # noqa: S606
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    note(resource, verb, "end", code)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv))
