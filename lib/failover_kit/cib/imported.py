"""What was found in a CIB as ha.cf and haresources. What does not fit is left out and said; secrets stay out."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from failover_kit.cib.model import Fate, Primitive, Remark, as_interval
from failover_kit.cib.readxml import Found, FoundGroup, Reader, plug_of, secrets_of
from failover_kit.cib.resources import Agents
from failover_kit.manager import hacf, haresources
from failover_kit.manager.callers import OUR_PROVIDER
from failover_kit.manager.config import MONITOR_FAILURES, is_secret_name
from failover_kit.manager.configfiles import CONFIG_DIR
from failover_kit.manager.hacf_fencing import WTI_AGENT

_OURS = {"IPaddr2": "IPaddr", "IPaddr": "IPaddr", "Filesystem": "Filesystem", "exportfs": "exportfs",
         "nfsserver": "nfsserver"}  # fmt: skip
_OF_THE_CLUSTER = ("dc-version", "cluster-infrastructure", "cluster-name", "have-watchdog", "last-lrm-refresh")
_IN_A_WORD = re.compile(r"[^\s\\#]*")
_MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a CIB does not say."""

    links: tuple[str, ...] = ()  # lines of ha.cf
    deadtime: str = "10"
    agents: Agents = Agents.CLUSTERLABS


@dataclass(slots=True)
class Importer:
    """Makes the texts; ``remarks`` are of reading and of writing."""

    found: Found
    terms: Terms
    reader: Reader
    trusted: list[str] = field(default_factory=list)

    @property
    def remarks(self) -> list[Remark]:
        order = list(Fate)
        return sorted(dict.fromkeys(self.reader.remarks), key=lambda remark: order.index(remark.fate))

    def texts(self) -> tuple[str, str]:
        """ha.cf and haresources. What failoverd would refuse in them is a remark."""
        lines = [self._line(group) for group in self.found.groups]
        resources = "".join(f"{line}\n" for line in lines if line)
        if not resources:
            self.reader.lost("haresources", "no resource fits, and a pair without one does nothing")
        devices = self._devices()
        ha_cf = "\n".join(
            [
                "# Made by failoverctl import-cib. Read it before you start anything.",
                f"node {' '.join(self.found.nodes)}",
                *self._times(),
                *(self.terms.links or ("# links: serial /dev/ttyS0, or ucast INTERFACE ADDRESS of each node",)),
                f"auto_failback {'on' if self._goes_home() else 'off'}",
                f"monitor_failures {self._failures()}",
                f"fence_action {'off' if self.found.properties.get('stonith-action') == 'off' else 'reboot'}",
                *devices,
            ]
        )
        self._the_rest()
        self._hold_up(ha_cf + "\n", resources)
        return ha_cf + "\n", resources

    # --- ha.cf -----------------------------------------------------------------------------------------

    def _times(self) -> list[str]:
        lost = self.reader.lost
        lost("deadtime", f"corosync's token is not in a CIB; deadtime is {self.terms.deadtime}", Fate.TO_DO)
        if not self.terms.links:
            lost("links", "they are not in a CIB: --link INTERFACE=ADDRESS,ADDRESS or --serial DEVICE", Fate.TO_DO)
        lost("authkeys", "make one with failoverctl init, or by hand; the same on both nodes", Fate.TO_DO)
        return ["keepalive 1", f"deadtime {self.terms.deadtime}"]

    def _goes_home(self) -> bool:
        """auto_failback: whether a preference for a node outweighs staying."""
        homes = [self._home_score(group) for group in self.found.groups]
        stays = [self._stickiness(group) for group in self.found.groups]
        answers = {home > stay for home, stay in zip(homes, stays, strict=True) if home > 0}
        if len(answers) > 1:
            self.reader.lost("resource-stickiness", "it differs between groups; auto_failback is off", Fate.CHANGED)
        return answers == {True}

    def _stickiness(self, group: FoundGroup) -> int:
        text = group.meta.get("resource-stickiness", self.found.defaults.get("resource-stickiness", "0"))
        return _score(text) * len(group.members)

    def _home_score(self, group: FoundGroup) -> int:
        return max((_score(self.found.scores.get((group.id, node), "0")) for node in self.found.nodes), default=0)

    def _failures(self) -> int:
        given = [
            group.meta.get("migration-threshold", self.found.defaults.get("migration-threshold", ""))
            for group in self.found.groups
        ]
        numbers = {int(text) for text in given if text.isascii() and text.isdigit() and 0 < int(text) <= _MOST}
        if not numbers:
            why = f"without one Pacemaker restarts in place for ever; here it is {MONITOR_FAILURES}"
            self.reader.lost("migration-threshold", why, Fate.CHANGED)
        elif len(numbers) > 1:
            self.reader.lost("migration-threshold", "it differs between groups; the least is taken", Fate.CHANGED)
        return min(numbers, default=MONITOR_FAILURES)

    def _the_rest(self) -> None:
        known = ("stonith-enabled", "stonith-action", "stonith-timeout", "fencing-timeout", "dc-deadtime")
        for name, value in self.found.properties.items():
            if name in known or name in _OF_THE_CLUSTER or name == "maintenance-mode":
                continue
            why = "there is no such thing"
            if name == "priority-fencing-delay":
                why = "fence_delay is what deadtime and keepalive make it; see failoverctl budget"
            self.reader.lost(f"property {name}={value}", why, Fate.DROPPED)
        if self.found.properties.get("stonith-enabled", "true").lower() in ("false", "0", "no", "off"):
            why = "here nothing is taken over from a silent node that was not read OFF; an operator can confirm it"
            self.reader.lost("stonith-enabled=false", why, Fate.CHANGED)

    # --- fence devices ---------------------------------------------------------------------------------

    def _devices(self) -> list[str]:
        """``fence_device`` lines; devices that differ in their victim alone are one. Then levels."""
        boxes: dict[tuple[object, ...], tuple[str, Primitive, dict[str, str]]] = {}
        by_id: dict[str, str] = {}
        for fence in self.found.fences:
            primitive = fence.primitive
            own = tuple(pair for pair in primitive.parameters if not pair[0].startswith("pcmk_"))
            name = _device_name(primitive.id, self.found.nodes)
            key = (primitive.type, tuple(sorted(own)))
            taken = {box[0] for box in boxes.values()}
            if key not in boxes and name in taken:
                name = re.sub(r"[^A-Za-z0-9._-]", "-", primitive.id)[:60]
            box = boxes.setdefault(key, (name, primitive, {}))
            by_id[primitive.id] = box[0]
            if fence.victim in self.found.nodes:
                box[2][fence.victim] = plug_of(primitive, fence.victim)
        lines = [line for box in boxes.values() if (line := self._device(*box))]
        written = {line.split()[1] for line in lines}
        for victim, index, devices in self.found.levels:
            names = list(dict.fromkeys(by_id.get(device, "") for device in devices))
            if victim not in self.found.nodes or not set(names) <= written or not 1 <= index <= 9:
                self.reader.lost(f"fencing level {index} of {victim}", "a device or node of it does not fit")
            else:
                lines.append(f"fence_level {victim} {index} {' '.join(names)}")
        if not written:
            why = "a silent node cannot be cut, and its groups wait for failoverctl confirm-dead"
            self.reader.lost("fence devices", why)
        return lines

    def _device(self, name: str, primitive: Primitive, plugs: dict[str, str]) -> str:
        agent = primitive.type
        ours = self.terms.agents is Agents.OURS and agent == "fence_wti"
        if not agent.startswith("fence_"):
            agent = agent if "/" in agent else f"stonith:{agent}"
            why = f"a plugin of cluster-glue cannot tell that a plug is off; fence_trust {name}, if you believe it"
            self.reader.lost(f"fence device {name}", why, Fate.TO_DO)
        words = [f"fence_device {name} {WTI_AGENT if ours else agent}"]
        secrets = secrets_of(primitive)
        given = dict(primitive.parameters)
        for key, value in given.items():
            if key in secrets or key.startswith("pcmk_") or key == "action":
                continue
            words.append(f"{key}={_quoted(value)}")
        if secrets and not ({"password_file", "password_script"} & set(given)):
            words += self._secret(name, agent, ours, secrets)
        if set(plugs) != set(self.found.nodes) or any(plug != node for node, plug in plugs.items()):
            words += [f"plug.{node}={_quoted(plug)}" for node, plug in plugs.items()]
        return " ".join(words)

    def _secret(self, name: str, agent: str, ours: bool, secrets: list[str]) -> list[str]:
        login = set(secrets) <= {"password", "passwd"}
        if not login or agent.startswith("stonith:") or "/" in agent:
            self.reader.lost(f"fence device {name}, {', '.join(secrets)}", "a secret: write it into ha.cf yourself")
            return []
        kind = "password_file" if ours or agent == WTI_AGENT else "password_script"
        path = os.path.join(CONFIG_DIR, f"{name}.password" + ("" if kind == "password_file" else ".sh"))
        what = "put it into" if kind == "password_file" else "make a program that prints it:"
        self.reader.lost(f"fence device {name}, password", f"on both nodes {what} {path}", Fate.TO_DO)
        return [f"{kind}={path}"]

    # --- haresources -----------------------------------------------------------------------------------

    def _line(self, group: FoundGroup) -> str:
        words = [word for member in group.members if (word := self._word(member))]
        if not words:
            return ""
        node, score = max(
            ((node, _score(self.found.scores.get((group.id, node), "0"))) for node in self.found.nodes),
            key=lambda item: item[1],
        )
        for other in self.found.nodes:
            if _score(self.found.scores.get((group.id, other), "0")) < 0:
                why = "a group may run on both nodes here"
                self.reader.lost(f"{group.id}, the ban from {other}", why, Fate.CHANGED)
        home = node if score > 0 else self.found.nodes[0]
        return f"{home} {' '.join(words)}"

    def _word(self, primitive: Primitive) -> str:
        """One resource as haresources has it, "" after a remark."""
        lost = self.reader.lost
        parameters = [pair for pair in primitive.parameters if pair[1]]
        if primitive.standard in ("systemd", "lsb"):
            head = [f"{primitive.standard}:{primitive.type}"]
        elif primitive.standard == "ocf":
            provider, kind = primitive.provider, primitive.type
            if self.terms.agents is Agents.OURS and provider == "heartbeat" and kind in _OURS:
                provider, kind = OUR_PROVIDER, _OURS[kind]
            head = [f"ocf:{provider}:{kind}", *(f"{name}={value}" for name, value in parameters)]
        else:
            lost(f"primitive {primitive.id}", f"class {primitive.standard}: there are ocf, systemd and lsb here")
            return ""
        for name, value in parameters:
            if is_secret_name(name):
                lost(f"primitive {primitive.id}, {name}", "a secret: write it into haresources yourself, mode 600")
                head.remove(f"{name}={value}")
            elif not _IN_A_WORD.fullmatch(value):
                lost(f"primitive {primitive.id}, {name}", "a blank, # or backslash cannot stand in haresources")
                return ""
        return "::".join([*head, *self._operations(primitive)])

    def _operations(self, primitive: Primitive) -> list[str]:
        words = []
        monitors = [op for op in primitive.operations if op.name == "monitor" and op.interval_ms]
        if len(monitors) > 1:
            why = "several monitors; the most frequent is taken"
            self.reader.lost(f"primitive {primitive.id}", why, Fate.CHANGED)
        monitor = min(monitors, key=lambda op: op.interval_ms, default=None)
        interval_ms = monitor.interval_ms if monitor else 0
        if interval_ms != hacf.DEFAULT_MONITOR_INTERVAL_MS:
            words.append(f"op_monitor_interval={as_interval(interval_ms)}")
        if monitor and monitor.depth:
            words.append(f"op_monitor_depth={monitor.depth}")
        for op in (*(op for op in primitive.operations if op.name != "monitor"), *((monitor,) if monitor else ())):
            if op.timeout_ms and op.timeout_ms != hacf.DEFAULT_OP_TIMEOUT_MS:
                words.append(f"op_{op.name}_timeout={as_interval(op.timeout_ms)}")
        return words

    def _hold_up(self, ha_cf: str, resources: str) -> None:
        """What failoverd would say to these files."""
        problems = [str(problem) for problem in hacf.parse(ha_cf).problems]
        if not self.terms.links:
            problems = [problem for problem in problems if "no link to the peer" not in problem]
        problems += [str(problem) for problem in haresources.parse(resources, self.found.nodes).problems]
        for problem in problems:
            self.reader.lost("failoverd would refuse this", problem)


def _score(text: str) -> int:
    """A score as a number: INFINITY is a million (Pacemaker Explained, "Scores"); what is none counts 0."""
    sign = -1 if text.startswith("-") else 1
    body = text.lstrip("+-")
    if body == "INFINITY":
        return sign * 1_000_000
    return sign * int(body) if body.isascii() and body.isdigit() and len(body) < 10 else 0


def _device_name(text: str, nodes: tuple[str, str]) -> str:
    """``fence-pete-benjamin``, as export-cib calls it, is benjamin."""
    for node in nodes:
        if text.startswith(f"fence-{node}-"):
            text = text[len(f"fence-{node}-") :]
            break
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:60] or "device"


def _quoted(value: str) -> str:
    """A value for fence_device: in double quotes where a blank or a sign needs them."""
    if re.fullmatch(r"[A-Za-z0-9_./:@%+,=-]*", value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
