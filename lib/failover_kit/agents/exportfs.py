"""exportfs: directories given to clients over NFS. start and stop have modules of their own.

The resource is every pair of ``directory`` and ``clientspec``. A pair is exported when *we* exported it since
this kernel booted (a record in HA_RSCTMP says so), etab still has exactly the line that exportfs(8) wrote
then, and the directory still lies on the same filesystem. An entry in etab without such a record is
nobody's: etab survives a reboot, and on a shared disk it arrives from the other node.
"""

import posix

from failover_kit.kernel import exports, mounts, paths
from failover_kit.ocf import codes
from failover_kit.ocf.agent import Agent
from failover_kit.ocf.codes import failed
from failover_kit.spec.parameter import Action, Parameter
from failover_kit.spec.values import check_path, is_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.kernel.mounts import Mount
    from failover_kit.ocf.agent import Call
    from failover_kit.spec.parameter import Values

# The kernel takes fsid as a signed int (fs/nfsd/export.c, svc_export_parse()).
_FSID_LIMIT = 0x7FFFFFFF
# Bytes of a name that state_path() surely makes a file name of: it may triple them (255 is the limit).
_NAME_LIMIT = 60


def words(text: str) -> "list[str]":
    r"""Paths of a ``directory`` setting, written as in exports(5): blanks part them, unless in double quotes;
    a backslash with three octal digits is a byte. ValueError for a quote that does not end.
    """
    found: list[str] = []
    current = ""
    quoted = False
    for sign in text + " ":
        if sign == '"':
            quoted = not quoted
        elif sign == " " and not quoted:
            if current:
                found.append(exports.unescape(paths.encode(current)))
            current = ""
        else:
            current += sign
    if quoted:
        raise ValueError(r'has a double quote that does not end; write \042 for one that is part of a path')
    return found


def check_directories(text: str) -> str:
    for path in words(text):
        if "\0" in path:
            raise ValueError("contains a zero byte")
        try:
            check_path(path)
        except ValueError as error:
            raise ValueError(f"({exports.shown(path)}) {error}") from None
        if not exports.survives(path):
            raise ValueError("has a backslash before three digits, which exportfs(8) itself reads as another name")
    return text


def check_clients(text: str) -> str:
    for client in text.split():
        if any(sign in client for sign in '(),"\\'):
            raise ValueError("is not a list of clients; write it like 192.0.2.0/24 *.example.org, with blanks")
        if "/" in client and client.strip("[]").startswith("/"):
            raise ValueError("is a path, not a client; directory and clientspec may have changed places")
    return text


def check_options(text: str) -> str:
    if any(sign in text for sign in ' ()"'):
        raise ValueError("is not a list of export options; write it like rw,sync,no_root_squash")
    fsid = fsid_of(text)
    if fsid:
        check_fsid(fsid)
    return text


def check_fsid(text: str) -> str:
    """A number, ``root`` (0), or a UUID: 32 hexadecimal digits (nfs-utils, valid_uuid())."""
    if text == "root" or (is_number(text) and int(text) <= _FSID_LIMIT):
        return text
    digits = text.replace("-", "").replace(":", "")
    if len(digits) == 32 and digits.isascii() and all(sign in "0123456789abcdefABCDEF" for sign in digits):
        return text
    raise ValueError(f"is neither a number up to {_FSID_LIMIT}, nor root, nor a UUID")


def fsid_of(options: str) -> str:
    """The last fsid= of a list of options, as exportfs reads it; "" without one."""
    return next((word[5:] for word in reversed(options.split(",")) if word.startswith("fsid=")), "")


def consistency(values: "Values") -> "list[str]":
    """What is wrong between parameters: the same on every node, so exit 6 on start."""
    fsid = values.text("fsid") or fsid_of(values.text("options"))
    if not fsid:
        return ["fsid: is required, here or in options: without it the other node may give out other file handles"]
    if len(words(values.text("directory"))) > 1 and not fsid.isdigit() and fsid != "root":
        return ["fsid: must be a number when there are several directories: each further one gets the next number"]
    return []


class Pair:
    """One directory for one client, as declared. ``options`` is what exportfs is given, fsid included."""

    __slots__ = ("client", "directory", "options")

    def __init__(self, directory: str, client: str, options: str) -> None:
        self.directory = directory
        self.client = client
        self.options = options

    def bare_client(self) -> str:
        """The client as etab has it: IPv6 without brackets."""
        return self.client.replace("[", "").replace("]", "")

    def argument(self) -> str:
        """The client as exportfs(8) wants it in front of ``:/directory``: IPv6 in brackets."""
        bare = self.bare_client()
        if ":" not in bare:
            return bare
        address, slash, prefix = bare.partition("/")
        return f"[{address}]{slash}{prefix}"

    def shown(self) -> str:
        return f"{self.argument()}:{exports.shown(self.directory)}"

    def record_name(self) -> str:
        """The name of this pair's state file; long ones are shortened and made unique again."""
        name = exports.plain(self.directory).replace("\\", "=") + "@" + self.bare_client().lower()
        if len(paths.encode(name)) <= _NAME_LIMIT:
            return name
        number = 0xCBF29CE484222325  # FNV-1a, 64 bits: hashlib costs a monitor too much
        for byte in paths.encode(name):
            number = ((number ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
        return f"{number:016x}"


def pairs(values: "Values") -> "list[Pair]":
    """All of them; directories count up the fsid, clients of one directory share it."""
    found = []
    options = values.text("options")
    for number, path in enumerate(words(values.text("directory"))):
        fsid = values.text("fsid") or fsid_of(options)
        if number:
            fsid = str((0 if fsid == "root" else int(fsid)) + number) if fsid.isdigit() or fsid == "root" else fsid
        kept = [word for word in options.split(",") if word and not word.startswith("fsid=")]
        if fsid:
            kept.append(f"fsid={fsid}")
        for client in values.text("clientspec").split():
            found.append(Pair(check_path(path), client, ",".join(kept)))
    return found


class Place:
    """Which filesystem a directory lies on, from the mount table alone: no look at the directory."""

    __slots__ = ("device", "point", "root")

    def __init__(self, device: int, root: str, point: str) -> None:
        self.device = device
        self.root = root
        self.point = point

    def is_same(self, other: "Place") -> bool:
        return (self.device, self.root, self.point) == (other.device, other.root, other.point)


def place_of(path: str, table: "mounts.MountTable") -> Place:
    """The mount that ``path`` (without symbolic links) lies on."""
    at = path
    while True:
        mount: Mount | None = table.at(at or "/")
        if mount is not None:
            return Place(mount.device, mount.root, mount.point)
        if not at:
            return Place(0, "", "/")
        at = at.rpartition("/")[0]


class Record:
    """What start wrote down: ``done`` is False while exportfs has not answered yet."""

    __slots__ = ("boot", "declared", "done", "entry", "place")

    def __init__(self, *, boot: str, done: bool, declared: str, entry: exports.Entry, place: Place) -> None:
        self.boot = boot
        self.done = done
        self.declared = declared
        self.entry = entry
        self.place = place

    def text(self) -> str:
        device = f"{posix.major(self.place.device)}:{posix.minor(self.place.device)}"
        fields = [
            self.boot, "done" if self.done else "starting", self.declared, self.entry.path, self.entry.client,
            self.entry.options, device, self.place.root, self.place.point,
        ]  # fmt: skip
        return "\t".join(map(exports.plain, fields)) + "\n"


def read_record(call: "Call", pair: Pair) -> "Record | None":
    """The record of ``pair``; None when there is none, or it is none. OSError when that cannot be told."""
    try:
        with open(call.state_path(pair.record_name()), "rb") as file:
            fields = [exports.unescape(field) for field in file.read().rstrip(b"\n").split(b"\t")]
        boot, state, declared, path, client, options, device, root, point = fields
        major, _, minor = device.partition(":")
        place = Place(posix.makedev(int(major), int(minor)), root, point)
    except (FileNotFoundError, ValueError, OverflowError):
        return None
    entry = exports.Entry(path, client, options)
    return Record(boot=boot, done=state == "done", declared=declared, entry=entry, place=place)


def options_differ(before: str, after: str) -> str:
    """How two lists of options differ, whatever their order; "" when they do not."""
    old, new = before.split(","), after.split(",")
    gone = [word for word in dict.fromkeys(old) if word not in new]
    come = [word for word in dict.fromkeys(new) if word not in old]
    return f"{','.join(gone) or 'nothing'} became {','.join(come) or 'nothing'}" if gone or come else ""


class State:
    """One pair now: not ``exported`` and no ``problem`` is cleanly stopped."""

    __slots__ = ("exported", "problem")

    def __init__(self, exported: bool, problem: str = "") -> None:
        self.exported = exported
        self.problem = problem


def state_of(pair: Pair, record: "Record | None", table: "list[exports.Entry]", boot: str, now: Place) -> State:
    """Judge one pair. ``now`` is where its directory lies at this moment."""
    if record is None or record.boot != boot:
        return State(False)
    if not record.done and any(known.path == record.entry.path for known in table):
        # Whoever's it is: the canonical name of a host may stand there, and only a name server knows it.
        return State(True, f"the start that exported {pair.shown()} did not finish; stop it and start it again")
    entry = next((known for known in table if known.is_for(record.entry.path, record.entry.client)), None)
    if entry is None:
        return State(False)
    changed = options_differ(record.entry.options, entry.options)
    if changed:
        return State(True, f"{pair.shown()} is exported with other options than start gave it: {changed}")
    if options_differ(record.declared, pair.options):
        other = f"started with {record.declared}, now declared {pair.options}"
        return State(True, f"{pair.shown()} is exported with other options than declared ({other}); restart it")
    if not now.is_same(record.place):
        where = exports.shown(record.place.point)
        fact = f"{exports.shown(pair.directory)} is no longer on the filesystem that was mounted at {where}"
        return State(True, f"{fact}, so clients see something else; stop this, mount that, start again")
    return State(True)


def observe(call: "Call") -> "list[tuple[Pair, Record | None, State]]":
    """Every pair, what is on record about it, and how it is now. Touches no directory, runs no program."""
    declared = pairs(call.values)
    records = [read_record(call, pair) for pair in declared]
    if not any(records):
        return [(pair, None, State(False)) for pair in declared]
    boot = exports.boot_id()
    table = exports.table(paths={record.entry.path for record in records if record})
    found = []
    for pair, record in zip(declared, records, strict=True):
        path = record.entry.path if record else pair.directory
        now = place_of(path, mounts.table(path)) if record else Place(0, "", "/")
        found.append((pair, record, state_of(pair, record, table, boot, now)))
    return found


def monitor(call: "Call") -> int:
    """All exported: running. None: stopped, unless the kernel still serves from its cache. Else: a failure."""
    seen = observe(call)
    problems = list(dict.fromkeys(state.problem for _, _, state in seen if state.problem))
    if problems:
        raise failed("; ".join(problems))
    missing = [pair.shown() for pair, _, state in seen if not state.exported]
    if not missing:
        return codes.SUCCESS
    if len(missing) < len(seen):
        rest = len(seen) - len(missing)
        raise failed(f"not exported: {', '.join(missing)}; the other {rest} of this resource are")
    records = [record for _, record, _ in seen if record]
    if records:
        from failover_kit.agents.exportfs_stop import still_cached

        cached = still_cached(records)
        if cached:
            where = ", ".join(map(exports.shown, cached))
            raise failed(f"etab has it no more, but the kernel still exports {where}; stop the resource")
    return codes.NOT_RUNNING


def start(call: "Call") -> int:
    from failover_kit.agents.exportfs_start import start

    return start(call)


def reload_agent(call: "Call") -> int:
    """Give running exports the options that are declared now; exportfs changes them in place."""
    if not any(state.exported for _, _, state in observe(call)):
        return codes.NOT_RUNNING
    return start(call)


def stop(call: "Call") -> int:
    from failover_kit.agents.exportfs_stop import stop

    return stop(call)


def validate(call: "Call") -> int:
    from failover_kit.agents.exportfs_start import validate

    return validate(call)


AGENT = Agent(
    "exportfs",
    version="0.1",
    shortdesc="Manages NFS exports",
    text_module="failover_kit.agents.exportfs_text",
    parameters=(
        Parameter("directory", required=True, check=check_directories, shortdesc="Directories to export"),
        Parameter("clientspec", required=True, check=check_clients, shortdesc="Clients that may mount them"),
        Parameter("options", check=check_options, reloadable=True, shortdesc="Export options"),
        Parameter("fsid", check=check_fsid, shortdesc="Filesystem number in file handles"),
        Parameter(
            "unlock_on_stop",
            kind="boolean",
            default="yes",
            reloadable=True,
            shortdesc="Drop clients' locks on stop",
        ),
        Parameter(
            "wait_for_leasetime_on_stop",
            kind="boolean",
            default="no",
            reloadable=True,
            shortdesc="Wait out the NFSv4 lease on stop",
        ),
        Parameter(
            "expire_clients_on_stop",
            kind="boolean",
            default="no",
            reloadable=True,
            shortdesc="End NFSv4 leases in the way on stop",
        ),
        Parameter("rmtab_backup", default="none", reloadable=True, shortdesc="Accepted and not used"),
    ),
    actions=(
        Action("start", 40),
        Action("stop", 120),
        Action("monitor", 20, interval_s=10, depth=0),
        Action("reload-agent", 40),
        Action("validate-all", 20),
        Action("meta-data", 5),
    ),
    handlers={
        "start": start,
        "stop": stop,
        "monitor": monitor,
        "reload-agent": reload_agent,
        "validate-all": validate,
    },
    positional=("directory", "clientspec", "options", "fsid"),
    consistency=consistency,
)
