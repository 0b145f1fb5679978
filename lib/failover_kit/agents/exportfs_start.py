"""Starting exports: ask exportfs(8), then believe etab, not its exit code."""

import os

from failover_kit.agents import exportfs
from failover_kit.agents.exportfs import Pair, Record
from failover_kit.kernel import exports, mounts
from failover_kit.kernel.attempts import Attempts, GivenUp
from failover_kit.kernel.exports_cache import is_directory
from failover_kit.ocf import codes
from failover_kit.ocf.codes import AgentError, failed, not_here
from failover_kit.spec.deadline import DeadlineExpired
from failover_kit.spec.process import CommandMissing, CommandTimeout, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.ocf.agent import Call
    from failover_kit.spec.deadline import Deadline

# A name server on the local network answers at once; the rest of the time is for what must be done.
_NAME_MS = 10_000


def start(call: "Call") -> int:
    """Export what is not exported as declared, and record what became of it."""
    attempts = Attempts()
    for pair, record, state in exportfs.observe(call):
        if state.exported and not state.problem:
            continue
        if state.exported and record and not same_place(record):
            # Its clients hold handles into another filesystem: that is for a stop to clear, not for us.
            raise failed(state.problem)
        export(call, pair, attempts)
    problems = [
        state.problem or f"{pair.shown()} was exported and is gone again; something else manages etab"
        for pair, _, state in exportfs.observe(call)
        if state.problem or not state.exported
    ]
    if problems:
        raise failed("; ".join(problems))
    return codes.SUCCESS


def same_place(record: Record) -> bool:
    path = record.entry.path
    return exportfs.place_of(path, mounts.table(path)).is_same(record.place)


def export(call: "Call", pair: Pair, attempts: Attempts) -> None:
    """Export one pair: a record of the intent, exportfs, a look into etab, the record of the fact.

    In between we may be killed at any moment: with the intent on record, monitor calls what it finds
    in etab unfinished rather than stopped.
    """
    real = mounts.real_path(pair.directory, mounts.table(pair.directory))
    require_directory(pair, real, attempts, call.deadline)
    refuse_taken(pair, real)
    place = exportfs.place_of(real, mounts.table(real))
    boot = exports.boot_id()
    prepare_etab()

    def write(entry: exports.Entry, done: bool) -> None:
        record = Record(boot=boot, done=done, declared=pair.options, entry=entry, place=place)
        call.write_state(pair.record_name(), record.text())

    write(exports.Entry(real, pair.bare_client(), ""), False)
    before = exports.table()
    try:
        tell(["-i", "-o", pair.options, f"{pair.argument()}:{real}"], call.deadline)
    except AgentError:
        take_back(call, pair, real, before)
        raise
    entry = find_entry(pair, real, before, exports.table(), call.deadline)
    if entry is None:
        raise failed(f"exportfs said nothing, but {exports.state_directory()}/etab has no {pair.shown()}")
    write(entry, True)
    call.log("info", f"{exports.shown(pair.directory)} is exported to {entry.client}")


def take_back(call: "Call", pair: Pair, real: str, before: "list[exports.Entry]") -> None:
    """After a failure: exportfs leaves its line in etab, also when the kernel cannot export the directory."""
    entry = find_entry(pair, real, before, exports.table(), call.deadline)
    if entry is not None:
        try:
            tell(["-u", f"{Pair(real, entry.client, '').argument()}:{real}"], call.deadline)
        except (AgentError, DeadlineExpired):
            return  # the record of the intent stays: monitor says 1, and stop takes it back
    os.unlink(call.state_path(pair.record_name()))


def require_directory(pair: Pair, real: str, attempts: Attempts, deadline: "Deadline") -> None:
    try:
        found = attempts.run(f"looking at {exports.shown(real)}", lambda: is_directory(real), deadline)
    except GivenUp as error:
        raise failed(f"directory: {error}") from None
    if not found:
        path = exports.shown(pair.directory)
        raise not_here(f"directory: {path} is not a directory on this node; is its filesystem mounted?")


def refuse_taken(pair: Pair, real: str) -> None:
    """One fsid, one directory: rpc.mountd would serve the first it finds under the number of the other."""
    fsid = exportfs.fsid_of(pair.options).replace("root", "0")
    for entry in exports.table():
        if entry.path != real and entry.fsid() == fsid and entry.client.lower() == pair.bare_client().lower():
            path = exports.shown(entry.path)
            remedy = f"choose another, or run exportfs -u {entry.client}:{path}"
            raise failed(f"fsid: {fsid} is already that of {path}, exported to {entry.client}; {remedy}")


def prepare_etab() -> None:
    """exportfs fails (and exports all the same) when there is no etab to read."""
    directory = exports.state_directory()
    try:
        os.close(os.open(f"{directory}/etab", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
    except OSError as error:
        reason = f"{directory}/etab: {error.strerror}; the NFS server's state directory is not usable on this node"
        raise not_here(reason) from None


def tell(arguments: "list[str]", deadline: "Deadline") -> None:
    """exportfs with these arguments, or an error that quotes it.

    ``-i`` in them: without it options that /etc/exports has for the same directory and client mix
    with ours. After the exit code, what it wrote to stderr with exit 0 is not an error either: it warns.
    """
    deadline.require("running exportfs")
    try:
        result = run(["exportfs", *arguments], deadline)
    except CommandMissing as error:
        raise not_here(f"{error} (package nfs-kernel-server)") from None
    except CommandTimeout as error:
        raise failed(f"{error}: is a name server needed for the client's name, or etab locked?") from None
    if not result.ok():
        raise failed(result.describe())


def find_entry(
    pair: Pair, real: str, before: "list[exports.Entry]", after: "list[exports.Entry]", deadline: "Deadline"
) -> "exports.Entry | None":
    """The line of etab that our exportfs wrote: by client, or for a host name by what has changed.

    exportfs writes the canonical name of a host; only a name server knows which that is.
    """
    here = [entry for entry in after if entry.path == real]
    for entry in here:
        if entry.is_for(real, pair.bare_client()):
            return entry
    known = {entry.client.lower() for entry in before if entry.path == real}
    fresh = [entry for entry in here if entry.client.lower() not in known]
    if len(fresh) == 1:
        return fresh[0]
    canonical = canonical_name(pair.bare_client(), deadline)
    return next((entry for entry in here if entry.is_for(real, canonical)), None)


def canonical_name(client: str, deadline: "Deadline") -> str:
    """What exportfs makes of a host name; itself when no name server says anything in time."""
    try:
        return Attempts().run(f"looking up {client}", lambda: _look_up(client), deadline.at_most(_NAME_MS))
    except (GivenUp, OSError):
        return client


def _look_up(client: str) -> str:
    """getaddrinfo(3), AI_CANONNAME. For a child: it waits for every name server in turn while each is silent."""
    import socket

    try:
        return socket.getaddrinfo(client, None, flags=socket.AI_CANONNAME)[0][3] or client
    except (OSError, UnicodeError):
        return client


def validate(call: "Call") -> int:
    """The host checks of validate-all (level 10): exportfs(8), its state directory, the directories."""
    problems = []
    try:
        run(["exportfs", "-h"], call.deadline)
    except CommandMissing as error:
        problems.append(f"{error} (package nfs-kernel-server)")
    if not os.path.isdir(exports.state_directory()):
        problems.append(f"{exports.state_directory()} is not there; install the NFS server")
    attempts = Attempts()
    for directory in dict.fromkeys(pair.directory for pair in exportfs.pairs(call.values)):

        def look(path: str = directory) -> str:
            return is_directory(path)

        try:
            if not attempts.run(f"looking at {exports.shown(directory)}", look, call.deadline):
                problems.append(f"directory: {exports.shown(directory)} is not a directory on this node")
        except GivenUp as error:
            problems.append(f"directory: {error}")
    if problems:
        raise not_here("; ".join(problems))
    return codes.SUCCESS
