"""The fence devices and levels of a CIB as lines of ha.cf. Nothing is guessed: half a level proves nothing."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from failover_kit.cib.hostmap import is_plug, plug_of, static_plug
from failover_kit.cib.model import Fate, Primitive
from failover_kit.cib.readxml import ANY_NODE, Found, Reader, secrets_of
from failover_kit.cib.resources import Agents
from failover_kit.manager.configfiles import CONFIG_DIR
from failover_kit.manager.hacf_fencing import WTI_AGENT

_PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_READ = ("pcmk_host_map", "pcmk_host_list", "pcmk_host_argument")  # what hostmap and _unfit look at
_DELAYS = ("pcmk_delay_base", "pcmk_delay_max")


@dataclass(slots=True)
class _Box:
    """One fence_device: the devices of a CIB that differ in victims and plugs alone.

    ``plugs``: node to what ha.cf has as plug.NODE. ``named`` False: it names no node, and serves both.
    """

    name: str
    primitive: Primitive
    named: bool
    plugs: dict[str, str] = field(default_factory=dict)
    ids: dict[str, list[str]] = field(default_factory=dict)  # node to the devices its plugs are of

    def serves(self, victim: str) -> bool:
        return not self.named or victim in self.plugs


@dataclass(slots=True)
class DeviceLines:
    """Makes the lines."""

    found: Found
    agents: Agents
    reader: Reader
    _boxes: list[_Box] = field(default_factory=list)
    _by_id: dict[str, _Box] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """``fence_device`` and ``fence_level`` lines."""
        victims: dict[str, list[str]] = {}
        primitives = {fence.primitive.id: fence.primitive for fence in self.found.fences}
        for fence in self.found.fences:
            victims.setdefault(fence.primitive.id, []).append(fence.victim)
        for name, primitive in primitives.items():
            self._place(primitive, victims[name])
        levels = self._levels()
        devices = [self._device(box) for box in self._boxes if box.plugs or not box.named]
        if not devices:
            why = "a silent node cannot be cut, and its groups wait for failoverctl confirm-dead"
            self.reader.lost("fence devices", why)
        return [*devices, *levels]

    # --- which devices are one ---------------------------------------------------------------------------

    def _place(self, primitive: Primitive, victims: list[str]) -> None:
        """Put it into the box of its like, or one of its own; a remark for one that fits nowhere."""
        named = victims != [""]
        ours = [victim for victim in victims if victim in self.found.nodes]
        why = _unfit(primitive)
        if named and not ours:
            why = f"it cuts {', '.join(victims)}, and that is no node of the pair"
        if why:
            self.reader.lost(f"fence device {primitive.id}", why)
            return
        plugs = {victim: plug_of(primitive, victim) for victim in ours}
        key = _likeness(primitive, named)
        fitting = (
            box
            for box in self._boxes
            if _likeness(box.primitive, box.named) == key
            and all(self._agree(box, victim, plug, primitive.id) for victim, plug in plugs.items())
        )
        box = next(fitting, None)
        if box is None:
            box = _Box(self._new_name(primitive.id), primitive, named)
            self._boxes.append(box)
        self._by_id[primitive.id] = box
        separator = dict(primitive.parameters).get("plug_separator", ",")
        for victim, plug in plugs.items():
            known = box.plugs[victim].split(separator) if victim in box.plugs else []
            box.plugs[victim] = separator.join(dict.fromkeys([*known, *plug.split(separator)]))
            box.ids.setdefault(victim, []).append(primitive.id)

    def _agree(self, box: _Box, victim: str, plug: str, device: str) -> bool:
        """Whether a plug more is the same plug, or one that every level cuts together with those of the box.

        On levels of their own, or on none, each is enough for Pacemaker; together they would be asked for both.
        """
        if box.plugs.get(victim, plug) == plug:
            return True
        together = {device, *box.ids[victim]}
        levels = [set(devices) for target, _, devices in self.found.levels if target in (victim, ANY_NODE)]
        levels = [devices for devices in levels if devices & together]
        return bool(levels) and all(together <= devices for devices in levels)

    def _new_name(self, device: str) -> str:
        name = _device_name(device, self.found.nodes)
        taken = {box.name for box in self._boxes}
        if name in taken:
            name = re.sub(r"[^A-Za-z0-9._-]", "-", device)[:56]
        wanted, number = name, 2
        while name in taken:
            name, number = f"{wanted}-{number}", number + 1
        return name

    # --- levels ------------------------------------------------------------------------------------------

    def _levels(self) -> list[str]:
        """The complete ones. A node of which none is complete is cut by nothing: without a level a device that is
        left would be its only one, and would be believed alone."""
        lines: list[str] = []
        whole: set[str] = set()
        broken: set[str] = set()
        for victim, index, devices in self.found.levels:
            boxes = list({id(box): box for name in devices if (box := self._by_id.get(name))}.values())
            fits = victim in self.found.nodes and 1 <= index <= 9 and all(name in self._by_id for name in devices)
            if fits and boxes and all(box.serves(victim) for box in boxes):
                lines.append(f"fence_level {victim} {index} {' '.join(box.name for box in boxes)}")
                whole.add(victim)
                continue
            broken |= set(self.found.nodes) if victim == ANY_NODE else {victim}
            if index:  # the reader has said it of the others
                self.reader.lost(f"fencing level {index} of {victim}", "a device or node of it does not fit")
        for victim in sorted((broken - whole) & set(self.found.nodes)):
            why = "no level of it fits whole, and half a level proves nothing: it has no device; write fence_level"
            self.reader.lost(f"fencing of {victim}", why)
            self._take_from(victim)
        return lines

    def _take_from(self, victim: str) -> None:
        for box in self._boxes:
            if not box.named:
                box.plugs = {node: static_plug(box.primitive) or node for node in self.found.nodes}
                box.named = True
            box.plugs.pop(victim, None)

    # --- a line ------------------------------------------------------------------------------------------

    def _device(self, box: _Box) -> str:
        name, primitive, plugs = box.name, box.primitive, box.plugs
        agent = primitive.type
        ours = self.agents is Agents.OURS and agent == "fence_wti"
        if not agent.startswith("fence_"):
            agent = agent if "/" in agent else f"stonith:{agent}"
            why = f"a plugin of cluster-glue cannot tell that a plug is off; fence_trust {name}, if you believe it"
            self.reader.lost(f"fence device {name}", why, Fate.TO_DO)
        words = [f"fence_device {name} {WTI_AGENT if ours else agent}"]
        secrets = secrets_of(primitive)
        given = dict(primitive.parameters)
        for key, value in given.items():
            if key in secrets or (box.named and is_plug(key)):
                continue
            if key.startswith("pcmk_") or key == "action":
                self._unread(name, key, value)
            elif not _PARAMETER_NAME.fullmatch(key) or not value.isprintable():
                self.reader.lost(f"fence device {name}, a parameter", "its name or value cannot stand in ha.cf")
            elif value:
                words.append(f"{key}={_quoted(value)}")
        if secrets and not ({"password_file", "password_script"} & set(given)):
            words += self._secret(name, agent, ours, secrets)
        if set(plugs) != set(self.found.nodes) or any(plug != node for node, plug in plugs.items()):
            words += [f"plug.{node}={_quoted(plug)}" for node, plug in plugs.items()]
        return " ".join(words)

    def _unread(self, name: str, key: str, value: str) -> None:
        """A remark for what fenced, and not the agent, makes of a parameter."""
        what = f"fence device {name}, {key}={value}"
        if key in _READ or (key == "pcmk_host_check" and value == "static-list"):
            return
        if key in _DELAYS:
            why = "fence_delay is what deadtime and keepalive make it; see failoverctl budget"
            self.reader.lost(what, why, Fate.DROPPED)
        elif key == "action":
            self.reader.lost(what, "failoverd says the action of each call", Fate.DROPPED)
        elif key == "pcmk_host_check":
            self.reader.lost(what, "a device serves the nodes it names, or both", Fate.DROPPED)
        else:
            why = "failoverd calls off, status and on, a plug at a time, within op_timeout; see whether that does"
            self.reader.lost(what, why)

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


def _unfit(primitive: Primitive) -> str:
    """Why failoverd could not call this device, "" if it could."""
    argument = dict(primitive.parameters).get("pcmk_host_argument", "plug")
    if is_plug(argument):
        return ""
    return f"it takes the node in {argument} (pcmk_host_argument), and failoverd says plug alone"


def _likeness(primitive: Primitive, named: bool) -> tuple[object, ...]:
    """What devices have alike that are one box. Of a device that names nodes the plug is the node's."""
    own = (
        (name, value)
        for name, value in primitive.parameters
        if not name.startswith("pcmk_") and not (named and is_plug(name))
    )
    return (primitive.type, named, tuple(sorted(own)))


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
