"""``failoverctl init``: the three files of a new pair, from a few answers. Pure, but for the key it is given.

What cannot be is refused here with the flag to correct; what the files' own parsers refuse is left to them, since
every set of files is loaded by them before it is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from failover_kit.manager.hacf import NODE_NAME
from failover_kit.manager.hacf_fencing import WTI_AGENT

_NEVER_IN_A_WORD = "\\\"'#,"


class Impossible(Exception):
    """Answers of which no pair can be made; ``reasons`` are all of them, each with its remedy."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("\n".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkLink:
    """A network of the heartbeat's own: the interface and each node's address on it, in the nodes' order."""

    interface: str
    addresses: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A WTI power switch with one plug, or several joined by ``+``, for each node, in the nodes' order."""

    name: str
    address: str
    plugs: tuple[str, str]
    password_file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """A pair in a few words. The first node is the home of the group. Times in seconds, as written."""

    nodes: tuple[str, str]
    serial: tuple[str, ...] = ()
    baud: int = 9600
    networks: tuple[NetworkLink, ...] = ()
    one_link: bool = False
    switch: Switch | None = None
    fence_lines: tuple[str, ...] = ()  # "NAME AGENT key=value…" as after fence_device
    no_fence: bool = False
    disk: str = ""
    mount: str = ""
    fstype: str = "xfs"
    clients: tuple[str, ...] = ()  # who may mount it over NFS; empty: no NFS
    services: tuple[str, ...] = ()
    address: str = ""  # ADDRESS/PREFIX/INTERFACE
    keepalive: str = "1"
    deadtime: str = "10"
    watchdog: str = ""


@dataclass(frozen=True, slots=True)
class Texts:
    """The three files. ``authkeys`` is a secret: it never shows in a repr."""

    ha_cf: str
    haresources: str
    authkeys: str = field(repr=False)


def texts_of(answers: Answers, key: str) -> Texts:
    """The files. Impossible when the answers cannot be a pair."""
    reasons = [*_wrong_names(answers), *_wrong_links(answers), *_wrong_fencing(answers), *_wrong_group(answers)]
    if reasons:
        raise Impossible(reasons)
    return Texts("\n".join(_ha_cf(answers)) + "\n", "\n".join(_haresources(answers)) + "\n", _authkeys(key))


def _wrong_names(answers: Answers) -> Iterator[str]:
    first, second = answers.nodes
    for name in answers.nodes:
        if not NODE_NAME.fullmatch(name):
            yield f"--node {name!r} is no node name; give what uname -n prints there"
    if first.lower() == second.lower():
        yield f"--node {first} is given twice; the two machines need names of their own"
    for flag, text in _words(answers):
        if any(sign.isspace() or not sign.isprintable() or sign in _NEVER_IN_A_WORD for sign in text):
            yield f"{flag} {text!r} has a blank or a sign that the files cannot hold; choose another name"
    for line in answers.fence_lines:
        if not line.isprintable():
            yield f"--fence-device {line!r} is more than a line; give one for each device"


def _words(answers: Answers) -> Iterator[tuple[str, str]]:
    """Everything that becomes a word of a file, with its flag."""
    yield from (("--disk", answers.disk), ("--mount", answers.mount), ("--fstype", answers.fstype))
    yield from (("--address", answers.address), ("--watchdog", answers.watchdog))
    yield from (("--keepalive", answers.keepalive), ("--deadtime", answers.deadtime))
    yield from (("--serial", device) for device in answers.serial)
    yield from (("--link", link.interface) for link in answers.networks)
    yield from (("--service", name) for name in answers.services)
    yield from (("--clients", client) for client in answers.clients)
    if answers.switch is not None:
        yield from (("--switch", answers.switch.name), ("--switch", answers.switch.address))
        yield from (("--plug", plugs) for plugs in answers.switch.plugs)
        yield "--password-file", answers.switch.password_file


def _wrong_links(answers: Answers) -> Iterator[str]:
    count = len(answers.serial) + len(answers.networks)
    if count == 0:
        yield "no link between the nodes; give --serial /dev/ttyS0, or --link INTERFACE=ADDRESS,ADDRESS, best both"
    elif count == 1 and not answers.one_link:
        yield (
            "one link only: when it fails a healthy node is shot; give a second one of another kind, or "
            "say --one-link"
        )
    for link in answers.networks:
        for address in link.addresses:
            if not _is_ipv4(address):
                yield f"--link {link.interface}: {address!r} is no IPv4 address; give the one of each node on it"
        if link.addresses[0] == link.addresses[1]:
            yield f"--link {link.interface} has {link.addresses[0]} twice; each node has an address of its own"


def _wrong_fencing(answers: Answers) -> Iterator[str]:
    switch = answers.switch
    if switch is None:
        if not answers.fence_lines and not answers.no_fence:
            yield (
                "nothing can cut a node's power, so nothing is ever taken over by itself; give --switch "
                "NAME=ADDRESS with --plug, or --fence-device, or say --no-fence"
            )
        return
    plugs = [set(text.split("+")) for text in switch.plugs]
    for node, text in zip(answers.nodes, switch.plugs, strict=True):
        if not text or not all(text.split("+")):
            yield f"no plug of {switch.name} feeds {node}; give --plug {node}=NUMBER, for two supplies {node}=1+2"
    if plugs[0] & plugs[1] - {""}:
        shared = "+".join(sorted(plugs[0] & plugs[1]))
        yield f"plug {shared} of {switch.name} cannot feed both nodes: who cuts one cuts both; correct --plug"
    if not switch.password_file.startswith("/"):
        yield f"--password-file {switch.password_file!r} is no absolute path; give /etc/ha.d/{switch.name}"


def _wrong_group(answers: Answers) -> Iterator[str]:
    if not (answers.disk or answers.services or answers.address):
        yield "nothing to run; give --disk and --mount, --service or --address"
    if bool(answers.disk) != bool(answers.mount):
        yield "a disk needs a mount point; give both --disk and --mount"
    if answers.mount and (not answers.mount.startswith("/") or answers.mount.rstrip("/") == ""):
        yield f"--mount {answers.mount!r} is no place for a disk; give an absolute path such as /srv/data"
    if answers.clients and not answers.mount:
        yield "nothing to export to --clients; give --disk and --mount"
    if answers.clients and not answers.address:
        yield "NFS clients need an address that moves with the service; give --address ADDRESS/PREFIX/INTERFACE"
    if answers.address:
        yield from _wrong_address(answers)


def _wrong_address(answers: Answers) -> Iterator[str]:
    address, _, rest = answers.address.partition("/")
    prefix = rest.partition("/")[0]
    if not _is_ipv4(address):
        yield f"--address {answers.address!r} has no IPv4 address; give ADDRESS/PREFIX/INTERFACE"
        return
    for link in answers.networks:
        if address in link.addresses:
            yield f"--address {address} is a node's own on {link.interface}; the cluster's belongs to no node"
    if prefix and not (prefix.isascii() and prefix.isdigit() and int(prefix) <= 32):
        yield f"--address {answers.address!r}: {prefix!r} is no prefix length; give 24 for 255.255.255.0"
    elif prefix and answers.switch is not None and answers.switch.address == address:
        yield f"--address {address} is the switch's; the cluster's address belongs to nobody else"
    elif prefix and int(prefix) < 31:
        network = IPv4Network((address, int(prefix)), strict=False)
        if IPv4Address(address) in (network.network_address, network.broadcast_address):
            yield f"--address {address} names the network {network} or all of it; give a host's address"


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def _ha_cf(answers: Answers) -> Iterator[str]:
    first, second = (node.lower() for node in answers.nodes)
    yield "# ha.cf: the two nodes, how they hear each other, and how one cuts the other's power."
    yield "# The same on both nodes. Made by failoverctl init; failoverctl check looks at it."
    yield ""
    yield f"node {first} {second}"
    yield ""
    yield "# A beat every keepalive; a node is silent after deadtime, and a silent node is shot: deadtime is more"
    yield "# than the longest pause your machines ever make. initdead is for the time after a boot."
    yield f"keepalive {answers.keepalive}"
    yield f"deadtime {answers.deadtime}"
    yield "initdead 60"
    yield ""
    yield "# The links. They share nothing: no switch, no card, no cable duct."
    if answers.serial:
        yield f"baud {answers.baud}"
    yield from (f"serial {device}" for device in answers.serial)
    for link in answers.networks:
        yield f"ucast {link.interface} {link.addresses[0]}    # {first}; each node passes over its own"
        yield f"ucast {link.interface} {link.addresses[1]}    # {second}"
    yield ""
    yield "# A group stays where it is when its home node comes back."
    yield "auto_failback off"
    yield from _fence_lines(answers, first, second)
    if answers.watchdog:
        yield ""
        yield f"watchdog {answers.watchdog}"


def _fence_lines(answers: Answers, first: str, second: str) -> Iterator[str]:
    switch = answers.switch
    yield ""
    if switch is None and not answers.fence_lines:
        yield "# Nothing can cut a node: a silent node's groups wait for failoverctl confirm-dead."
        return
    yield "# What cuts a node's power: all of its supplies, and nothing of the other node's."
    yield "# Prove it once on a quiet day, from both sides: failoverctl fence --prove NODE"
    if switch is not None:
        plugs = [text.replace("+", ",") for text in switch.plugs]
        yield (
            f"fence_device {switch.name} {WTI_AGENT} ip={switch.address} password_file={switch.password_file} "
            f"plug.{first}={plugs[0]} plug.{second}={plugs[1]}"
        )
    yield from (f"fence_device {line}" for line in answers.fence_lines)


def _haresources(answers: Answers) -> Iterator[str]:
    yield "# haresources: one line for each group: its home node, then what it consists of, started from left to"
    yield "# right and stopped from right to left. A backslash at the very end of a line joins the next one."
    yield "# The address comes last: clients come back when the service is there. The same on both nodes."
    words = []
    mount = answers.mount.rstrip("/")
    if answers.disk:
        words.append(f"Filesystem::{answers.disk}::{mount}::{answers.fstype}")
    if answers.clients:
        words.append(f"nfsserver::{mount}/.nfs::{answers.address.partition('/')[0]}")
        # One filesystem has one fsid, whoever mounts it.
        words += [f"exportfs::{mount}::{client}::rw,sync,no_subtree_check::1" for client in answers.clients]
    words += answers.services
    if answers.address:
        words.append(f"IPaddr::{answers.address}")
    home = answers.nodes[0].lower()
    pad = " " * (len(home) + 1)
    yield f"{home} " + f" \\\n{pad}".join(words)


def _authkeys(key: str) -> str:
    return (
        "# authkeys: the key both nodes sign their beats with. The same on both nodes, owned by root, mode 600.\n"
        f"auth 1\n1 sha256 {key}\n"
    )
