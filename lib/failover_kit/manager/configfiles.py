"""Reads ``ha.cf``, ``haresources`` and ``authkeys`` and holds them against each other.

The only module of the configuration that touches the host, and all it touches is these three files:
whether devices, scripts and interfaces exist is asked at start, by others. What the files leave to the
host (``ucast eth1`` without an address) is derived from facts the caller passes in.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address

from failover_kit.manager import authkeys, hacf, haresources
from failover_kit.manager.config import (
    AuthKeys,
    AuthMethod,
    ClusterConfig,
    ConfigError,
    Link,
    LoadedConfig,
    Note,
    Problem,
    SerialLink,
    UcastLink,
    config_digest,
    fencing_digest,
    is_secret_name,
)

CONFIG_DIR = "/etc/ha.d"
EXAMPLES = "/usr/share/doc/failover-kit/examples"
MAX_FILE_BYTES = 64 * 1024
"""A hundred times what a pair needs; a device or a log linked in by mistake is not read to its end."""


@dataclass(frozen=True, slots=True)
class _File:
    """One file as read; ``text`` is None when there is a problem with it."""

    text: str | None
    mode: int = 0
    problems: tuple[Problem, ...] = ()


def load(config_dir: str = CONFIG_DIR, amend: Callable[[str], str] | None = None) -> LoadedConfig:
    """Read the three files. ConfigError has the problems of all of them together.

    ``amend`` gets the text of ha.cf and gives another: what would be, were it written so.
    """
    ha_cf, resources, keys = (_read(config_dir, name) for name in ("ha.cf", "haresources", "authkeys"))
    problems = [*ha_cf.problems, *resources.problems, *keys.problems]
    notes: list[Note] = []
    config = groups = auth = None
    if ha_cf.text is not None and amend is not None:
        ha_cf = replace(ha_cf, text=amend(ha_cf.text))
    if ha_cf.text is not None:
        parsed = hacf.parse(ha_cf.text)
        config = parsed.value
        problems += parsed.problems
        notes += parsed.notes
    if resources.text is not None:
        nodes = config.nodes if config else hacf.nodes_of(ha_cf.text or "")
        parsed_groups = haresources.parse(resources.text, nodes)
        groups = parsed_groups.value
        problems += parsed_groups.problems
        notes += parsed_groups.notes
    if keys.text is not None:
        parsed_keys = authkeys.parse(keys.text)
        auth = parsed_keys.value
        problems += parsed_keys.problems
        notes += parsed_keys.notes
    if config is not None and auth is not None:
        problems += check_media(config, auth)
    if problems or config is None or groups is None or auth is None:
        raise ConfigError(tuple(problems))
    config = replace(config, groups=groups)
    config = replace(
        config, digest=config_digest(config, auth), fencing_digest=fencing_digest(config, auth)
    )
    notes += _password_note(config, ha_cf.mode)
    return LoadedConfig(config=config, authkeys=auth, notes=tuple(notes))


def _read(config_dir: str, name: str) -> _File:
    """One file: its text, or why there is none. The checks look at the file that is open, not at a path."""

    def refused(text: str, line: int = 0, column: int = 0) -> _File:
        return _File(None, problems=(Problem(name, line, column, text),))

    path = os.path.join(config_dir, name)
    try:
        # O_NONBLOCK: opening a FIFO without a writer would wait for ever (open(2)).
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return refused(
            f"not found in {config_dir}; create it ({EXAMPLES} has examples), or use --config-dir"
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no path name"
        return refused(f"cannot open {path!r}: {reason}; it must be a file that root can read")
    try:
        with open(descriptor, "rb") as stream:
            facts = os.fstat(descriptor)
            refusal = _refusal(name, path, facts)
            if refusal:
                return refused(refusal)
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        return refused(f"cannot read {path!r}: {error.strerror}; it must be a file that root can read")
    if len(data) > MAX_FILE_BYTES:
        return refused(f"larger than {MAX_FILE_BYTES // 1024} KiB; this cannot be {name}")
    try:
        return _File(data.decode("utf-8"), stat.S_IMODE(facts.st_mode))
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode("utf-8")) + 1
        return refused("not UTF-8; save the file as plain ASCII or UTF-8 text", line, column)


def _refusal(name: str, path: str, facts: os.stat_result) -> str:
    """"" when the file may be used, else fact and remedy."""
    mode = stat.S_IMODE(facts.st_mode)
    if not stat.S_ISREG(facts.st_mode):
        return f"{path} is no regular file; put the file itself there"
    if name != "authkeys":
        # It says what root runs, so nobody else may write it.
        return f"{path} can be written by everybody (mode {mode:04o}); chmod o-w {path}" if mode & 0o002 else ""
    if mode & 0o077:
        return f"{path} is open to others (mode {mode:04o}); chmod 600 {path}, and change the keys"
    if facts.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to user {facts.st_uid}; chown root {path}, and change the keys"
    return ""


def check_media(config: ClusterConfig, keys: AuthKeys) -> list[Problem]:
    """crc is no authentication: it is accepted only where every link is a serial line."""
    network = next((link for link in config.links if not isinstance(link, SerialLink)), None)
    if network is None:
        return []
    return [
        Problem(
            "authkeys",
            keys.lines.get(index, 0),
            1,
            f"key {index} is crc, and anybody on the network of ha.cf line {network.line} "
            f"({network.directive} {network.interface}) could forge beats; use sha1 with a key",
        )
        for index, method in sorted(keys.methods.items())
        if method is AuthMethod.CRC
    ]


def _password_note(config: ClusterConfig, mode: int) -> list[Note]:
    """A password in a file that everybody reads is the site's decision, but it should be one."""
    if not mode & 0o044:
        return []
    for device in config.fence_devices:
        if any(is_secret_name(name) for name, _ in device.parameters):
            text = f"a password stands here and the file is readable by others (mode {mode:04o}); chmod 600 ha.cf"
            return [Note("ha.cf", device.line, 1, text)]
    return []


def resolve_links(
    config: ClusterConfig,
    node: str,
    networks: Mapping[str, Sequence[IPv4Interface]],
    addresses: Mapping[str, Sequence[str]],
) -> ClusterConfig:
    """Fill in the peer's address of each ``ucast INTERFACE`` where it is beyond doubt (HOWTO, variant).

    ``networks`` are this node's own addresses by interface, ``addresses`` the IPv4 addresses each node's name
    resolves to. Beyond doubt is: exactly one address of the peer's name lies in the networks of that
    interface, or the network has room for two hosts only. ConfigError with the line to write otherwise.
    """
    peer = config.peer_of(node)
    own = {str(network.ip) for ranges in networks.values() for network in ranges}
    links: list[Link] = []
    problems: list[Problem] = []
    for link in config.links:
        if not isinstance(link, UcastLink) or link.peer_address is not None:
            links.append(link)
            continue
        ranges = networks.get(link.interface, ())
        candidates = _candidates(ranges, addresses.get(peer, ())) - own
        if len(candidates) == 1:
            links.append(replace(link, peer_address=candidates.pop()))
            continue
        problems.append(Problem("ha.cf", link.line, 1, _underivable(link, peer, ranges, candidates)))
    if problems:
        raise ConfigError(tuple(problems))
    return replace(config, links=tuple(dict.fromkeys(links)))


def _candidates(ranges: Sequence[IPv4Interface], peer_addresses: Sequence[str]) -> set[str]:
    """The addresses the peer may have on an interface with these ranges."""
    found = {
        address for address in peer_addresses for own in ranges if IPv4Address(address) in own.network
    }
    if found:
        return found
    return {str(host) for own in ranges if own.network.prefixlen in (30, 31) for host in own.network.hosts()}


def _underivable(
    link: UcastLink, peer: str, ranges: Sequence[IPv4Interface], candidates: set[str]
) -> str:
    """Why the peer's address is not clear, and the line to write."""
    if not ranges:
        fact = f"interface {link.interface} has no IPv4 address here"
    elif candidates:
        fact = f"{peer} has several addresses there ({', '.join(sorted(candidates))})"
    else:
        where = " and ".join(str(own.network) for own in ranges)
        fact = f"the name {peer} has no address in {where}"
    remedy = f"write ucast {link.interface} ADDRESS, with the address of {peer} on {link.interface}"
    return f"ucast {link.interface} without an address: {fact}; {remedy}"


def links_to_peer(config: ClusterConfig, own_addresses: Collection[str]) -> tuple[Link, ...]:
    """The links without the ucast lines that lead to this node itself: one ha.cf may serve both nodes.

    A link-local IPv6 address stands in ``own_addresses`` with its interface, ``fe80::1%eth1``.
    """

    def is_own(link: Link) -> bool:
        if not isinstance(link, UcastLink) or link.peer_address is None:
            return False
        zone = f"%{link.interface}" if link.ipv6 and IPv6Address(link.peer_address).is_link_local else ""
        return link.peer_address + zone in own_addresses

    return tuple(link for link in config.links if not is_own(link))
