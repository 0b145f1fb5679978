"""Starting a Filesystem: find the device, see that nobody has it, mount, look again."""

import os
import time

from failover_kit.agents import filesystem
from failover_kit.kernel import blockdev
from failover_kit.kernel.attempts import Attempts, GivenUp, loop_deadline
from failover_kit.ocf import codes
from failover_kit.ocf.codes import AgentError, failed, not_here
from failover_kit.spec.process import CommandMissing, CommandTimeout, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.kernel.blockdev import Tag
    from failover_kit.ocf.agent import Call
    from failover_kit.spec.deadline import Deadline

_DEVICE_POLL_S = 0.1
# A mount namespace that is just being torn down (a killed container) lets go within milliseconds; a
# filesystem that is really in use elsewhere does not within seconds.
IN_USE_WAIT_MS = 3000
_IN_USE_POLL_S = 0.02


def start(call: "Call") -> int:
    """Mount the filesystem, or find that it is mounted already."""
    device = call.values.text("device")
    seen = filesystem.observe(call)
    problem = filesystem.describe_state(seen, device)
    if problem:
        raise failed(problem)
    if seen.foreign is not None:
        raise failed(f"{seen.foreign.source} is mounted at {seen.directory}; unmount it, or use another directory")
    if seen.mount is not None:
        return _judge_mounted(call)
    attempts = Attempts()
    tag = blockdev.parse_tag(device)
    path = await_device(tag, attempts, call.deadline)
    try:
        await_unused(path, attempts, call.deadline)
        make_directory(seen.directory)
        record(call, path)
        mount(call, path, seen.directory)
    except AgentError:
        if filesystem.observe(call).mount is None:
            raise
        # Another start of the same resource was faster: what counts is what is there now.
    result = _judge_mounted(call)
    call.log("info", f"{path} is mounted at {seen.directory}")
    return result


def _judge_mounted(call: "Call") -> int:
    seen = filesystem.observe(call)
    if seen.mount is None:
        raise failed(f"{call.values.text('device')} was mounted at {seen.directory} and is not there")
    problem = filesystem.sickness(seen.mount, call.values.text("options"), seen.table)
    if problem:
        raise failed(problem)
    return codes.SUCCESS


def await_device(tag: "Tag", attempts: Attempts, deadline: "Deadline") -> str:
    """The device node, waited for until the deadline: disks of a network come late at boot."""
    waiting = loop_deadline(deadline)
    while True:
        path = find_device(tag, attempts, deadline)
        if path:
            return path
        if waiting.expired():
            waited_s = f"{waiting.total_ms / 1000:g}"
            raise not_here(f"device: {_named(tag)} did not appear on this node within {waited_s} s")
        time.sleep(min(_DEVICE_POLL_S, waiting.left_s()))


def find_device(tag: "Tag", attempts: Attempts, deadline: "Deadline") -> str:
    """The device node now; "" when it is not there (yet). Two with the same UUID or label are an error."""
    if tag.kind == "path":
        try:
            blockdev.number_of(tag.value)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise not_here(f"device: {error.strerror}") from None
        return tag.value
    found = search(tag, attempts, deadline)
    if len(found) > 1:
        raise not_here(f"device: {_named(tag)} is on {' and '.join(found)}; give the path of the right one")
    return found[0] if found else ""


def search(tag: "Tag", attempts: Attempts, deadline: "Deadline") -> "list[str]":
    """Every node that carries the UUID or label, read in a child for disks that do not answer."""
    try:
        text = attempts.run(f"looking for {_named(tag)}", lambda: "\n".join(blockdev.search(tag)), deadline)
    except GivenUp as error:
        raise failed(f"device: {error}") from None
    return text.split("\n") if text else []


def _named(tag: "Tag") -> str:
    return tag.value if tag.kind == "path" else f"{tag.kind.upper()}={tag.value}"


def await_unused(path: str, attempts: Attempts, deadline: "Deadline") -> None:
    """Refuse a device that somebody else has open: our stop could never be a proof for it."""
    patience = loop_deadline(deadline).at_most(IN_USE_WAIT_MS)
    device = filesystem.known_number(blockdev.Tag("path", path))
    while True:
        try:
            if attempts.run(f"opening {path}", lambda: str(int(blockdev.is_free(path, device))), deadline) == "1":
                return
        except GivenUp as error:
            raise failed(str(error)) from None
        if patience.expired():
            raise failed(
                f"{path} is in use: mounted in another namespace of this machine, part of an array, or being"
                " checked; not mounted"
            )
        time.sleep(_IN_USE_POLL_S)


def make_directory(directory: str) -> None:
    try:
        os.makedirs(directory, mode=0o755, exist_ok=True)
    except FileExistsError:
        raise not_here(f"directory: {directory} is not a directory") from None
    except OSError as error:
        raise not_here(f"directory: cannot make {directory}: {error.strerror}") from None


def record(call: "Call", path: str) -> None:
    """Write down which device the setting means now, for monitors: they read no disk."""
    number = blockdev.number_of(path)
    text = f"{call.values.text('device')} {os.major(number)}:{os.minor(number)}\n"
    call.write_state(filesystem.record_name(call), text)


def mount(call: "Call", path: str, directory: str) -> None:
    """mount(8): it knows how options are spelt, and loads the filesystem's module."""
    argv = ["mount"]
    if call.values.text("fstype"):
        argv += ["-t", call.values.text("fstype")]
    if call.values.text("options"):
        argv += ["-o", call.values.text("options")]
    call.deadline.require(f"mounting {path}")
    try:
        result = run([*argv, "--", path, directory], call.deadline)
    except CommandMissing as error:
        raise not_here(str(error)) from None
    except CommandTimeout as error:
        raise failed(str(error)) from None
    if not result.ok():
        raise failed(result.describe())


def validate(call: "Call") -> int:
    """The host checks of validate-all (level 10): device, directory, type, mount(8)."""
    tag = blockdev.parse_tag(call.values.text("device"))
    problems = []
    if not find_device(tag, Attempts(), call.deadline):
        problems.append(f"device: {_named(tag)} is not on this node")
    directory = call.values.text("directory")
    if os.path.exists(directory) and not os.path.isdir(directory):
        problems.append(f"directory: {directory} is not a directory")
    fstype = call.values.text("fstype")
    if fstype and not type_available(fstype):
        problems.append(f"fstype: the kernel has no {fstype}, and there is no module for it")
    try:
        run(["mount", "--version"], call.deadline)
    except CommandMissing as error:
        problems.append(str(error))
    if problems:
        raise not_here("; ".join(problems))
    return codes.SUCCESS


def type_available(fstype: str) -> bool:
    """Whether the kernel knows the type, or modprobe(8) could teach it."""
    with open("/proc/filesystems", encoding="ascii") as file:
        if fstype in file.read().split():
            return True
    release = os.uname().release
    for listing in ("modules.dep", "modules.builtin"):
        try:
            with open(f"/lib/modules/{release}/{listing}", encoding="ascii") as file:
                if any(f"/{fstype}.ko" in line.partition(":")[0] for line in file):
                    return True
        except OSError:
            pass
    return False
