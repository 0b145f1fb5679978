"""nfsserver: the kernel's NFS server with its helpers, and its memory on the shared disk.

Declarations, what is seen, and monitor. Starting, stopping, the helpers, the directory on the shared disk
and the notification of clients have modules of their own (``nfsserver_*``), which no monitor imports.

Running means: the server has threads, the state directory is in place, and every helper that start put on
record is alive. Stopped means that none of these is there. In between is a failure: a server without
mountd lets clients wait, and one without statd loses locks at the next move.
"""

from failover_kit.kernel import mounts, nfsd, processes
from failover_kit.ocf import codes
from failover_kit.ocf.agent import Agent
from failover_kit.ocf.codes import failed
from failover_kit.spec.parameter import Action, Parameter
from failover_kit.spec.values import check_address, check_boolean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from failover_kit.kernel.mounts import MountTable
    from failover_kit.ocf.agent import Call
    from failover_kit.spec.parameter import Values

# Where nfs-utils keep what they know: a compile-time constant of theirs on every distribution we know.
STATE = "/var/lib/nfs"
VERSIONS = ("3", "4", "4.0", "4.1", "4.2")
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_RECORD = "helpers"
_COMPLETE = "complete"
_PORTS = {
    "lockd_tcp_port": "lockd over TCP",
    "lockd_udp_port": "lockd over UDP",
    "mountd_port": "rpc.mountd",
    "statd_port": "rpc.statd",
    "statd_outgoing_port": "rpc.statd, to send from",
}
_NO_SCRIPT = "is not used: this agent runs the server and its daemons itself; leave it out"
_NO_ARGUMENTS = "is not taken: say it with threads, versions, lease_time and grace_time, or in /etc/nfs.conf"
_NO_RQUOTAD = "is not taken: this agent does not run rpc.rquotad; set its port where that is started"


def check_addresses(text: str) -> str:
    """IPv4 and IPv6 addresses, separated by commas or blanks; in the result by one blank."""
    words = text.replace(",", " ").split()
    if not words:
        raise ValueError("names no address; write it like 192.0.2.10,192.0.2.11")
    return " ".join(dict.fromkeys(map(check_address, words)))


def check_versions(text: str) -> str:
    words = text.replace(",", " ").split()
    wrong = [word for word in words if word not in VERSIONS]
    if wrong or not words:
        raise ValueError(f"is not a list out of {', '.join(VERSIONS)}")
    return " ".join(words)


def check_scope(text: str) -> str:
    """It becomes the host name of a UTS namespace for a moment: __NEW_UTS_LEN is 64."""
    if len(text) > 64 or any(sign.isspace() for sign in text) or not text.isascii():
        raise ValueError("is not a name of up to 64 ASCII characters without blanks")
    return text


def refused(why: str) -> "Callable[[str], str]":
    """For what ClusterLabs' agent can be told and this one cannot do: said, rather than passed over."""

    def check(_: str) -> str:
        raise ValueError(why)

    return check


def check_background(text: str) -> bool:
    if check_boolean(text):
        raise ValueError("is not possible: the addresses to tell clients from come after it; leave it out")
    return False


def consistency(values: "Values") -> "list[str]":
    """What is wrong between parameters."""
    wrong = []
    if values.flag("nfsv4_only") and "3" in values.text("versions").split():
        wrong.append("versions: has 3, and nfsv4_only forbids it; take one of them away")
    port = values.number("statd_port")
    if port and port == values.number("statd_outgoing_port"):
        wrong.append(f"statd_outgoing_port: {port} is statd_port, too; rpc.statd needs two different ones")
    return wrong


class Helper:
    """A daemon that start put on record: its name and the process it was."""

    __slots__ = ("name", "pid", "start_ticks")

    def __init__(self, name: str, pid: int, start_ticks: int) -> None:
        self.name = name
        self.pid = pid
        self.start_ticks = start_ticks

    def alive(self) -> bool:
        """Whether that process lives, or another one of the same name took its place (restarted by hand)."""
        state = processes.status(self.pid)
        if state is not None and state.start_ticks == self.start_ticks and state.state not in "ZX":
            return True
        return bool(processes.named(self.name))


class Record:
    """What start wrote down so far; ``complete`` when it came to its end."""

    __slots__ = ("complete", "helpers")

    def __init__(self, helpers: "list[Helper]", complete: bool) -> None:
        self.helpers = helpers
        self.complete = complete


def boot_id() -> str:
    with open(_BOOT_ID, encoding="ascii") as file:
        return file.read().strip()


def record_path(call: "Call") -> str:
    return call.state_path(_RECORD)


def read_record(call: "Call") -> "Record | None":
    """The record of this boot; None when there is none (or only one that cannot be read)."""
    try:
        with open(record_path(call), encoding="ascii", errors="replace") as file:
            boot, *lines = file.read().splitlines()
        if boot != boot_id():
            return None
        found = [line.split() for line in lines if line != _COMPLETE]
        helpers = [Helper(name, int(pid), int(ticks)) for name, pid, ticks in found]
    except (FileNotFoundError, ValueError):
        return None
    return Record(helpers, _COMPLETE in lines)


def write_record(call: "Call", record: Record) -> None:
    lines = [boot_id(), *(f"{helper.name} {helper.pid} {helper.start_ticks}" for helper in record.helpers)]
    if record.complete:
        lines.append(_COMPLETE)
    call.write_state(_RECORD, "\n".join(lines) + "\n")


def remove_record(call: "Call") -> None:
    call.remove_state(_RECORD)


class Observation:
    """What is there of the service. ``bound``: the shared directory lies over the state directory."""

    __slots__ = ("alive", "bound", "dead", "record", "threads")

    def __init__(self, threads: int, bound: bool, record: "Record | None") -> None:
        self.threads = threads
        self.bound = bound
        self.record = record
        helpers = record.helpers if record else []
        self.alive = [helper for helper in helpers if helper.alive()]
        self.dead = [helper for helper in helpers if helper not in self.alive]

    def anything(self) -> bool:
        return bool(self.threads or self.bound or self.alive)

    def problems(self, wants_bind: bool) -> "list[str]":
        """What is missing for "running", one sentence each."""
        found = []
        if not self.threads:
            found.append("the kernel's NFS server has no threads")
        if wants_bind and not self.bound:
            found.append(f"nfs_shared_infodir is not mounted over {STATE}")
        if self.record is None:
            found.append("it was not started by this resource in this boot; stop it first")
        elif not self.record.complete:
            found.append("its start was interrupted; stop it first")
        found += [f"{helper.name} (pid {helper.pid}) has died" for helper in self.dead]
        return found


def is_bound(infodir: str, table: "MountTable") -> bool:
    """Whether what one sees at STATE is the directory ``infodir``, by the mount table alone: no disk is asked."""
    top = table.at(STATE)
    if top is None:
        return False
    directory = mounts.real_path(infodir, table)
    if top.root.endswith("/" + directory.rpartition("/")[2]):
        # Also when the shared filesystem itself is no longer mounted where it was: this keeps it alive.
        return True
    place = directory
    while True:
        holder = table.at(place or "/")
        if holder is not None:
            root = holder.root.rstrip("/") + directory[len(place) :]
            return (top.device, top.root) == (holder.device, root or "/")
        if not place:
            return False
        place = place.rpartition("/")[0]


def observe(call: "Call") -> Observation:
    infodir = call.values.text("nfs_shared_infodir")
    bound = is_bound(infodir, mounts.table(STATE)) if infodir else False
    return Observation(nfsd.threads(), bound, read_record(call))


def monitor(call: "Call") -> int:
    """Kernel files and one record; no child process, nothing that waits for a disk. Depth 10 asks the server."""
    seen = observe(call)
    if not seen.anything():
        return codes.NOT_RUNNING
    problems = seen.problems(bool(call.values.text("nfs_shared_infodir")))
    if problems:
        raise failed("; ".join(problems))
    if call.level >= 10:
        from failover_kit.agents.nfsserver_probe import ask

        ask(call)
    return codes.SUCCESS


def start(call: "Call") -> int:
    from failover_kit.agents.nfsserver_start import start

    return start(call)


def stop(call: "Call") -> int:
    from failover_kit.agents.nfsserver_stop import stop

    return stop(call)


def reload_agent(call: "Call") -> int:
    from failover_kit.agents.nfsserver_threads import reload_agent

    return reload_agent(call)


def validate(call: "Call") -> int:
    from failover_kit.agents.nfsserver_start import validate

    return validate(call)


AGENT = Agent(
    "nfsserver",
    version="0.1",
    shortdesc="Manages the kernel's NFS server, its state on a shared disk",
    text_module="failover_kit.agents.nfsserver_text",
    parameters=(
        Parameter("nfs_shared_infodir", kind="path", unique_group="infodir", shortdesc="State directory"),
        Parameter("nfs_ip", check=check_addresses, shortdesc="Addresses clients mount by"),
        Parameter("nfs_no_notify", kind="boolean", default="no", shortdesc="Tell no client to reclaim locks"),
        Parameter(
            "nfs_smnotify_retry_time",
            kind="integer",
            reloadable=True,
            minimum=1,
            maximum=1440,
            unit="minutes",
            shortdesc="How long to notify",
        ),
        Parameter("nfs_server_scope", check=check_scope, shortdesc="NFSv4 server scope"),
        Parameter("nfsv4_only", kind="boolean", default="no", shortdesc="Serve NFSv4 alone"),
        Parameter("versions", check=check_versions, shortdesc="Protocol versions to serve"),
        Parameter(
            "threads",
            kind="integer",
            reloadable=True,
            minimum=1,
            maximum=4096,
            shortdesc="Number of server threads",
        ),
        Parameter(
            "lease_time", kind="integer", minimum=10, maximum=3600, unit="seconds", shortdesc="NFSv4 lease"
        ),
        Parameter(
            "grace_time", kind="integer", minimum=10, maximum=240, unit="seconds", shortdesc="Grace period"
        ),
        Parameter("rpcpipefs_dir", kind="path", shortdesc="Where rpc_pipefs is mounted"),
        *(
            Parameter(name, kind="integer", minimum=1, maximum=65535, shortdesc=f"Port of {whose}")
            for name, whose in _PORTS.items()
        ),
        Parameter("nfs_init_script", check=refused(_NO_SCRIPT), shortdesc="Refused"),
        Parameter("nfsd_args", check=refused(_NO_ARGUMENTS), shortdesc="Refused"),
        Parameter("rquotad_port", check=refused(_NO_RQUOTAD), shortdesc="Refused"),
        Parameter("nfs_notify_foreground", check=check_background, default="no", shortdesc="Only as no"),
    ),
    actions=(
        Action("start", 60),
        Action("stop", 60),
        Action("monitor", 20, interval_s=10, depth=0),
        Action("monitor", 20, interval_s=60, depth=10),
        Action("reload-agent", 20),
        Action("validate-all", 30),
        Action("meta-data", 5),
    ),
    handlers={
        "start": start,
        "stop": stop,
        "monitor": monitor,
        "reload-agent": reload_agent,
        "validate-all": validate,
    },
    positional=("nfs_shared_infodir", "nfs_ip"),
    consistency=consistency,
)
