"""The fence devices of ha.cf as Pacemaker's: one for each victim and device, with levels, delays and no secrets.

Sources: Pacemaker Explained, "Fencing"; pacemaker-fenced(7) for pcmk_*; metadata of fence-agents 4.12 (fence_wti).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from failover_kit.cib.model import Fate, Fence, Ids, Level, Operation, Primitive, Remark, as_interval, names
from failover_kit.cib.resources import Agents
from failover_kit.manager.config import ClusterConfig, FenceDevice, is_secret_name
from failover_kit.manager.configfiles import CONFIG_DIR
from failover_kit.manager.hacf_fencing import WTI_AGENT

FENCE_TIMEOUT_MS = 90_000
"""Our agent's longest reboot (73 s, serial at 9600 baud) and something over; Pacemaker's own default is 60 s."""

MONITOR_INTERVAL_MS = 300_000
MONITOR_TIMEOUT_MS = 60_000
"""The switch has one session: a monitor waits for another node's, and must not come often."""

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
            levels = self.config.devices_for(victim)
            if not levels:
                self._say(Fate.LEFT_OUT, f"fencing of {victim}", _NO_DEVICE)
            found: dict[str, str] = {}
            for devices in levels:
                for device in devices:
                    if device.name not in found:
                        primitive = self._primitive(victim, device)
                        if primitive is not None:
                            found[device.name] = primitive.id
                            self.fences.append(Fence(victim=victim, primitive=primitive))
            if sum(len(devices) for devices in levels) > 1:
                self._levels(victim, levels, found)
        both_serve = len({group.home for group in self.config.groups}) > 1
        if both_serve and self.fences:
            what = "fence_delay while both nodes serve"
            why = "equal priorities give no head start; the devices of one node have pcmk_delay_base instead"
            self._say(Fate.CHANGED, what, why)

    def _levels(self, victim: str, levels: tuple[tuple[FenceDevice, ...], ...], found: dict[str, str]) -> None:
        for index, devices in enumerate(levels, 1):
            lacking = [device.name for device in devices if device.name not in found]
            if lacking:
                # Half of a level would be taken for a proof that it is not.
                why = f"{' and '.join(lacking)} cannot be carried, and the rest of the level alone proves nothing"
                self._say(Fate.LEFT_OUT, f"fence_level {victim} {index}", why)
                continue
            self.levels.append(
                Level(victim=victim, index=index, devices=tuple(found[device.name] for device in devices))
            )

    def _primitive(self, victim: str, device: FenceDevice) -> Primitive | None:
        kind = self._type(device)
        if kind is None:
            return None
        plug = device.plug_for(victim)
        if any(sign in plug for sign in ";: \t"):
            why = f"plug {plug!r} of {victim} has a sign that parts words in pcmk_host_map"
            self._say(Fate.LEFT_OUT, _place(device), why)
            return None
        own = device.agent == kind
        parameters = dict(self._parameters(device, kind) if own else self._theirs(device, kind))
        parameters["pcmk_host_check"] = "static-list"
        if plug == victim:
            parameters["pcmk_host_list"] = victim
        else:
            parameters["pcmk_host_map"] = f"{victim}:{plug}"
        homes = {group.home for group in self.config.groups}
        if len(homes) > 1 and victim == self.config.nodes[0]:
            # priority-fencing-delay should be twice the largest of these (its description in Pacemaker).
            parameters["pcmk_delay_base"] = as_interval(self.config.fence_delay_ms // 2000 * 1000)
        if device.trusted:
            why = "Pacemaker believes every fence agent's exit code"
            self._say(Fate.DROPPED, f"fence_trust {device.name}", why)
        return Primitive(
            id=self.ids.make("fence", victim, device.name),
            standard="stonith",
            type=kind,
            parameters=tuple(parameters.items()),
            operations=(
                Operation(name="monitor", interval_ms=MONITOR_INTERVAL_MS, timeout_ms=MONITOR_TIMEOUT_MS),
            ),
        )

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


def _place(device: FenceDevice) -> str:
    return f"ha.cf:{device.line}:1: fence device {device.name}"


_NO_DEVICE = (
    "ha.cf has nothing that cuts its power; Pacemaker starts nothing at all before there is a device "
    "(stonith-enabled stays true: without it a silent node would be taken for dead)"
)

