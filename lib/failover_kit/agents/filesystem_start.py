"""Starting a Filesystem: see that nobody is in the way, mount, look again."""

import os

from failover_kit.agents import filesystem_lock
from failover_kit.agents.filesystem_seen import describe_state, sickness, source_of
from failover_kit.agents.filesystem_source import BLOCK, kind_of
from failover_kit.kernel.attempts import Attempts, GivenUp
from failover_kit.ocf import codes
from failover_kit.ocf.codes import AgentError, failed, not_here
from failover_kit.spec.lean import run
from failover_kit.spec.process import CommandMissing, CommandTimeout
from failover_kit.spec.values import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from failover_kit.agents.filesystem_seen import Source
    from failover_kit.ocf.agent import Call
    from failover_kit.spec.deadline import Deadline


def start(call: "Call") -> int:
    """Mount the filesystem, or find that it is mounted already."""
    refuse_clones(call)
    lock = filesystem_lock.take(call, make=True)
    source = source_of(call)
    seen = source.observe()
    problem = describe_state(seen, source.device)
    if problem:
        raise failed(problem)
    directory = shown(seen.directory)
    if seen.foreign is not None:
        other = shown(seen.foreign.source)
        raise failed(f"{other} is mounted at {directory}; unmount it, or use another directory")
    if seen.mount is not None:
        return _judge(source)
    hidden = seen.table.below(seen.directory)
    if hidden:
        raise failed(f"a mount at {directory} would hide {shown(hidden[0].point)}; unmount that first")
    make_directory(seen.directory, call.deadline)
    try:
        source.mount(seen.directory, lock)
    except AgentError:
        source.look()
        if source.observe().mount is None:
            raise
        # Somebody mounted the same by hand meanwhile: what counts is what is there now.
    source.look()
    result = _judge(source)
    call.log("info", f"{shown(source.device)} is mounted at {directory}")
    return result


def _judge(source: "Source") -> int:
    seen = source.observe()
    if seen.mount is None:
        raise failed(f"{shown(source.device)} was mounted at {shown(seen.directory)} and is not there")
    options = source.call.values.text("options")
    problem = source.ailment(seen) or sickness(seen.mount, options, seen.table)
    if problem:
        raise failed(problem)
    return codes.SUCCESS


def refuse_clones(call: "Call") -> None:
    """Two nodes that mount one XFS or ext4 destroy it; Pacemaker says when a resource is to run on several."""
    if kind_of(call.values) == BLOCK and call.meta("clone") and not call.values.flag("force_clones"):
        raise codes.AgentError(
            codes.ERR_CONFIGURED,
            f"{shown(call.values.text('device'))}: a clone would mount this filesystem on several nodes at once"
            " and destroy it; make it a plain resource, or set force_clones if each node has a disk of its own",
        )


def make_directory(directory: str, deadline: "Deadline") -> None:
    """In a child: the way there may lead through a filesystem that hangs."""

    def work() -> str:
        os.makedirs(directory, mode=0o755, exist_ok=True)
        return ""

    try:
        Attempts().run(f"making {shown(directory)}", work, deadline)
    except GivenUp as error:
        raise failed(str(error)) from None
    except FileExistsError:
        raise not_here(f"directory: {shown(directory)} is not a directory") from None
    except OSError as error:
        raise not_here(f"directory: cannot make {shown(directory)}: {error.strerror}") from None


def run_mount(call: "Call", source: str, directory: str, keep: "Sequence[int]") -> None:
    """mount(8): it knows how options are spelt, and loads the filesystem's module."""
    argv = ["mount"]
    if call.values.text("fstype"):
        argv += ["-t", call.values.text("fstype")]
    if call.values.text("options"):
        argv += ["-o", call.values.text("options")]
    call.deadline.require(f"mounting {shown(source)}")
    try:
        result = run([*argv, "--", source, directory], call.deadline, keep=keep)
    except CommandMissing as error:
        raise not_here(str(error)) from None
    except CommandTimeout as error:
        raise failed(shown(str(error))) from None
    if not result.ok():
        raise failed(shown(result.describe()))


def validate(call: "Call") -> int:
    """The host checks of validate-all (level 10): source, directory, mount(8)."""
    source = source_of(call)
    problems = source.host_problems()
    directory = call.values.text("directory")

    def look() -> str:
        return "other" if os.path.exists(directory) and not os.path.isdir(directory) else ""

    try:
        if Attempts().run(f"looking at {shown(directory)}", look, call.deadline):
            problems.append(f"directory: {shown(directory)} is not a directory")
    except GivenUp as error:
        raise failed(str(error)) from None
    try:
        run(["mount", "--version"], call.deadline)
    except CommandMissing as error:
        problems.append(str(error))
    if problems:
        raise not_here("; ".join(problems))
    return codes.SUCCESS
