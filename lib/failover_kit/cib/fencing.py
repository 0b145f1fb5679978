"""The fence devices of ha.cf as Pacemaker's: one for each victim and device, with levels, delays and no secrets.

Sources: Pacemaker Explained, "Fencing"; pacemaker-fenced(7) for pcmk_*; metadata of fence-agents 4.12 (fence_wti).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from failover_kit.cib.hostmap import escaped
from failover_kit.cib.model import (
    FORGET_FAILURES_MS,
    Fate,
    Fence,
    Ids,
    Level,
    Operation,
    Primitive,
    Remark,
    as_interval,
    names,
    whole_seconds,
)
from failover_kit.cib.resources import Agents
from failover_kit.manager.config import ClusterConfig, FenceDevice, is_secret_name
from failover_kit.manager.configfiles import CONFIG_DIR
from failover_kit.manager.hacf_fencing import WTI_AGENT

FENCE_TIMEOUT_MS = 90_000
"""Our agent's longest reboot (73 s, serial at 9600 baud) and something over; Pacemaker's own default is 60 s."""

_OVER_MS = 15_000
"""Beyond what an agent may take by its own times: it starts, and waits for the switch's one session."""

MONITOR_INTERVAL_MS = 300_000
MONITOR_TIMEOUT_MS = 60_000
"""The switch has one session: a monitor waits for another node's, and must not come often. The start of a device is
a monitor, too, and Pacemaker would give it 20 s."""

_WTI_OF_CLUSTERLABS = names(
    "ip ipaddr ipport username login password passwd password_script passwd_script command_prompt cmd_prompt "
    "identity_file inet4_only inet6_only ssh secure ssh_options ssh_path telnet_path quiet verbose verbose_level "
    "debug_file debug plug_separator separator delay login_timeout power_timeout power_wait shell_timeout "
    "stonith_status_sleep retry_on disable_timeout"
)
_WAYS_OF_OURS = ("rest", "serial", "password_env", "ca_file")
_LOGIN_SECRETS = ("password", "passwd")


@dataclass(slots=True)
class FenceCarrier:
    """Makes the fence devices. ``with_secrets``: as ha.cf has them; else by a file on the nodes."""

    config: ClusterConfig
    agents: Agents
    ids: Ids
    with_secrets: bool
    version: tuple[int, ...]
    fences: list[Fence] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    _said: set[tuple[str, str]] = field(default_factory=set)

    def carry(self) -> None:
        """Fill ``fences``, ``levels`` and ``remarks``."""
        for victim in self.config.nodes:
            self._victim(victim, self.config.devices_for(victim))
        if self._both_may_serve() and self.fences:
            what = "fence_delay while both nodes serve"
            why = "equal priorities give no head start; the first device of one node has pcmk_delay_base instead"
            self._say(Fate.CHANGED, what, why)

    def _victim(self, victim: str, levels: tuple[tuple[FenceDevice, ...], ...]) -> None:
        """The devices of the victim's complete levels, and no other: fenced takes any device that names a victim
        which has no topology, and the half of a level that is left would then cut one of two supplies.
        """
        if not levels:
            self._say(Fate.LEFT_OUT, f"fencing of {victim}", _NO_DEVICE)
            return
        kinds = {device.name: self._kind(victim, device) for devices in levels for device in devices}
        whole = []
        for index, devices in enumerate(levels, 1):
            lacking = list(dict.fromkeys(device.name for device in devices if kinds[device.name] is None))
            if lacking:
                why = f"{' and '.join(lacking)} cannot be carried, and the rest of the level alone proves nothing"
                self._say(Fate.LEFT_OUT, f"fence_level {victim} {index}", why)
            else:
                whole.append((index, devices))
        if not whole:
            self._say(Fate.LEFT_OUT, f"fencing of {victim}", _NO_LEVEL)
        found: dict[str, str] = {}
        for index, devices in whole:
            for device in devices:
                kind = kinds[device.name]
                if kind is not None and device.name not in found:
                    primitive = self._primitive(victim, device, kind, first=not found)
                    found[device.name] = primitive.id
                    self.fences.append(Fence(victim=victim, primitive=primitive))
            if sum(len(devices) for devices in levels) > 1:
                self.levels.append(
                    Level(victim=victim, index=index, devices=tuple(found[device.name] for device in devices))
                )

    def _kind(self, victim: str, device: FenceDevice) -> str | None:
        """The agent's name, as ``_type``; None also for a plug that pcmk_host_map cannot hold."""
        kind = self._type(device)
        plug = device.plug_for(victim)
        if kind is not None and escaped(plug, self.version) is None:
            why = f"plug {plug!r} of {victim} has a sign that pcmk_host_map cannot hold there; rename that plug"
            self._say(Fate.LEFT_OUT, _place(device), why)
            return None
        return kind

    def _primitive(self, victim: str, device: FenceDevice, kind: str, *, first: bool) -> Primitive:
        """One device for one victim; ``first``: of the level that is tried first."""
        plug = device.plug_for(victim)
        own = device.agent == kind
        parameters = dict(self._parameters(device, kind) if own else self._theirs(device, kind))
        parameters["pcmk_host_check"] = "static-list"
        if plug == victim:
            parameters["pcmk_host_list"] = victim
        else:
            parameters["pcmk_host_map"] = f"{victim}:{escaped(plug, self.version)}"
        if first and self._both_may_serve() and victim == self.config.nodes[0]:
            # priority-fencing-delay should be twice the largest of these (its description in Pacemaker). On one
            # device alone: fenced waits so long before each device of a level, but once for the priority.
            parameters["pcmk_delay_base"] = as_interval(whole_seconds(self.config.fence_delay_ms) // 2000 * 1000)
        if device.trusted:
            why = "Pacemaker believes every fence agent's exit code"
            self._say(Fate.DROPPED, f"fence_trust {device.name}", why)
        return Primitive(
            id=self.ids.make("fence", victim, device.name),
            standard="stonith",
            type=kind,
            parameters=tuple(parameters.items()),
            operations=(
                Operation(name="start", timeout_ms=MONITOR_TIMEOUT_MS),
                Operation(name="monitor", interval_ms=MONITOR_INTERVAL_MS, timeout_ms=MONITOR_TIMEOUT_MS),
            ),
            meta=(("failure-timeout", as_interval(FORGET_FAILURES_MS)),),
        )

    def _both_may_serve(self) -> bool:
        """Two groups, of one home also: stickiness keeps them apart, and the nodes' priorities are equal then."""
        return len(self.config.groups) > 1

    def _type(self, device: FenceDevice) -> str | None:
        """The agent's name for Pacemaker; None after a remark that says why there is none."""
        if device.stonith_type:
            if self.version >= (3,):
                why = (
                    "Pacemaker 3 runs plugins of cluster-glue only where it was built with them; "
                    "better a fence agent for that device"
                )
                self._say(Fate.TO_DO, _place(device), why)
            return device.stonith_type
        name = os.path.basename(device.agent)
        if name != device.agent:
            why = f"Pacemaker knows agents by name, in /usr/sbin alone; put {device.agent} there"
            self._say(Fate.TO_DO, _place(device), why)
        if name == WTI_AGENT and self.agents is Agents.CLUSTERLABS:
            ways = [way for way in _WAYS_OF_OURS if way in dict(device.parameters)]
            if ways:
                why = f"fence_wti has no {' and no '.join(ways)}; use --agents ours"
                self._say(Fate.LEFT_OUT, _place(device), why)
                return None
            return "fence_wti"
        return name

    def _parameters(self, device: FenceDevice, kind: str) -> Iterator[tuple[str, str]]:
        """The device's own parameters; where secrets stay out, the name of a file in their place."""
        for name, value in device.parameters:
            if name == "plug":
                continue
            if is_secret_name(name) and not self.with_secrets:
                yield from self._without_secret(device, kind, name)
            else:
                yield name, value

    def _theirs(self, device: FenceDevice, kind: str) -> Iterator[tuple[str, str]]:
        """Parameters for fence_wti of a device that is fence_wti_ips800's here, or an agent given by its path."""
        if kind != "fence_wti":
            yield from self._parameters(device, kind)
            return
        for name, value in self._parameters(device, kind):
            if name in _WTI_OF_CLUSTERLABS:
                yield name, value
            elif name == "password_file":
                yield self._script(device, f"with the password that is in {value}")
            else:
                self._say(Fate.DROPPED, f"{_place(device)}, {name}", "fence_wti has no such parameter")

    def _without_secret(self, device: FenceDevice, kind: str, name: str) -> Iterator[tuple[str, str]]:
        given = dict(device.parameters)
        if name in _LOGIN_SECRETS and ("password_file" in given or "password_script" in given):
            return  # these count first anyway
        if name in _LOGIN_SECRETS and kind == WTI_AGENT:
            path = os.path.join(CONFIG_DIR, f"{device.name}.password")
            why = f"it stays out of the CIB; on both nodes put it into {path}, mode 0600"
            self._say(Fate.TO_DO, f"{_place(device)}, {name}", why)
            yield "password_file", path
        elif name in _LOGIN_SECRETS and not device.stonith_type:
            yield self._script(device, "with it")
        else:
            why = "a secret that has no other way than the CIB; --with-secrets writes it there"
            self._say(Fate.LEFT_OUT, f"{_place(device)}, {name}", why)

    def _script(self, device: FenceDevice, what: str) -> tuple[str, str]:
        path = os.path.join(CONFIG_DIR, f"{device.name}.password.sh")
        why = f"it stays out of the CIB; on both nodes make {path}, a program that prints a line {what}, mode 0700"
        self._say(Fate.TO_DO, f"{_place(device)}, password", why)
        return "password_script", path

    def _say(self, fate: Fate, what: str, why: str) -> None:
        """One remark, once: a device serves two victims."""
        if (what, why) not in self._said:
            self._said.add((what, why))
            self.remarks.append(Remark(fate, what, why))


def fence_timeout_ms(config: ClusterConfig) -> int:
    """stonith-timeout: what failoverd allows a call, what the slowest device may take, and ``FENCE_TIMEOUT_MS``."""
    needs = [_reboot_ms(device) + _OVER_MS for device in config.fence_devices if not device.stonith_type]
    return max(FENCE_TIMEOUT_MS, config.op_timeout_ms, *needs)


def _reboot_ms(device: FenceDevice) -> int:
    """The longest reboot by the device's own parameters: fence.config.default_timeout_ms, with its defaults.

    fence-agents' times have the same names, and defaults no longer than ours.
    """
    given = dict(device.parameters)

    def ms(name: str, default_s: float = 0) -> int:
        text = given.get(name, "")
        seconds = float(text) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) else default_s
        return round(seconds * 1000)

    if ms("timeout") and device.agent == WTI_AGENT:
        return ms("timeout")
    # Each screen is read twice on a serial line, ten bits for a byte (fence.config.line_ms).
    slow_ms = 2 * 2048 * 10 * 1000 // (ms("baud", 9600) // 1000 or 9600) if "serial" in given else 0
    phases = 1 + max(1, ms("retry_on", 1) // 1000)
    total = ms("login_timeout", 10) + 2 * (ms("shell_timeout", 3) + slow_ms)
    total += phases * (ms("power_timeout", 20) + ms("power_wait") + slow_ms)
    return total + ms("delay") + ms("delay_random")


def _place(device: FenceDevice) -> str:
    return f"ha.cf:{device.line}:1: fence device {device.name}"


_NO_DEVICE = (
    "ha.cf has nothing that cuts its power; Pacemaker starts nothing at all before there is a device "
    "(stonith-enabled stays true: without it a silent node would be taken for dead)"
)
_NO_LEVEL = "no level of it can be carried whole, and half a level cuts one of two supplies; it has no device there"

