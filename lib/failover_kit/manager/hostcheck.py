"""What failoverd needs to know before it starts: its options, its three files, and this host held against them.

Everything that is wrong is said together, before anything is touched.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field

from failover_kit.manager import configfiles, host, wire
from failover_kit.manager.callers import GroupPlan, Search, default_search, plan_groups
from failover_kit.manager.config import (
    ClusterConfig,
    ConfigError,
    Link,
    LoadedConfig,
    SerialLink,
    UcastLink,
    in_beat_order,
    serial_fits,
)
from failover_kit.manager.fencedevices import find_agents

EXIT_FAILED = 1
EXIT_SECOND = 3
EXIT_PERMISSION = 4
EXIT_CONFIGURATION = 6
EXIT_LEFT = 7

RUN_DIR = "/run/failover-kit"
STATE_DIR = "/var/lib/failover-kit"
"""With ``state`` (the durable record, the lock) and ``journal`` in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says."""

    config_dir: str = configfiles.CONFIG_DIR
    state_dir: str = STATE_DIR
    run_dir: str = RUN_DIR
    node: str = ""  # "" = uname -n
    boot_id_file: str = host.BOOT_ID_FILE
    self_reset: bool = False
    syslog: bool = False
    check_only: bool = False
    left_only: bool = False
    alerts_dir: str = ""  # "" = alerts.d in config_dir
    metrics_file: str = ""  # "" = none
    search: Search = field(default_factory=lambda: default_search(os.environ))


class CannotStart(Exception):
    """failoverd does not start; ``problems`` is all there is to say, ``code`` its exit code."""

    def __init__(self, code: int, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.code = code
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A configuration that fits this host."""

    node: str
    peer: str
    loaded: LoadedConfig
    config: ClusterConfig
    links: tuple[Link, ...]
    plans: tuple[GroupPlan, ...]
    agents: dict[str, str]


def check_host(options: Options) -> Checked:
    """Read the configuration and hold it against this host. CannotStart with every problem there is."""
    try:
        loaded = configfiles.load(options.config_dir)
    except ConfigError as error:
        raise CannotStart(EXIT_CONFIGURATION, *(str(problem) for problem in error.problems)) from None
    config = loaded.config
    node = (options.node or os.uname().nodename).lower()
    if node not in config.nodes:
        raise CannotStart(
            EXIT_CONFIGURATION,
            f"ha.cf: this node is called {node} (uname -n), and the nodes there are {' and '.join(config.nodes)}; "
            "correct the node line, the host name, or use --node",
        )
    peer = config.peer_of(node)
    problems: list[str] = []
    not_now: list[str] = []  # what may pass by itself: a start that comes later may succeed
    try:
        config = _resolved(config, node, peer)
    except ConfigError as error:
        told = not_now if _without_an_address(config) else problems
        told += [str(problem) for problem in error.problems]
    own = {str(address.ip) for ranges in host.own_networks().values() for address in ranges}
    own |= host.own_ipv6_addresses()
    links = configfiles.links_to_peer(config, own)
    if not links:
        problems.append(f"ha.cf: no link leads to {peer}: every ucast address is this node's own; add the peer's")
    problems += _serial_problems(config)
    plans, missing = plan_groups(config, node, options.search)
    agents, no_agents = find_agents(config, peer, options.search)
    problems += [*missing, *no_agents]
    if config.watchdog_device is not None and not os.path.exists(config.watchdog_device):
        problems.append(
            f"ha.cf: watchdog {config.watchdog_device} is not there; load its driver (modprobe softdog), or take "
            "the line out"
        )
    heartbeat = host.running_heartbeat()
    if heartbeat:
        problems.append(heartbeat)
    if problems or not_now:
        lasting = problems or options.check_only  # who asks now wants to know of the files
        raise CannotStart(EXIT_CONFIGURATION if lasting else EXIT_FAILED, *not_now, *problems)
    return Checked(
        node=node, peer=peer, loaded=loaded, config=config, links=links, plans=plans, agents=agents
    )


def _resolved(config: ClusterConfig, node: str, peer: str) -> ClusterConfig:
    if all(not isinstance(link, UcastLink) or link.peer_address is not None for link in config.links):
        return config  # nothing to derive: no name service is asked
    return configfiles.resolve_links(config, node, host.own_networks(), {peer: host.addresses_of(peer)})


def _without_an_address(config: ClusterConfig) -> bool:
    """Whether an interface that a peer's address is to be derived from has none itself: DHCP may be late."""
    networks = host.own_networks()
    return any(
        isinstance(link, UcastLink) and link.peer_address is None and not networks.get(link.interface)
        for link in config.links
    )


def _serial_problems(config: ClusterConfig) -> list[str]:
    """Devices that are no serial lines, and beats that do not fit (PROTOCOL rule 22)."""
    names = [group.name for group in config.groups]
    links = len(in_beat_order(config.links))
    pings = len(config.pings)
    too_long = wire.frame_fits(config.nodes, names, links=links, pings=pings)
    if too_long:
        return [f"haresources: {too_long}"]
    frame_bytes = wire.max_frame_bytes(config.nodes, names, links=links, pings=pings)
    problems: list[str] = []
    for link in config.links:
        if not isinstance(link, SerialLink):
            continue
        where = f"ha.cf:{link.line}:1: serial {link.device}"
        try:
            if not stat.S_ISCHR(os.stat(link.device).st_mode):
                problems.append(f"{where}: this is no character device; name the serial port, such as /dev/ttyS0")
        except OSError:
            pass  # an adapter that is pulled out is a link that is down until it comes (advice says so)
        refusal = serial_fits(frame_bytes, link.baud, config.timing.keepalive_ms)
        if refusal:
            problems.append(f"{where}: {refusal}")
    return problems
