"""The configuration as frozen facts: what ``ha.cf``, ``haresources`` and ``authkeys`` mean.

Pure: the parsers (``hacf``, ``haresources``, ``authkeys``) turn text into these types and never look at
the host; ``configfiles`` reads the files. Times are integer milliseconds, names of nodes lower case.
Secrets (keys of ``authkeys``, passwords of fence devices) never show in a ``repr`` or in an error.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

_T = TypeVar("_T")

GROUP_NAME_BYTES = 32
"""A group's name travels in every beat; its length is part of what must fit on a serial line (rule 22)."""

SERIAL_SHARE_PERCENT = 80
"""A beat may fill this much of keepalive on a serial line; the rest absorbs a late writer."""

LINK_LIMIT = 16
"""A beat tells of each link whether it is heard there; that, too, must fit on a serial line (rule 22)."""

PING_LIMIT = 16
"""Ping nodes of a pair, and addresses of one: more of them tell nothing that a few do not."""

BAUD_RATES = (9600, 19200, 38400, 57600, 115200, 230400, 460800)

FAILBACK_DELAY_MS = 60_000
"""How long a home node has to be up before auto_failback brings its groups back."""

MONITOR_FAILURES = 2
"""So many failures of a group and it is handed over: one restart in place, then the other node."""

STONITH_PREFIX = "stonith:"

_SECRET_NAME = re.compile(
    r"pass|secret|token|community|(private|api|access|auth|shared|encryption)[_-]?key|hexadecimal[_-]kg",
    re.IGNORECASE,
)
_SECRET_COMPARED = re.compile(r"pass|secret|token|community|private_?key", re.IGNORECASE)
_SECRET_ELSEWHERE = re.compile(r"(_|\b)(file|script|path)$", re.IGNORECASE)
# mount.cifs(8): pass=, password=, password2=; two commas are one comma of the password.
_SECRET_OPTION = re.compile(r"(^|[,:])\s*pass(word|wd)?2?=(?:[^,]|,,)*", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Whether a parameter of this name carries a secret; ``password_file`` only says where one is."""
    return bool(_SECRET_NAME.search(name)) and not _SECRET_ELSEWHERE.search(name)


def is_secret_compared(name: str) -> bool:
    """As ``is_secret_name``, by the names the first version knew.

    For what two versions compare while a pair is upgraded, digests and names of groups: it must not change.
    """
    return bool(_SECRET_COMPARED.search(name)) and not _SECRET_ELSEWHERE.search(name)


def without_password(options: str) -> str:
    """Mount options, or a text that ends in them, without the password that cifs takes there."""
    return _SECRET_OPTION.sub(lambda found: found[1] if found[1] == ":" else "", options).removeprefix(",")


def _shown(parameters: tuple[tuple[str, str], ...]) -> str:
    return " ".join(f"{name}={'***' if is_secret_name(name) else value}" for name, value in parameters)


def _place(file: str, line: int, column: int) -> str:
    """``file:line:column``; line 0 stands for the file as a whole."""
    if line == 0:
        return file
    return f"{file}:{line}:{column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a file cannot be used: ``ha.cf:12:1: fact; remedy``. Line and column count from 1."""

    file: str
    line: int
    column: int
    text: str

    def __str__(self) -> str:
        return f"{_place(self.file, self.line, self.column)}: {self.text}"


@dataclass(frozen=True, slots=True)
class Note:
    """Something accepted that an administrator should know, such as a directive without meaning here."""

    file: str
    line: int
    column: int
    text: str

    def __str__(self) -> str:
        return f"{_place(self.file, self.line, self.column)}: {self.text}"


class ConfigError(Exception):
    """The configuration cannot be used; ``problems`` has all of it, ``str()`` one problem a line."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


@dataclass(frozen=True, slots=True)
class Parsed(Generic[_T]):
    """What a parser made of a text. ``value`` is None exactly when there are problems."""

    value: _T | None
    problems: tuple[Problem, ...] = ()
    notes: tuple[Note, ...] = ()


class Secret:
    """Bytes that print as ``***``. ``reveal()`` is the only way to them."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def reveal(self) -> bytes:
        """The bytes themselves; for the call that needs them, not for keeping."""
        return self._data

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._data, other._data)

    def __hash__(self) -> int:
        return hash(Secret)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not written anywhere")


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialLink:
    """A serial line to the peer: ``serial DEVICE``, at the ``baud`` given before it."""

    device: str
    baud: int
    line: int = field(default=0, compare=False)

    @property
    def name(self) -> str:
        """Short name for status and the core: ``ttyS0``."""
        return self.device.rpartition("/")[2] or self.device


@dataclass(frozen=True, slots=True, kw_only=True)
class UcastLink:
    """``ucast INTERFACE ADDRESS`` or ``ucast6``: the peer's address as seen from this node.

    Both nodes' lines may stand in one file: the one with this node's own address is ignored by the
    shell. ``peer_address`` is None for ``ucast INTERFACE``, until ``configfiles.resolve_links`` derives it.
    A link-local IPv6 address stands without its zone: the interface is the zone.
    """

    interface: str
    peer_address: str | None
    port: int
    ipv6: bool = False
    line: int = field(default=0, compare=False)

    @property
    def directive(self) -> str:
        """The word of ha.cf."""
        return "ucast6" if self.ipv6 else "ucast"

    @property
    def name(self) -> str:
        """Short name for status and the core; several ucast lines on one interface share it."""
        return f"{self.interface}/ucast6" if self.ipv6 else self.interface


@dataclass(frozen=True, slots=True, kw_only=True)
class BcastLink:
    """``bcast INTERFACE``: IPv4 broadcast on that segment."""

    interface: str
    port: int
    line: int = field(default=0, compare=False)

    ipv6 = False
    directive = "bcast"

    @property
    def name(self) -> str:
        """Short name for status and the core: no interface has "/" in its name, so none is called like it."""
        return f"{self.interface}/bcast"


@dataclass(frozen=True, slots=True, kw_only=True)
class McastLink:
    """``mcast INTERFACE GROUP [PORT [TTL [LOOP]]]`` or ``mcast6``; ``ttl`` is the hop limit there."""

    interface: str
    group: str
    port: int
    ttl: int = 1
    ipv6: bool = False
    line: int = field(default=0, compare=False)

    @property
    def directive(self) -> str:
        """The word of ha.cf."""
        return "mcast6" if self.ipv6 else "mcast"

    @property
    def name(self) -> str:
        """Short name for status and the core: ``eth1/mcast``."""
        return f"{self.interface}/{self.directive}"


NetworkLink = UcastLink | BcastLink | McastLink
Link = SerialLink | NetworkLink


def cable_of(link: Link) -> str:
    """What fails as one: links that share it are no second way to the peer."""
    return link.device if isinstance(link, SerialLink) else link.interface


def is_shared(link: Link) -> bool:
    """Whether everybody on the segment hears it, this node and other clusters included."""
    return isinstance(link, BcastLink | McastLink)


def in_beat_order(links: Iterable[Link]) -> tuple[str, ...]:
    """The links' names in the order beats tell of them: kind by kind, each kind as ha.cf has it.

    Names may differ between the nodes, so a beat says "the second serial line" and not "ttyS1".
    """
    kinds = (SerialLink, UcastLink, BcastLink, McastLink)
    ranked = sorted(links, key=lambda link: (kinds.index(type(link)), getattr(link, "ipv6", False)))
    return tuple(dict.fromkeys(link.name for link in ranked))


@dataclass(frozen=True, slots=True, kw_only=True)
class PingNode:
    """Something beside the pair that answers an echo: ``ping ADDRESS``, or ``ping_group NAME ADDRESS...``.

    It is reached while one of its members is. A link-local IPv6 address carries its zone, ``fe80::1%eth1``.
    """

    name: str
    members: tuple[str, ...]
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a peer is late, silent, or was never there; see ha.cf."""

    keepalive_ms: int
    warntime_ms: int
    deadtime_ms: int
    initdead_ms: int


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class FenceDevice:
    """A power switch or management board and the agent that drives it.

    ``parameters`` are the agent's own, in the order written, except ``plug.NODE``, which stand in
    ``plugs`` as (node, plug). A device with ``plugs`` serves only the nodes named there; one without serves
    every node, and the plug is the parameter ``plug`` if given, else the victim's node name.
    ``trusted`` is ``fence_trust``: the exit code counts although the device has no status (PROTOCOL rule 8).
    """

    name: str
    agent: str
    parameters: tuple[tuple[str, str], ...] = ()
    plugs: tuple[tuple[str, str], ...] = ()
    trusted: bool = False
    line: int = field(default=0, compare=False)

    def serves(self, victim: str) -> bool:
        """Whether this device can cut ``victim`` as far as the configuration tells."""
        return not self.plugs or any(node == victim for node, _ in self.plugs)

    @property
    def stonith_type(self) -> str:
        """The type of a cluster-glue plugin (``external/ipmi``, ``stonith:wti_nps``); "" for a fence agent."""
        if self.agent.startswith(STONITH_PREFIX):
            return self.agent[len(STONITH_PREFIX) :]
        return self.agent if "/" in self.agent and not self.agent.startswith("/") else ""

    def plugs_for(self, victim: str) -> tuple[str, ...]:
        """Every plug that feeds this victim, each to be asked by itself: ``plug.pete=1,2`` is two."""
        separator = dict(self.parameters).get("plug_separator", ",")
        parts = (part.strip() for part in self.plug_for(victim).split(separator))
        return tuple(dict.fromkeys(part for part in parts if part))

    def plug_for(self, victim: str) -> str:
        """What ha.cf gives as the plug or plugs of this victim."""
        for node, plug in self.plugs:
            if node == victim:
                return plug
        return dict(self.parameters).get("plug", victim)

    def __repr__(self) -> str:
        plugs = " ".join(f"plug.{node}={plug}" for node, plug in self.plugs)
        trust = " trusted" if self.trusted else ""
        shown = " ".join(part for part in (_shown(self.parameters), plugs) if part)
        return f"<FenceDevice {self.name} {self.agent} {shown}{trust}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceLevel:
    """Devices that together cut ``node``; the next level is tried when this one did not prove OFF."""

    node: str
    level: int
    devices: tuple[str, ...]


class FenceAction(Enum):
    """What happens after the peer's plugs were read OFF: power again, or not."""

    REBOOT = "reboot"
    OFF = "off"


class ResourceKind(Enum):
    """How a resource is called."""

    OCF = "ocf"  # environment variables, verb first
    SCRIPT = "script"  # haresources style: positional arguments, verb last; also init scripts and units
    UNIT = "systemd"  # spelled out: a unit of systemd, whatever scripts there are
    LSB = "lsb"  # spelled out: an init script, judged by its exit codes alone


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Resource:
    """One word of a haresources line.

    ``provider`` is "" and ``args`` are set for SCRIPT; ``parameters`` are set for OCF.
    ``monitor_interval_ms`` None means the cluster's, 0 no monitoring. ``monitor_depth`` is OCF_CHECK_LEVEL of
    the recurring monitor.
    ``timeouts_ms`` are the (action, ms) pairs given with ``op_ACTION_timeout``.
    """

    kind: ResourceKind
    type: str
    provider: str = ""
    args: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    monitor_interval_ms: int | None = None
    monitor_depth: int = 0
    timeouts_ms: tuple[tuple[str, int], ...] = ()
    line: int = field(default=0, compare=False)
    column: int = field(default=0, compare=False)

    @property
    def name(self) -> str:
        """For status and the journal: the agent and its first argument, ``Filesystem:/dev/etherd/e0.0``."""
        first = self.args[0] if self.args else next(
            (value for name, value in self.parameters if not is_secret_name(name)), ""
        )
        return f"{self.type}:{first}" if first else self.type

    def timeout_ms(self, action: str, default_ms: int) -> int:
        """The time limit for one call of ``action``."""
        return dict(self.timeouts_ms).get(action, default_ms)

    def __repr__(self) -> str:
        shown = " ".join(part for part in (self.agent, *self.args, _shown(self.parameters)) if part)
        return f"<Resource {shown}>"

    @property
    def agent(self) -> str:
        """What is called, as haresources has it: ``ocf:heartbeat:Dummy``, ``systemd:nginx``, ``Filesystem``."""
        if self.kind is ResourceKind.SCRIPT:
            return self.type
        return ":".join(part for part in (self.kind.value, self.provider, self.type) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One haresources line: started left to right, stopped right to left, at home on ``home``."""

    name: str
    home: str
    resources: tuple[Resource, ...]
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """What the three files mean together. ``digest`` is the same on both nodes when the meaning is."""

    nodes: tuple[str, str]
    links: tuple[Link, ...]
    timing: Timing
    groups: tuple[Group, ...] = ()
    auto_failback: bool = False
    failback_delay_ms: int = FAILBACK_DELAY_MS
    fence_devices: tuple[FenceDevice, ...] = ()
    fence_levels: tuple[FenceLevel, ...] = ()  # complete: one level at least for each node that can be fenced
    fence_delay_ms: int
    fence_action: FenceAction = FenceAction.REBOOT
    boot_alone: bool = False
    agent_server: bool = True  # a matter of this node's speed alone: not in the digest
    op_timeout_ms: int = 60_000
    monitor_interval_ms: int = 10_000
    monitor_failures: int = MONITOR_FAILURES
    udpport: int = 694
    watchdog_device: str | None = None
    digest: str = ""
    fencing_digest: str = ""  # of devices, plugs, levels and trust alone: what a proof drill is good for
    prove_timeout_ms: int = 600_000  # how long a node cut by a proof drill may take to come back
    pings: tuple[PingNode, ...] = ()
    deadping_ms: int = 30_000  # a ping node that did not answer for so long is silent
    ping_failover: bool = False  # ipfail: a node that reaches fewer gives its groups to the one that reaches more

    def peer_of(self, node: str) -> str:
        """The other node. ValueError when ``node`` is none of the two."""
        if node not in self.nodes:
            raise ValueError(f"{node} is no node of this cluster ({' and '.join(self.nodes)})")
        return self.nodes[1] if node == self.nodes[0] else self.nodes[0]

    def home_groups(self, node: str) -> tuple[Group, ...]:
        """The groups whose haresources line begins with ``node``, in file order."""
        return tuple(group for group in self.groups if group.home == node)

    def group(self, name: str) -> Group:
        """The group of that name. KeyError when there is none."""
        for group in self.groups:
            if group.name == name:
                return group
        raise KeyError(name)

    def devices_for(self, victim: str) -> tuple[tuple[FenceDevice, ...], ...]:
        """Levels in the order to try; all devices of one level must prove OFF. Empty: cannot be fenced."""
        by_name = {device.name: device for device in self.fence_devices}
        levels = sorted((level for level in self.fence_levels if level.node == victim), key=lambda x: x.level)
        return tuple(tuple(by_name[name] for name in level.devices) for level in levels)

    def can_fence(self, victim: str) -> bool:
        """Whether there is any way to cut ``victim``."""
        return bool(self.devices_for(victim))


class AuthMethod(Enum):
    """How a line of authkeys protects a frame. All keyed words mean HMAC-SHA256 here."""

    HMAC_SHA256 = "hmac-sha256"
    CRC = "crc"  # unkeyed: against line noise only, allowed where every medium is serial


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthKeys:
    """Keys by index: frames are signed with ``sign_index``, any listed index is accepted.

    A crc index has an empty Secret: the same HMAC computed with it is a checksum and nothing more.
    """

    sign_index: int
    keys: Mapping[int, Secret]
    methods: Mapping[int, AuthMethod]
    lines: Mapping[int, int] = field(default_factory=dict, compare=False, repr=False)

    @property
    def method(self) -> AuthMethod:
        """The method frames are signed with."""
        return self.methods[self.sign_index]

    @property
    def sign_key(self) -> Secret:
        return self.keys[self.sign_index]

    @property
    def unkeyed(self) -> bool:
        """Whether any index is crc: such a pair accepts frames from everyone on the medium."""
        return AuthMethod.CRC in self.methods.values()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedConfig:
    """The three files of one directory, read and cross-checked."""

    config: ClusterConfig
    authkeys: AuthKeys
    notes: tuple[Note, ...] = ()


def serial_fits(frame_bytes: int, baud: int, keepalive_ms: int) -> str | None:
    """None when beats of ``frame_bytes`` fit on a serial line, else the refusal (PROTOCOL rule 22).

    8N1 sends ten bits for a byte. A beat that takes longer than its interval would make a queue, and the
    peer would judge us by old news.
    """
    needed_ms = -(-frame_bytes * 10 * 1000 // baud)
    allowed_ms = keepalive_ms * SERIAL_SHARE_PERCENT // 100
    if needed_ms <= allowed_ms:
        return None
    least_keepalive_ms = -(-needed_ms * 100 // SERIAL_SHARE_PERCENT)
    least_baud = -(-frame_bytes * 10 * 1000 // allowed_ms) if allowed_ms else 0
    fast_enough = next((rate for rate in BAUD_RATES if rate >= least_baud), None) if allowed_ms else None
    faster = f"set baud {fast_enough} on both nodes or " if fast_enough else ""
    return (
        f"a beat of {frame_bytes} bytes takes {frame_bytes} x 10 bits / {baud} baud = {needed_ms} ms on the "
        f"serial line, more than {SERIAL_SHARE_PERCENT} % of keepalive ({allowed_ms} of {keepalive_ms} ms); "
        f"{faster}set keepalive to at least {least_keepalive_ms}ms"
    )


def config_digest(config: ClusterConfig, authkeys: AuthKeys) -> str:
    """16 hex digits that agree on both nodes when the three files mean the same (PROTOCOL rule 20).

    Left out: what may differ between the nodes (serial device and interface names, peer addresses, the
    watchdog device) and what has no meaning here. The digest travels in clear text inside beats, so it is
    keyed with the keys of authkeys, and no one on the wire can try passwords against it; with crc there
    is no key, and passwords stay out of it.
    """
    return _digest(_canonical_lines(config, with_secrets=not authkeys.unkeyed), authkeys)


def fencing_digest(config: ClusterConfig, authkeys: AuthKeys) -> str:
    """As ``config_digest``, of the fencing lines alone: what a proof drill was made with (PROTOCOL rule 25)."""
    facts = _fencing_facts(config, with_secrets=not authkeys.unkeyed)
    return _digest(["fencing alone", *(repr(fact) for fact in facts)], authkeys)


def _digest(lines: list[str], authkeys: AuthKeys) -> str:
    key = hashlib.sha256(b"failover-kit configuration digest 1\n")
    key.update(b"%d\n" % authkeys.sign_index)
    for index in sorted(authkeys.keys):
        secret = authkeys.keys[index].reveal()
        key.update(b"%d %s %d " % (index, authkeys.methods[index].value.encode(), len(secret)) + secret)
    text = "\n".join(lines).encode("utf-8", "surrogateescape")
    return hmac.new(key.digest(), text, hashlib.sha256).hexdigest()[:16]


def _canonical_lines(config: ClusterConfig, *, with_secrets: bool) -> list[str]:
    """The meaning, one ``repr`` of plain tuples a line: quoting is Python's, so no two meanings collide."""
    bauds = sorted(link.baud for link in config.links if isinstance(link, SerialLink))
    media = sorted({_medium(link) for link in config.links if not isinstance(link, SerialLink)})
    timing = config.timing
    facts: list[tuple[object, ...]] = [
        ("nodes", *sorted(config.nodes)),
        ("links", *bauds, *media),
        ("timing", timing.keepalive_ms, timing.warntime_ms, timing.deadtime_ms, timing.initdead_ms),
        ("failback", config.auto_failback, "boot_alone", config.boot_alone),
        ("fencing", config.fence_action.value, config.fence_delay_ms),
        ("operations", config.op_timeout_ms, config.monitor_interval_ms),
    ]
    # What is younger than version 1 of the digest, only where it is used: a pair that is being upgraded agrees.
    if config.auto_failback and config.failback_delay_ms != FAILBACK_DELAY_MS:
        facts.append(("failback delay", config.failback_delay_ms))
    if config.monitor_failures != MONITOR_FAILURES:
        facts.append(("failures", config.monitor_failures))
    if config.pings:
        # A zone is the name of an interface, which may differ.
        nodes = sorted((_zoneless(ping.name), sorted(map(_zoneless, ping.members))) for ping in config.pings)
        facts.append(("pings", nodes, config.deadping_ms, config.ping_failover))
    facts += _fencing_facts(config, with_secrets)
    for group in config.groups:
        facts.append(("group", group.name, group.home))
        facts += [
            (
                "resource",
                r.kind.value,
                r.provider,
                r.type,
                r.args,
                _meaning(r.parameters, with_secrets),
                r.monitor_interval_ms,
                tuple(sorted(r.timeouts_ms)),
                # Only where it is used: a pair in the middle of an upgrade keeps one digest.
                *((("depth", r.monitor_depth),) if r.monitor_depth else ()),
            )
            for r in group.resources
        ]
    return [repr(fact) for fact in facts]


def _zoneless(address: str) -> str:
    return address.partition("%")[0]


def _medium(link: NetworkLink) -> tuple[str, str, int]:
    """What both ends must have alike to hear each other; how far a multicast may travel is each one's affair."""
    return (link.directive, link.group if isinstance(link, McastLink) else "", link.port)


def _fencing_facts(config: ClusterConfig, with_secrets: bool) -> list[tuple[object, ...]]:
    facts: list[tuple[object, ...]] = [
        ("device", d.name, d.agent, d.trusted, tuple(sorted(d.plugs)), _meaning(d.parameters, with_secrets))
        for d in sorted(config.fence_devices, key=lambda d: d.name)
    ]
    facts += [
        ("level", level.node, level.level, tuple(sorted(level.devices)))
        for level in sorted(config.fence_levels, key=lambda x: (x.node, x.level))
    ]
    return facts


def _meaning(parameters: tuple[tuple[str, str], ...], with_secrets: bool) -> tuple[tuple[str, str], ...]:
    """Parameters without their order; secrets only where the digest is sealed with a key.

    Where a node keeps a secret (``password_file=``) is its own affair; that it keeps one is not.
    """

    def counts(name: str) -> bool:
        return with_secrets if is_secret_compared(name) else not _SECRET_COMPARED.search(name)

    return tuple(sorted((name, value if counts(name) else "") for name, value in parameters))
