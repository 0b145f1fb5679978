"""Starting nfsserver: memory first, helpers second, threads last.

mountd must listen before the first thread runs: until it does clients wait, and may be told "stale" where nobody
ever opened the export caches (cache_listeners_exist() in net/sunrpc/cache.c). nfsdcld must, too, or the
kernel turns to another way of remembering clients for as long as it runs.
"""

import os

from failover_kit.agents import nfs_units, nfsserver, nfsserver_state
from failover_kit.agents import nfsserver_helpers as helpers
from failover_kit.agents.nfsserver import STATE
from failover_kit.kernel import mounting, mounts, nfsd
from failover_kit.kernel.attempts import Attempts, GivenUp
from failover_kit.ocf import codes
from failover_kit.ocf.codes import AgentError, failed, not_here
from failover_kit.spec.process import CLEAN_ENV, CommandMissing, CommandResult, CommandTimeout, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from failover_kit.ocf.agent import Call

_PIPEFS = f"{STATE}/rpc_pipefs"  # of nfs-utils, where /etc/nfs.conf says nothing else
_TOOL_MS = 20_000
_SERVER_UNITS = (
    "nfs-server.service",
    "nfs-mountd.service",
    "nfs-idmapd.service",
    "nfsdcld.service",
    "fsidd.service",
    "rpc-statd.service",
    "rpc-statd-notify.service",
)


def start(call: "Call") -> int:
    """Start everything, or find it running. What a killed start left, or what runs on its own, is ended first."""
    infodir = call.values.text("nfs_shared_infodir")
    seen = nfsserver.observe(call)
    if seen.anything() and not seen.problems(bool(infodir)):
        return codes.SUCCESS
    refuse_clones(call)
    check_host(call)
    if infodir:
        in_child(call, f"looking at {infodir}", lambda: nfsserver_state.require_shared(infodir))
    from failover_kit.agents.nfsserver_stop import end_all

    nfs_units.stop(call, _SERVER_UNITS)
    end_all(call, statd=True)
    prepare_kernel(call)
    statd = nfsserver_state.local_statd()
    record = nfsserver.Record([], complete=False)
    nfsserver.write_record(call, record)
    scope, number = prepare_state(call, statd)
    start_helpers(call, record)
    from failover_kit.agents.nfsserver_threads import start_threads

    start_threads(call, scope)
    if v3(call) and not call.values.flag("nfs_no_notify"):
        from failover_kit.agents.nfsserver_notify import begin

        begin(call, number)
    record.complete = True
    nfsserver.write_record(call, record)
    missing = nfsserver.observe(call).problems(bool(infodir))
    if missing:
        raise failed("; ".join(missing))
    call.log("info", f"the NFS server runs with {nfsd.threads()} threads")
    return codes.SUCCESS


def v3(call: "Call") -> bool:
    """Whether NFSv3, and with it rpcbind, statd and the MOUNT protocol, is wanted."""
    if call.values.flag("nfsv4_only"):
        return False
    versions = call.values.text("versions").split()
    return not versions or "3" in versions


def labels(call: "Call") -> "list[str]":
    """One name for each address that tells clients; "default" when the host's own does."""
    return call.values.text("nfs_ip").split() or ["default"]


def validate(call: "Call") -> int:
    """The host checks of validate-all (level 10)."""
    refuse_clones(call)
    check_host(call)
    return codes.SUCCESS


def refuse_clones(call: "Call") -> None:
    clones = call.meta("clone_max")
    if clones.isdigit() and int(clones) > 1 and call.values.text("nfs_shared_infodir"):
        fact = f"nfs_shared_infodir: as a clone {clones} servers would write to it at once"
        raise AgentError(codes.ERR_CONFIGURED, f"{fact}; make it a plain resource, or leave the directory out")


def check_host(call: "Call") -> None:
    """What this node must have: all that is missing in one sentence, exit 5."""
    wanted = ["rpc.nfsd", "rpc.mountd", "exportfs"]
    if v3(call):
        wanted.append("rpc.statd")
    missing = [name for name in wanted if not program(name)]
    if missing:
        raise not_here(f"{', '.join(missing)} not found; install nfs-kernel-server (nfs-utils)")


def program(name: str) -> str:
    """Its path, "" when this node has none."""
    for directory in CLEAN_ENV["PATH"].split(":"):
        if os.access(f"{directory}/{name}", os.X_OK):
            return f"{directory}/{name}"
    return ""


def tool(call: "Call", argv: "list[str]") -> CommandResult:
    """Run a tool that does one thing and ends."""
    try:
        return run(argv, call.deadline.at_most(_TOOL_MS))
    except CommandMissing as error:
        raise not_here(str(error)) from None
    except CommandTimeout as error:
        raise failed(str(error)) from None


def in_child(call: "Call", what: str, work: "Callable[[], str]") -> str:
    """Do something on the shared disk where it may hang without us; AgentErrors come through as they are."""

    def guarded() -> str:
        try:
            return f"0 {work()}"
        except AgentError as error:
            return f"{error.code} {error}"
        except OSError as error:
            return f"1 {what}: {error}"

    try:
        code, _, text = Attempts().run(what, guarded, call.deadline).partition(" ")
    except GivenUp as error:
        raise failed(str(error)) from None
    except OSError as error:
        raise failed(f"{what}: {error.strerror}") from None
    if code != "0":
        raise AgentError(int(code), text)
    return text


def prepare_kernel(call: "Call") -> None:
    """nfsd loaded, its filesystem and rpc_pipefs' in place."""
    if not nfsd.available():
        result = tool(call, ["modprobe", "nfsd"])
        if not result.ok() or not nfsd.available():
            raise not_here(f"this kernel has no NFS server: {result.describe()}")
    if not nfsd.mounted():
        nfsd.mount()


def prepare_state(call: "Call", statd: "nfsserver_state.Statd") -> "tuple[str, int]":
    """The state directory as the daemons shall find it.

    Returns the server's name for NFSv4 clients ("": the host's) and the number NFSv3 clients are told.
    """
    infodir = call.values.text("nfs_shared_infodir")
    root = infodir or STATE
    notify = v3(call) and not call.values.flag("nfs_no_notify")
    wanted_scope = call.values.text("nfs_server_scope")

    def work() -> str:
        nfsserver_state.complete(root, statd)
        number = nfsserver_state.prepare_notification(root, statd, labels(call)) if notify else 0
        nfsserver_state.empty_exports(root)
        found = wanted_scope
        if infodir:
            found = found or nfsserver_state.scope(root)
            mounting.bind(root, STATE)
        return f"{number} {found}"

    number, _, scope = in_child(call, f"preparing {root}", work).partition(" ")
    return scope, int(number)


def start_helpers(call: "Call", record: "nfsserver.Record") -> None:
    """nfsdcld, idmapd, statd, exports, mountd: all that the first thread may ask for."""
    pipefs = mount_pipefs(call)
    if program(helpers.CLD):
        argv = [helpers.CLD, "-p", pipefs, "-s", f"{STATE}/nfsdcld"]
        helpers.start(call, record, helpers.CLD, argv)
    else:
        call.log("warning", "nfsdcld is not installed: the kernel may not know which NFSv4 clients may reclaim")
    if program(helpers.IDMAPD):
        found = helpers.leaders(helpers.IDMAPD)
        if not found:
            helpers.start(call, record, helpers.IDMAPD, [helpers.IDMAPD, "-p", pipefs])
    if v3(call):
        from failover_kit.agents.nfs_rpcbind import require

        require(call)
        ports = option(call, "--port", "statd_port") + option(call, "--outgoing-port", "statd_outgoing_port")
        helpers.start(call, record, helpers.STATD, [helpers.STATD, "--no-notify", *ports])
    exported = tool(call, ["exportfs", "-r"])
    if not exported.ok():
        call.log("warning", f"not everything in /etc/exports is exported: {exported.describe()}")
    only_v4 = [] if v3(call) else ["--no-nfs-version", "2", "--no-nfs-version", "3"]
    port = option(call, "--port", "mountd_port")
    helpers.start(call, record, helpers.MOUNTD, [helpers.MOUNTD, *only_v4, *port])


def option(call: "Call", word: str, parameter: str) -> "list[str]":
    """A port for a daemon; nothing where /etc/nfs.conf or chance decides."""
    port = call.values.number(parameter)
    return [word, str(port)] if port else []


def mount_pipefs(call: "Call") -> str:
    """Where rpc_pipefs is mounted, after mounting it if need be."""
    table = mounts.table()
    wanted = call.values.text("rpcpipefs_dir")
    if not wanted:
        known = [mount for mount in table.all() if mount.fstype == "rpc_pipefs" and table.at(mount.point)]
        seen = [mount.point for mount in known if table.covered_by(mount) is None]
        if seen:
            return seen[0]
        wanted = _configured_pipefs(call)
    found = table.at(wanted)
    if found is None or found.fstype != "rpc_pipefs":

        def work() -> str:
            os.makedirs(wanted, exist_ok=True)
            mounting.mount("rpc_pipefs", wanted, "rpc_pipefs")
            return ""

        in_child(call, f"mounting rpc_pipefs at {wanted}", work)
    return wanted


def _configured_pipefs(call: "Call") -> str:
    if not program("nfsconf"):
        return _PIPEFS
    answer = tool(call, ["nfsconf", "--get", "general", "pipefs-directory"])
    word = answer.stdout.strip()
    return word if answer.ok() and word.startswith("/") else _PIPEFS
