"""reload-agent of Filesystem: new options without an unmount, where the kernel can do that for certain.

What a mount decides for itself (ro, nodev, noatime …) is changed in place. Options of the filesystem are
not: XFS takes no notice of most of them on a remount and says nothing, so for those the resource must
be started again, which a failed reload-agent makes Pacemaker do. All other reloadable parameters are
read by each action as it comes: there is nothing to do for them.
"""

from failover_kit.agents import filesystem_lock
from failover_kit.agents.filesystem_bind import attributes_of
from failover_kit.agents.filesystem_seen import describe_state, read_record, sickness, source_of, write_record
from failover_kit.agents.filesystem_source import ATIME_FLAGS, BLOCK, MOUNT_FLAGS, kind_of, read_only, words_of
from failover_kit.kernel import mounting
from failover_kit.kernel.attempts import Attempts, GivenUp
from failover_kit.ocf import codes
from failover_kit.ocf.codes import failed
from failover_kit.spec.values import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.ocf.agent import Call

# What a mount has without words: writable, relatime, nothing forbidden (mount(2)).
_ALL = "rw,suid,dev,exec,diratime,relatime,"


def reload(call: "Call") -> int:
    filesystem_lock.take(call, make=False)
    source = source_of(call)
    seen = source.observe()
    problem = describe_state(seen, source.device)
    if problem or seen.mount is None:
        raise failed(problem or f"{shown(source.device)} is not mounted at {shown(seen.directory)}; start it")
    record = read_record(call)
    if record is None:
        raise failed("what it was mounted with is not on record, so no option can be changed; start it again")
    before = record.options
    wanted = call.values.text("options")
    if ascii(wanted) != before:
        refuse_others(before[1:-1], wanted)
        super_ro = "ro" in seen.mount.super_options
        point = seen.mount.point
        attributes, cleared = attributes_of(_ALL + ",".join(flag_words(wanted)))
        whole = kind_of(call.values) == BLOCK and super_ro != read_only(wanted)

        def work() -> str:
            if whole:
                mounting.remount(point, attributes)
            mounting.set_attributes(point, attributes, cleared)
            return ""

        try:
            Attempts().run(f"remounting {shown(point)}", work, call.deadline)
        except GivenUp as error:
            raise failed(str(error)) from None
        except OSError as error:
            raise failed(f"cannot change {shown(point)} to options '{wanted}': {error.strerror}") from None
        write_record(call, record.device, seen.mount.shows(), point)
        call.log("info", f"{shown(point)} has the options '{wanted}' now")
    source.look()
    seen = source.observe()
    problem = sickness(seen.mount, wanted, seen.table) if seen.mount is not None else "it is not mounted any more"
    if problem:
        raise failed(problem)
    return codes.SUCCESS


def flag_words(options: str) -> "list[str]":
    return [word for word in words_of(options) if word in MOUNT_FLAGS or word in ATIME_FLAGS]


def refuse_others(before: str, wanted: str) -> None:
    """AgentError when anything but attributes of the mount differs."""
    old, new = set(words_of(before)), set(words_of(wanted))
    strange = sorted(word for word in old ^ new if word not in MOUNT_FLAGS and word not in ATIME_FLAGS)
    if strange:
        raise failed(f"options: {', '.join(strange)} cannot be changed while it is mounted; start it again")
