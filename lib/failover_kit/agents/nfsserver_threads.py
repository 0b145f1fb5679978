"""nfsserver's threads: what rpc.nfsd is asked for, what the kernel made of it, and a change while it serves."""

import os

from failover_kit.agents import nfsserver, nfsserver_state
from failover_kit.agents.nfsserver_start import in_child
from failover_kit.kernel import nfsd
from failover_kit.kernel.attempts import loop_deadline
from failover_kit.ocf import codes
from failover_kit.ocf.codes import failed
from failover_kit.spec.process import CommandMissing, CommandTimeout, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.ocf.agent import Call

_CLONE_NEWUTS = 0x04000000  # linux/sched.h
_MINORS = ("4.0", "4.1", "4.2")


def arguments(call: "Call") -> "list[str]":
    """rpc.nfsd with what was declared; /etc/nfs.conf decides the rest."""
    argv = ["rpc.nfsd"]
    for version, on in wanted_versions(call).items():
        argv += ["--nfs-version" if on else "--no-nfs-version", version]
    for option, seconds in wanted_seconds(call).values():
        argv += [option, str(seconds)]
    if call.values.given("threads"):
        argv.append(str(call.values.number("threads")))
    return argv


def wanted_versions(call: "Call") -> "dict[str, bool]":
    """Which versions shall be on and which off; those that are not in it are for /etc/nfs.conf to say."""
    words = call.values.text("versions").split()
    found = {}
    if words:
        minors = [minor for minor in _MINORS if "4" in words or minor in words]
        found = {"3": "3" in words, "4": bool(minors)}
        found.update({minor: minor in minors for minor in _MINORS if minors})
    if call.values.flag("nfsv4_only"):
        found["3"] = False
    return found


def wanted_seconds(call: "Call") -> "dict[str, tuple[str, int]]":
    """Declared times by their file in /proc/fs/nfsd: the option of rpc.nfsd, and seconds."""
    lease, grace = call.values.number("lease_time"), call.values.number("grace_time")
    found = {"nfsv4leasetime": ("--lease-time", lease)} if lease else {}
    if grace or lease:
        found["nfsv4gracetime"] = ("--grace-time", max(grace, lease))
    return found


def set_lockd_ports(call: "Call") -> None:
    """Where lockd listens; it looks there when it starts, which is with the first thread (fs/lockd/svc.c)."""
    for transport in ("tcp", "udp"):
        port = call.values.number(f"lockd_{transport}_port")
        if port:
            with open(f"/proc/sys/fs/nfs/nlm_{transport}port", "w", encoding="ascii") as file:
                file.write(f"{port}\n")


def verify(call: "Call") -> None:
    """Hold what the kernel now has against what was declared; AgentError with all that differs.

    rpc.nfsd exits 0 when the kernel did not take a setting, for which it is too late once threads run.
    """
    wrong = []
    count = call.values.number("threads")
    if call.values.given("threads") and nfsd.threads() != count:
        wrong.append(f"{nfsd.threads()} threads instead of {count}")
    there = nfsd.versions()
    for version, on in wanted_versions(call).items():
        # A kernel built without a minor version that only "4" asked for serves those it has.
        if there.get(version, on and version not in call.values.text("versions").split()) != on:
            wrong.append(f"version {version} is {'not ' if on else ''}served")
    for name, (_, seconds) in wanted_seconds(call).items():
        if nfsd.seconds(name) != seconds:
            wrong.append(f"{name} is {nfsd.seconds(name)} s instead of {seconds} s")
    if wrong:
        raise failed(f"the NFS server did not become what was declared: {', '.join(wrong)} (see {nfsd.ROOT})")


def start_threads(call: "Call", scope: str) -> None:
    """rpc.nfsd, with the host name set to the server's scope for as long as it takes.

    The kernel calls the server what the host of the process is called that starts its threads (nfsd_svc()
    in fs/nfsd/nfssvc.c); so that process gets a UTS namespace, and the host keeps its name.
    """
    argv = arguments(call)
    set_lockd_ports(call)

    def work() -> str:
        if scope:
            _rename_host(scope)
        try:
            result = run(argv, loop_deadline(call.deadline))
        except (CommandMissing, CommandTimeout) as error:
            raise failed(str(error)) from None
        if not result.ok():
            raise failed(f"{result.describe()}; see dmesg")
        return ""

    in_child(call, "starting the NFS server's threads", work)
    if not nfsd.running():
        raise failed("rpc.nfsd succeeded, but the NFS server has no threads; see dmesg")
    verify(call)


def reload_agent(call: "Call") -> int:
    """The number of threads, changed while they serve.

    In the same UTS namespace as at the start: whoever writes ``threads`` gives the server its name anew.
    """
    infodir = call.values.text("nfs_shared_infodir")
    seen = nfsserver.observe(call)
    if not seen.anything():
        return codes.NOT_RUNNING
    problems = seen.problems(bool(infodir))
    if problems:
        raise failed("; ".join(problems))
    count = call.values.number("threads")
    wanted_scope = call.values.text("nfs_server_scope")

    def work() -> str:
        name = wanted_scope or (nfsserver_state.scope(infodir) if infodir else "")
        if name:
            _rename_host(name)
        nfsd.set_threads(count)
        return ""

    if call.values.given("threads") and nfsd.threads() != count:
        in_child(call, f"changing the number of threads to {count}", work)
        verify(call)
    return codes.SUCCESS


def _rename_host(name: str) -> None:
    import ctypes
    import socket

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUTS) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"a UTS namespace for the server scope: {os.strerror(number)}")
    socket.sethostname(name)
