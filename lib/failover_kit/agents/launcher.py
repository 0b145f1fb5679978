"""Our agents as scripts of Heartbeat's resource.d: ``script argument... verb``, the verb last.

The script's name says which agent, its declaration which argument is which parameter (``positional``). start,
stop and monitor exit as the OCF action does; ``status`` is a probe that exits as LSB's init scripts do and says on
stdout what Heartbeat reads. Heartbeat takes the *text* and no exit code (ResourceManager, we_own_resource()):

* ``not running``: not ours. Said of what is cleanly stopped, and of nothing else;
* ``running``, ``OK``: ours, and a start is left out;
* anything else: not ours. So it calls start, and start refuses what is in doubt. That is what is wanted.

After a stop that failed it is not: Heartbeat asks once more, and what is "not ours" then is logged and counts as
released, so the other node mounts a disk that is in use here. A probe does not help, it may well say
"stopped": what made stop fail (somebody outside holds the disk) is not for monitor to see. Therefore a stop
leaves a mark until it has succeeded, and for a minute after it nothing but "running" is said; then Heartbeat
takes the node down, which is the only safe end. Nothing of the arguments goes to stdout: a directory may be
called /srv/OK.
"""

import os
import sys

from failover_kit.agents.haresources import agent_for
from failover_kit.ocf import codes, runner
from failover_kit.ocf.agent import state_path
from failover_kit.spec.deadline import boottime_ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from failover_kit.ocf.agent import Agent

VERBS = ("start", "stop", "status", "monitor")
# LSB Core 3.1, "Init Script Actions", the exit codes of status.
LSB_RUNNING, LSB_STOPPED, LSB_UNKNOWN = 0, 3, 4
# Heartbeat asks within a second. Later a takeover may ask, and then it is start that has to decide.
ANSWER_FOR_STOP_MS = 60_000


def run() -> "NoReturn":
    """What the launcher calls: main() on this process's own arguments, and the end of the process."""
    runner.fill_streams()
    runner.leave(main(sys.argv, os.environ))


def main(argv: "Sequence[str]", environ: "Mapping[str, str]") -> int:
    """Run ``argv[-1]`` of the agent that ``argv[0]`` names, with the arguments between them."""
    script = argv[0].rpartition("/")[2]
    agent = agent_for(script)
    if agent is None:
        sys.stderr.write(f"{script} is none of our agents; link this file under the name of one\n")
        return codes.ERR_INSTALLED
    verb = argv[-1] if len(argv) > 1 else ""
    if verb in ("meta-data", "help", "usage", "--help", "-h"):
        return runner.main(agent, [script, verb], environ)
    if verb not in VERBS:
        from failover_kit.ocf.usage import arguments

        sys.stderr.write(f"usage: {script} {arguments(agent)}{'|'.join(VERBS)}\n")
        return codes.ERR_UNIMPLEMENTED
    surroundings = settings(script, argv[1:-1], environ)
    try:
        given = agent.assign(argv[1:-1])
    except ValueError as error:
        # With start refused the same way there is nothing that these arguments have started.
        runner.tell(agent, surroundings, str(error))
        if verb == "status":
            say(f"{agent.name}: state unknown")
            return LSB_UNKNOWN
        return codes.ERR_ARGS
    surroundings.update((runner.RESKEY + name, value) for name, value in given.items())
    if verb == "status":
        return status(agent, surroundings)
    if verb == "stop":
        return stop(agent, surroundings)
    code = runner.main(agent, [script, verb], surroundings)
    if verb == "start" and code == codes.SUCCESS:
        forget(mark_path(agent, surroundings))
    return code


def settings(script: str, args: "Sequence[str]", environ: "Mapping[str, str]") -> "dict[str, str]":
    """The environment of the agent: parameters come from the line alone, whatever was exported elsewhere."""
    kept = {name: value for name, value in environ.items() if not name.startswith(runner.RESKEY)}
    limit = environ.get(runner.RESKEY + "CRM_meta_timeout")
    if limit:
        kept[runner.RESKEY + "CRM_meta_timeout"] = limit
    # As Heartbeat's own scripts name their instances.
    kept.setdefault("OCF_RESOURCE_INSTANCE", "_".join((script, *args)))
    kept.setdefault("OCF_EXIT_REASON_PREFIX", "ERROR: ")
    return kept


def status(agent: "Agent", environ: "Mapping[str, str]") -> int:
    """A probe, told in the words that Heartbeat reads."""
    mark = mark_path(agent, environ)
    not_released = why_not_released(mark)
    code = runner.main(agent, [agent.name, "monitor"], environ)
    if code in (codes.SUCCESS, codes.DEGRADED):
        say(f"{agent.name}: running OK")
        return LSB_RUNNING
    if not_released:
        say(f"{agent.name}: has to count as running, {not_released}")
    elif code == codes.NOT_RUNNING and not os.path.lexists(mark):
        say(f"{agent.name}: not running")
        return LSB_STOPPED
    else:
        say(f"{agent.name}: state unknown")
    return LSB_UNKNOWN


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def stop(agent: "Agent", environ: "Mapping[str, str]") -> int:
    """The agent's stop, marked as begun until it has succeeded."""
    mark = mark_path(agent, environ)
    set_mark(mark)
    code = runner.main(agent, [agent.name, "stop"], environ)
    if code == codes.SUCCESS:
        forget(mark)
    else:
        set_mark(mark)
    return code


def set_mark(mark: str) -> None:
    """Write down when a stop was last seen unfinished. It is written in place: that works on a full disk, too."""
    try:
        os.makedirs(os.path.dirname(mark), mode=0o755, exist_ok=True)
        file = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(file, b"%020d\n" % boottime_ms())
        finally:
            os.close(file)
    except OSError:
        pass  # why_not_released() sees that marks cannot be made


def forget(mark: str) -> None:
    try:
        os.unlink(mark)
    except OSError:
        pass


def why_not_released(mark: str) -> str:
    """Why a resource that does not run must not count as released, "" when there is no reason.

    Its stop failed a moment ago, or may have, and there was no way to write that down.
    """
    try:
        with open(mark, encoding="ascii", errors="replace") as file:
            text = file.read(64).strip()
        late = text.isdigit() and boottime_ms() - int(text) >= ANSWER_FOR_STOP_MS
        return "" if late else "a stop of it has not succeeded"
    except FileNotFoundError:
        pass
    except OSError:
        return "whether a stop of it failed cannot be read"
    return "" if takes_files(os.path.dirname(mark)) else "whether a stop of it failed could not be written down"


def takes_files(directory: str) -> bool:
    """Whether a new file can be made there; one that is not there will be made itself."""
    try:
        room = os.statvfs(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    # A tmpfs without a limit says 0 of 0 for both.
    full = (room.f_blocks > 0 and not room.f_bavail) or (room.f_files > 0 and not room.f_favail)
    return not full and not room.f_flag & os.ST_RDONLY


def mark_path(agent: "Agent", environ: "Mapping[str, str]") -> str:
    """The file that says so, one for each instance, gone with the next boot."""
    return state_path(agent, f"stop-{environ['OCF_RESOURCE_INSTANCE']}", environ)
