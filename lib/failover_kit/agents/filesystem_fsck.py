"""fsck before the mount: for what has no journal, or when it was asked for (run_fsck)."""

from failover_kit.kernel import blockdev
from failover_kit.kernel.attempts import GivenUp
from failover_kit.ocf.codes import failed, not_here
from failover_kit.spec.process import CommandMissing, CommandTimeout, run
from failover_kit.spec.values import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.kernel.attempts import Attempts
    from failover_kit.ocf.agent import Call

# fsck(8): 1 errors corrected, 2 system should be rebooted, 4 errors left uncorrected, 8 and up trouble.
_UNCORRECTED = 4


def check(call: "Call", path: str, attempts: "Attempts", lock: int) -> None:
    """Check ``path`` as run_fsck says; AgentError when it is not to be mounted.

    auto asks the superblock and not fstype: an ext4 can be made without a journal. A journal is replayed
    by the mount, and fsck of a big disk can take hours of a takeover.
    """
    wish = call.values.text("run_fsck")
    if wish == "no":
        return
    try:
        kind = attempts.run(f"reading the superblock of {shown(path)}", lambda: _what(path), call.deadline)
    except GivenUp as error:
        raise failed(str(error)) from None
    except OSError as error:
        raise failed(f"cannot read {shown(path)}: {error.strerror}; see dmesg") from None
    if wish == "auto" and kind != "ext without journal":
        return
    fstype = call.values.text("fstype") or ("xfs" if kind == "xfs" else "ext4")
    call.log("info", f"checking {shown(path)} with fsck.{fstype}")
    try:
        result = run([f"fsck.{fstype}", "-p", path], call.deadline, keep=(lock,))
    except CommandMissing as error:
        raise not_here(f"run_fsck: {error}") from None
    except CommandTimeout as error:
        raise failed(f"{shown(str(error))}; give start more time, or check it by hand") from None
    if not 0 <= result.code < _UNCORRECTED:
        raise failed(f"not mounted, {shown(result.describe())}; check it by hand")


def _what(path: str) -> str:
    if blockdev.lacks_journal(path):
        return "ext without journal"
    found = blockdev.read_superblock(path)
    return found[0] if found else ""
