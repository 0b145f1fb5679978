"""The cables and the two Ethernet switches between nodes, client and power switch.

A namespace of its own holds two bridges: ``front`` (client, power switch, both nodes' eth0) and ``crossover``
(both nodes' eth1, nothing else). Whoever pulls a cable takes a port of a bridge down: the node at the other
end keeps its card and its address and loses the carrier, as on a real machine.
"""

from __future__ import annotations

import threading

from failover_kit.rehearsal.loss import drop
from failover_kit.rehearsal.namespaces import NetworkNamespace
from failover_kit.rehearsal.plan import (
    CLIENT_ADDRESS,
    FRONT,
    FRONT_PREFIX,
    HEARTBEAT,
    NODES,
    SWITCH_ADDRESS,
    NodePlan,
)

_BRIDGES = {FRONT: "front", HEARTBEAT: "crossover"}


def _port(node: str, interface: str) -> str:
    return f"{node}.{interface}"


class Network:
    """Everything between the machines."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a node may die while a cable of it is being pulled
        self._namespaces: list[NetworkNamespace] = []
        self.patch = self._made()
        self.client = self._made()
        self.switch = self._made()
        self._cut: set[str] = set()
        self._pulled: set[str] = set()
        self._loss: dict[str, int] = {}
        bridges = [
            line
            for bridge in _BRIDGES.values()
            for line in (
                f"link add name {bridge} type bridge stp_state 0 forward_delay 0",
                f"link set dev {bridge} up",
            )
        ]
        self.patch.ip("link set lo up", *bridges)
        for name, namespace, address in (
            ("kokone", self.client, CLIENT_ADDRESS),
            ("benjamin", self.switch, SWITCH_ADDRESS),
        ):
            self.patch.ip(
                f"link add {name} type veth peer name {FRONT} netns {namespace.path}",
                f"link set {name} master {_BRIDGES[FRONT]} up",
            )
            namespace.ip(
                "link set lo up", f"link set {FRONT} up", f"addr add {address}/{FRONT_PREFIX} dev {FRONT}"
            )

    def _made(self) -> NetworkNamespace:
        namespace = NetworkNamespace()
        self._namespaces.append(namespace)
        return namespace

    def close(self) -> None:
        for namespace in self._namespaces:
            namespace.close()

    def plug_in(self, node: NodePlan) -> NetworkNamespace:
        """A fresh namespace for a node that boots, with both its cards; the caller closes it."""
        namespace = NetworkNamespace()
        with self._lock:
            self.unplug(node)
            for interface, bridge in _BRIDGES.items():
                port = _port(node.name, interface)
                state = "down" if interface in self._cut or port in self._pulled else "up"
                self.patch.ip(
                    f"link add {port} type veth peer name {interface} address {node.mac(interface)} "
                    f"netns {namespace.path}",
                    f"link set {port} master {bridge} {state}",
                )
                if port in self._loss:
                    drop(self.patch, port, self._loss[port])
        namespace.ip(
            "link set lo up",
            f"link set {FRONT} up",
            f"link set {HEARTBEAT} up",
            f"addr add {node.front_address}/{FRONT_PREFIX} dev {FRONT}",
            f"addr add {node.heartbeat_address}/{FRONT_PREFIX} dev {HEARTBEAT}",
        )
        return namespace

    def unplug(self, node: NodePlan) -> None:
        """Both cards of the node are gone at once, with every address on them."""
        with self._lock:
            for interface in _BRIDGES:
                port = _port(node.name, interface)
                if self._has(port):
                    self.patch.ip(f"link del {port}")

    def _has(self, port: str) -> bool:
        import socket

        def names() -> set[str]:
            return {name for _, name in socket.if_nameindex()}

        return port in self.patch.inside(names)

    def set_heartbeat(self, *, connected: bool) -> None:
        """Pull or push in the network cable between the nodes, for both at once."""
        if connected:
            self._cut.discard(HEARTBEAT)
        else:
            self._cut.add(HEARTBEAT)
        state = "up" if connected else "down"
        ports = [_port(node.name, HEARTBEAT) for node in NODES]
        with self._lock:
            self.patch.ip(*(f"link set {port} {state}" for port in ports if self._has(port)))

    def set_port(self, node: NodePlan, interface: str, *, connected: bool) -> None:
        """Pull or push in the cable at one card of one node."""
        port = _port(node.name, interface)
        (self._pulled.discard if connected else self._pulled.add)(port)
        state = "up" if connected and interface not in self._cut else "down"
        with self._lock:
            if self._has(port):
                self.patch.ip(f"link set {port} {state}")

    def lose(self, node: NodePlan, interface: str, percent: int) -> None:
        """Of the frames that this card sends so many of a hundred are lost; 100: one direction is cut."""
        port = _port(node.name, interface)
        with self._lock:
            if percent == self._loss.get(port, 0):
                return
            self._loss[port] = percent
            if not percent:
                del self._loss[port]
            if self._has(port):
                drop(self.patch, port, percent)

    def heartbeat_connected(self) -> bool:
        return HEARTBEAT not in self._cut
