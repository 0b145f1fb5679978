"""killnfsd: ends the kernel's NFS server, on start and on stop. What it is for stands in ``killnfsd_text``.

"Started" means: this agent has cleared the node for the services that follow it, in this boot. The server
may run again, that is what the next resource is for; so the state is a marker file, and only start and
stop ever touch the server. start writes the marker last, stop removes it last: whenever either of them is
killed, the action that follows does all of it again.
"""

from failover_kit.kernel import nfsd
from failover_kit.ocf import codes
from failover_kit.ocf.agent import Agent
from failover_kit.ocf.codes import failed
from failover_kit.spec.parameter import Action, Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.ocf.agent import Call

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_MARKER = "cleared"


def boot_id() -> str:
    with open(_BOOT_ID, encoding="ascii") as file:
        return file.read().strip()


def started(call: "Call") -> bool:
    """Whether the marker of this boot is there: the directory may, wrongly, be on a disk."""
    try:
        with open(call.state_path(_MARKER), encoding="ascii", errors="replace") as file:
            return file.read().strip() == boot_id()
    except FileNotFoundError:
        return False


def monitor(call: "Call") -> int:
    """Reads one small file."""
    return codes.SUCCESS if started(call) else codes.NOT_RUNNING


def start(call: "Call") -> int:
    """End a stale server, unless this has been done: the one that runs now is then the service itself."""
    if started(call):
        return codes.SUCCESS
    end_server(call)
    call.write_state(_MARKER, boot_id() + "\n")
    return codes.SUCCESS


def stop(call: "Call") -> int:
    """End the server, marker or not: what is unmounted next must not be held by it."""
    end_server(call)
    call.remove_state(_MARKER)
    return codes.SUCCESS


def end_server(call: "Call") -> None:
    """systemd's unit first, then all threads, then what the export caches hold busy."""
    from failover_kit.agents import nfs_units
    from failover_kit.kernel.attempts import Attempts, GivenUp

    nfs_units.stop(call, [call.values.text("unit")])
    attempts = Attempts()
    before = nfsd.threads()
    try:
        if nfsd.end(attempts, call.deadline):
            call.log("info", f"ended the NFS server, {before} threads")
    except GivenUp as error:
        raise failed(f"{error}; see the processes named nfsd in state D, and the disk they wait for") from None
    nfsd.flush_exports()
    late = attempts.leftovers()
    if late:
        raise failed(f"still running and not to be stopped: {'; '.join(late)}")


AGENT = Agent(
    "killnfsd",
    version="0.1",
    shortdesc="Ends the kernel's NFS server before it is started and before its disk is unmounted",
    text_module="failover_kit.agents.killnfsd_text",
    parameters=(
        Parameter("unit", kind="filename", default="nfs-server.service", shortdesc="systemd unit stopped first"),
    ),
    actions=(
        Action("start", 40),
        Action("stop", 40),
        Action("monitor", 20, interval_s=10, depth=0),
        Action("validate-all", 20),
        Action("meta-data", 5),
    ),
    handlers={"start": start, "stop": stop, "monitor": monitor},
    positional=(),
)
