"""What was found in a CIB as ha.cf and haresources. What does not fit is left out and said; secrets stay out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from failover_kit.cib.importedfences import DeviceLines
from failover_kit.cib.model import Fate, Operation, Primitive, Remark, as_bool, as_interval
from failover_kit.cib.readxml import Found, FoundGroup, Reader, as_score
from failover_kit.cib.resources import Agents
from failover_kit.manager import hacf, haresources
from failover_kit.manager.callers import OUR_PROVIDER
from failover_kit.manager.config import MONITOR_FAILURES, is_secret_name, without_password

_OURS = {"IPaddr2": "IPaddr", "IPaddr": "IPaddr", "Filesystem": "Filesystem", "exportfs": "exportfs",
         "nfsserver": "nfsserver"}  # fmt: skip
_OF_THE_CLUSTER = ("dc-version", "cluster-infrastructure", "cluster-name", "have-watchdog", "last-lrm-refresh")
_HELD_BACK = {"maintenance-mode": True, "stop-all-resources": True, "is-managed-default": False}
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
        if not any(line and not line.startswith("#") for line in lines):
            self.reader.lost("haresources", "no resource fits, and a pair without one does nothing")
        devices = DeviceLines(self.found, self.terms.agents, self.reader).lines()
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
        return as_score(text) * len(group.members)

    def _home_score(self, group: FoundGroup) -> int:
        return max((self.found.scores.get((group.id, node), 0) for node in self.found.nodes), default=0)

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
        for name, value in self.found.properties.items():
            if name in ("stonith-enabled", "stonith-action") or name in _OF_THE_CLUSTER:
                continue
            if name in _HELD_BACK and as_bool(value) is _HELD_BACK[name]:
                why = "failoverd runs every line from its start on; stop them first, or see failoverctl maintenance"
                self.reader.lost(f"property {name}={value}", why)
                continue
            why = "there is no such thing"
            if name in ("stonith-timeout", "fencing-timeout"):
                why = "a call of a fence device has op_timeout here"
            elif name == "dc-deadtime":
                why = "initdead is near it"
            elif name == "priority-fencing-delay":
                why = "fence_delay is what deadtime and keepalive make it; see failoverctl budget"
            self.reader.lost(f"property {name}={value}", why, Fate.DROPPED)
        if self.found.properties.get("stonith-enabled", "true").lower() in ("false", "0", "no", "off"):
            why = "here nothing is taken over from a silent node that was not read OFF; an operator can confirm it"
            self.reader.lost("stonith-enabled=false", why, Fate.CHANGED)

    # --- haresources -----------------------------------------------------------------------------------

    def _line(self, group: FoundGroup) -> str:
        """The group's line; a comment where a member is lacking: a service would start without its disk."""
        words = {member.id: self._word(member) for member in group.members}
        holes = [*group.holes, *(name for name, word in words.items() if not word)]
        if not any(words.values()):
            return ""
        scores = {node: self.found.scores.get((group.id, node), 0) for node in self.found.nodes}
        for other, score in scores.items():
            if score < 0:
                why = "a group may run on both nodes here"
                self.reader.lost(f"{group.id}, the ban from {other}", why, Fate.CHANGED)
        node = max(scores, key=lambda name: scores[name])
        home = node if scores[node] > 0 else self.found.nodes[0]
        line = " ".join([home, *(word for word in words.values() if word)])
        if not holes:
            return line
        names = ", ".join(re.sub(r"[^A-Za-z0-9._-]", "?", name) for name in holes)
        why = f"its line lacks {names} and is a comment; put in what is lacking, then remove the #"
        self.reader.lost(f"group {group.id}", why)
        return f"# lacks {names}: {line}"

    def _word(self, primitive: Primitive) -> str:
        """One resource as haresources has it, "" after a remark."""
        lost = self.reader.lost
        what = f"primitive {primitive.id}"
        provider, kind = primitive.provider, primitive.type
        if primitive.standard not in ("systemd", "lsb", "ocf"):
            lost(what, f"class {primitive.standard}: there are ocf, systemd and lsb here")
            return ""
        parameters = []
        for name, given in primitive.parameters:
            value = without_password(given) if name == "options" else given
            if is_secret_name(name):
                lost(f"{what}, {name}", "a secret: write it into haresources yourself, mode 600")
            elif not _IN_A_WORD.fullmatch(value):
                lost(f"{what}, {name}", "a blank, # or backslash cannot stand in haresources")
                return ""
            elif value:
                parameters.append((name, value))
            if value != given:
                why = "a secret: put it into a file of root's and write credentials=FILE"
                lost(f"{what}, the password in {name}", why)
        if self.terms.agents is Agents.OURS and provider == "heartbeat" and kind in _OURS:
            provider, kind = OUR_PROVIDER, _OURS[kind]
        agent = f"ocf:{provider}:{kind}" if primitive.standard == "ocf" else f"{primitive.standard}:{kind}"
        parameters = parameters if primitive.standard == "ocf" else []
        given_words = [f"{name}={value}" for name, value in parameters]
        word = "::".join([agent, *given_words, *self._operations(primitive)])
        if not self._reads_back(word, agent, parameters):
            lost(what, "a name or value with :: or = in it would be read as another; write the line yourself")
            return ""
        return word

    def _reads_back(self, word: str, agent: str, parameters: list[tuple[str, str]]) -> bool:
        """Whether failoverd finds just these parameters in the word; ``::`` parts them, but not in an address.

        A word that it refuses may stand where nothing else can be made of it: the refusal is a remark.
        """
        parsed = haresources.parse(f"{self.found.nodes[0]} {word}\n", self.found.nodes)
        if parsed.value is None:
            texts = (agent, *(text for pair in parameters for text in pair))
            return not any("::" in text or re.search(r"\s", text) for text in texts)
        resources = [resource for group in parsed.value for resource in group.resources]
        read = [(resource.agent, list(resource.parameters)) for resource in resources]
        return read == [(agent, parameters)]

    def _operations(self, primitive: Primitive) -> list[str]:
        words = []
        recurring = [op for op in primitive.operations if op.name == "monitor" and op.interval_ms]
        if len(recurring) > 1:
            why = "several monitors; the most frequent is taken"
            self.reader.lost(f"primitive {primitive.id}", why, Fate.CHANGED)
        probes = [op for op in primitive.operations if op.name == "monitor"]
        monitor = min(recurring or probes, key=lambda op: op.interval_ms, default=None)
        interval_ms = monitor.interval_ms if monitor else 0
        if interval_ms != hacf.DEFAULT_MONITOR_INTERVAL_MS:
            words.append(f"op_monitor_interval={as_interval(interval_ms)}")
        if monitor and monitor.depth and primitive.standard == "ocf":
            words.append(f"op_monitor_depth={monitor.depth}")
        limits: dict[str, Operation] = {op.name: op for op in primitive.operations if op.name != "monitor"}
        for op in (*limits.values(), *((monitor,) if monitor else ())):
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
