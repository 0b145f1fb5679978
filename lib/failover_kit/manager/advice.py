"""What ``failoverd --check`` says of a configuration that loads: what it means, its notes, and what to look at.

Advice is about what may come later or is better than nothing (a card that is down, a password file that is
not written yet). It keeps nobody from starting: a daemon that refuses for a cable would be the outage.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Sequence

from failover_kit.manager.config import ClusterConfig, FenceDevice, Link, SerialLink, cable_of


def meaning(config: ClusterConfig, node: str, links: Sequence[Link]) -> list[str]:
    """The configuration in a few sentences, as this node reads it."""
    peer = config.peer_of(node)
    names = " and ".join(dict.fromkeys(link.name for link in links))
    lines = [f"the configuration loads on {node}: peer {peer} over {names}"]
    for group in config.groups:
        parts = ", ".join(resource.name for resource in group.resources)
        lines.append(f"group {group.name}, home {group.home}: {parts}")
    if config.can_fence(peer):
        lines += _levels(config, peer)
        lines += trusted_devices(config, peer)
        lines.append(_when(config, node, peer))
    else:
        lines.append(f"nothing can fence {peer}: it is taken over only after failoverctl confirm-dead {peer}")
    return lines


def _levels(config: ClusterConfig, victim: str) -> list[str]:
    """Each way to cut it, in the order they are tried, with the plugs that must all be OFF together."""
    lines = []
    for number, level in enumerate(config.devices_for(victim), 1):
        plugs = [f"{device.name} plug {plug}" for device in level for plug in device.plugs_for(victim)]
        together = " and ".join(plugs) + (", all of them OFF" if len(plugs) > 1 else "")
        lines.append(f"{victim} is fenced by {together}" if number == 1 else f"  if that fails, by {together}")
    return lines


def trusted_devices(config: ClusterConfig, victim: str) -> tuple[str, ...]:
    """One sentence for each device whose off is believed unread (PROTOCOL rule 8: status keeps saying so)."""
    trusted = {d.name: d for level in config.devices_for(victim) for d in level if d.trusted}
    return tuple(
        f"{victim} counts as off when {name} ({device.agent}) says that it was switched: nothing reads it back "
        "(fence_trust)"
        for name, device in trusted.items()
    )


def _when(config: ClusterConfig, node: str, peer: str) -> str:
    """How long after a power cut of the active peer its fencing begins here: the sum nobody likes to do."""
    turns = 1 if config.groups and config.groups[0].home == node else 2  # docs/protocol.md, rule 10
    deadtime_s, delay_s = config.timing.deadtime_ms / 1000, turns * config.fence_delay_ms / 1000
    return (
        f"when {peer} is active and loses its power, its fencing begins here after {deadtime_s + delay_s:g} s: "
        f"deadtime {deadtime_s:g} s, then {delay_s:g} s in which it would shoot first, were it alive (fence_delay)"
    )


def advice(config: ClusterConfig, links: Sequence[Link]) -> list[str]:
    """What to look at on this host before the pair is trusted; place, fact and remedy."""
    found = []
    interfaces = {name for _, name in socket.if_nameindex()}
    for link in links:
        if isinstance(link, SerialLink):
            if not os.path.exists(link.device):
                found.append(
                    f"ha.cf:{link.line}:1: there is no serial device {link.device} here now: the link is down "
                    "until it comes; correct the name, plug the adapter in, or load the driver of the port"
                )
        elif link.interface not in interfaces:
            there = ", ".join(sorted(interfaces))
            found.append(
                f"ha.cf:{link.line}:1: there is no interface {link.interface} here now (there are: {there}): "
                "no beat leaves by it before it comes"
            )
    cables, names = {cable_of(link) for link in links}, {link.name for link in links}
    if len(cables) < 2:
        count = "one link only" if len(names) < 2 else f"all links are on one cable ({', '.join(cables)})"
        found.append(f"ha.cf: {count}: its failure looks like the peer's; add a second of another kind")
    for device in config.fence_devices:
        found += _password_file(device)
    return found


def _password_file(device: FenceDevice) -> list[str]:
    path = dict(device.parameters).get("password_file", "")
    if not path:
        return []
    where = f"ha.cf:{device.line}:1: password file {path} of {device.name}"
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except OSError as error:
        return [f"{where}: {error.strerror}: nothing can be fenced by it; write it, mode 600"]
    if mode & 0o077:
        return [f"{where} is open to others (mode {mode:04o}); chmod 600 {path}"]
    return []
