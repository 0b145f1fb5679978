"""corosync.conf for the pair: nodes, links, token. corosync.conf(5), votequorum(5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from failover_kit.manager.config import ClusterConfig, UcastLink

LEAST_TOKEN_MS = 1000
"""Corosync's own default before 3.1. Less was tried on a busy machine, and both nodes shot each other."""


@dataclass(frozen=True, slots=True)
class Here:
    """The node this is asked on, and its own networks by interface."""

    node: str
    networks: Mapping[str, Sequence[IPv4Interface]]


def corosync_conf(config: ClusterConfig, here: Here | None, name: str = "failover") -> str:
    """The text. An address that is not certain stands as ``ADDRESS-OF-node-ON-interface``.

    A guess would be dangerous: corosync knows itself by its address, and with the two exchanged each node
    would go by the other's name, and shoot itself. ``here`` None: asked on neither of the two.
    """
    token_ms = max(LEAST_TOKEN_MS, config.timing.deadtime_ms)
    wait = 0 if config.boot_alone else 1
    lines = [
        "totem {",
        "    version: 2",
        f"    cluster_name: {name}",
        "    transport: knet",
        "    crypto_cipher: aes256",
        "    crypto_hash: sha256",
        f"    token: {token_ms}",
        "}",
        "nodelist {",
    ]
    for number, node in enumerate(config.nodes, 1):
        lines += ["    node {", f"        name: {node}", f"        nodeid: {number}"]
        for index, (interface, addresses) in enumerate(_networks(config, here)):
            address = addresses[number - 1] or f"ADDRESS-OF-{node}-ON-{interface}"
            lines.append(f"        ring{index}_addr: {address}")
        lines.append("    }")
    lines += [
        "}",
        "quorum {",
        "    provider: corosync_votequorum",
        "    two_node: 1",
        f"    wait_for_all: {wait}",
        "}",
        "logging {",
        "    to_syslog: yes",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _networks(config: ClusterConfig, here: Here | None) -> list[tuple[str, tuple[str, str]]]:
    """Each interface with the address of the first and of the second node on it, "" where that is not certain."""
    found: list[tuple[str, tuple[str, str]]] = []
    for interface in dict.fromkeys(getattr(link, "interface", "") for link in config.links):
        if not interface:
            continue
        written = {
            link.peer_address
            for link in config.links
            if isinstance(link, UcastLink) and link.interface == interface and link.peer_address
        }
        own, peer = _own_and_peer(written, here.networks.get(interface, ()) if here else ())
        first = here is not None and here.node == config.nodes[0]
        found.append((interface, (own, peer) if first else (peer, own)))
    return found or [("eth0", ("", ""))]


def _own_and_peer(written: set[str], ranges: Sequence[IPv4Interface]) -> tuple[str, str]:
    """This node's address and the other's on an interface; which of ha.cf's is whose only the node itself knows."""
    own = {str(network.ip) for network in ranges}
    peers = written - own
    if len(peers) != 1 or not ranges:
        return "", ""
    peer = peers.pop()
    mine = [str(network.ip) for network in ranges if ":" not in peer and IPv4Address(peer) in network.network]
    return (mine[0], peer) if len(mine) == 1 else ("", "")
