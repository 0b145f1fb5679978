"""The fencing lines of ``ha.cf``: devices, levels, trust. Pure. No error quotes a value that may be a secret.

A wrong guess here cuts the wrong machine or proves nothing, so nothing is guessed: with more than one
device for a node, the file says which of them together cut it (one level) and which are the next to try.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from failover_kit.manager.config import FenceDevice, FenceLevel
from failover_kit.manager.configtext import Report, Word, nearest, shown

WTI_AGENT = "fence_wti_ips800"

_STONITH_TYPES = {
    "wti_nps": "password",
    "external/failover-kit-wti": "password",
    "external/failover-kit-wti-file": "password_file",
}
"""The types of stonith_host that are our own agent by another name, and what their second parameter is."""

_DEVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
# fence_wti_ips800, an absolute path, or a plugin of cluster-glue: external/ipmi, stonith:wti_nps.
_AGENT_NAME = re.compile(r"(?:stonith:|/)?[A-Za-z0-9][A-Za-z0-9_.+-]*(?:/[A-Za-z0-9][A-Za-z0-9_.+-]*){0,9}")
_LEVEL = re.compile(r"[1-9]")
_PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_PLUG = "plug."
_OWN_PARAMETERS = ("action", "nodename")  # failoverd says these itself

Levels = tuple[FenceLevel, ...]


@dataclass(slots=True)
class FenceLines:
    """What the fencing lines said, collected until the nodes are known."""

    devices: dict[str, FenceDevice] = field(default_factory=dict)
    device_places: dict[str, Word] = field(default_factory=dict)
    plug_places: list[tuple[Word, str]] = field(default_factory=list)  # (place, node) of each plug.NODE
    stonith_hosts: list[Word] = field(default_factory=list)
    stonith_devices: set[str] = field(default_factory=set)
    levels: dict[tuple[str, int], tuple[Word, list[Word]]] = field(default_factory=dict)
    level_nodes: list[Word] = field(default_factory=list)
    trusted: list[Word] = field(default_factory=list)
    broken: bool = False  # a device line was wrong: its absence must not lead to more errors

    def device(self, name: Word, line: str, end: int, report: Report) -> None:
        """``fence_device NAME AGENT key=value...``; values may stand in double quotes."""
        known_problems = len(report.problems)
        words = list(_quoted_words(line, name.line, end, report))
        if len(report.problems) == known_problems:
            self._device(name, words, report)
        self.broken = self.broken or len(report.problems) > known_problems

    def _device(self, name: Word, words: list[Word], report: Report) -> None:
        if len(words) < 2:
            report.error(name, "name or agent is missing; write fence_device NAME AGENT key=value")
            return
        if not _DEVICE_NAME.fullmatch(words[0].text):
            fact = f"{shown(words[0].text)} is no device name"
            report.error(words[0], f"{fact}; use letters, digits, dots and dashes")
            return
        if not _AGENT_NAME.fullmatch(words[1].text):
            what = "key=value" if "=" in words[1].text else shown(words[1].text)
            report.error(words[1], f"{what} is no agent; write fence_device {words[0].text} AGENT key=value")
            return
        parameters: dict[str, str] = {}
        plugs: dict[str, str] = {}
        for word in words[2:]:
            self._parameter(word, parameters, plugs, report)
        if plugs and "plug" in parameters:
            report.error(words[0], "plug and plug.NODE are both given; keep the plug.NODE of each node")
        self._check_lists(words, parameters.get("plug_separator", ","), report)
        self._add(
            FenceDevice(
                name=words[0].text,
                agent=words[1].text,
                parameters=tuple(parameters.items()),
                plugs=tuple(plugs.items()),
                line=name.line,
            ),
            words[0],
            report,
        )

    def _check_lists(self, words: list[Word], separator: str, report: Report) -> None:
        """A list of plugs with a hole in it, or with the same plug twice, is a slip of the pen."""
        for word in words[2:]:
            key, _, value = word.text.partition("=")
            if key != "plug" and not key.startswith(_PLUG):
                continue
            parts = [part.strip() for part in value.split(separator)]
            if value and not all(parts):
                report.error(word, f"{key} has an empty place in its list of plugs; write for example {key}=1,2")
            elif len(set(parts)) != len(parts):
                report.error(word, f"{key} names a plug twice; a second supply has a plug of its own")

    def _parameter(
        self, word: Word, parameters: dict[str, str], plugs: dict[str, str], report: Report
    ) -> None:
        """One ``key=value`` into ``parameters``, or one ``plug.NODE=value`` into ``plugs``."""
        key, equals, value = word.text.partition("=")
        node = key[len(_PLUG) :].lower() if key.startswith(_PLUG) else ""
        if not equals or not (node or _PARAMETER_NAME.fullmatch(key)):
            report.error(word, "not key=value; write the agent's parameter names as its metadata has them")
        elif key in parameters or (node and node in plugs):
            report.error(word, f"{shown(key)} is given twice; keep one")
        elif not value:
            report.error(word, f"{shown(key)} is empty; write its value or remove it")
        elif not value.isprintable():
            report.error(word, f"the value of {shown(key)} has an invisible character; type it again")
        elif key in _OWN_PARAMETERS:
            report.error(word, f"{key} is set by failoverd for each call; remove it")
        elif node:
            plugs[node] = value
            self.plug_places.append((word, node))
        else:
            parameters[key] = value

    def _add(self, device: FenceDevice, place: Word, report: Report) -> None:
        other = self.device_places.get(device.name)
        if other is not None:
            fact = f"fence device {device.name} is given twice, first in line {other.line}"
            report.error(place, f"{fact}; keep one")
            return
        self.devices[device.name] = device
        self.device_places[device.name] = place

    def stonith_host(self, name: Word, line: str, end: int, report: Report) -> None:
        """``stonith_host HOST wti_nps ADDRESS PASSWORD``, as the HOWTO writes it; or our plugins for Heartbeat."""
        known_problems = len(report.problems)
        words = list(_plain_words(line, name.line, end, report))
        if len(report.problems) == known_problems:
            self._stonith_host(name, words, report)
        self.broken = self.broken or len(report.problems) > known_problems

    def _stonith_host(self, name: Word, words: list[Word], report: Report) -> None:
        if len(words) < 2:
            report.error(name, "stonith_host is incomplete; write stonith_host NODE wti_nps ADDRESS PASSWORD")
            return
        secret = _STONITH_TYPES.get(words[1].text)
        if secret is None:
            instead = "fence_device NAME AGENT name=value with a fence agent for that device"
            report.error(words[1], f"stonith_host {shown(words[1].text)} is not supported; write {instead}")
            return
        if len(words) != 4:
            what = secret.replace("_", " ")
            fact = f"{words[1].text} has an address and a {what}"
            example = "PASS WORD" if secret == "password" else "/A FILE"  # noqa: S105 - no password
            instead = f'fence_device NAME {WTI_AGENT} ip=ADDRESS {secret}="{example}"'
            report.error(name, f"{fact}; write both, or for a {what} with blanks {instead}")
            return
        if not _DEVICE_NAME.fullmatch(words[2].text):
            what = secret.replace("_", " ")
            report.error(words[2], f"no address; write the name or address of the switch, then its {what}")
            return
        self.stonith_hosts.append(words[0])
        device = FenceDevice(
            name=words[2].text,
            agent=WTI_AGENT,
            parameters=(("ip", words[2].text), (secret, words[3].text)),
            line=name.line,
        )
        if device.name not in self.stonith_devices:
            self.stonith_devices.add(device.name)
            self._add(device, words[2], report)
        elif self.devices.get(device.name, device) != device:
            first = self.device_places[device.name].line
            what = secret.replace("_", " ")
            report.error(words[3], f"not the {what} that line {first} has for this switch; correct one")

    def level(self, name: Word, values: list[Word], report: Report) -> None:
        """``fence_level NODE N NAME...``."""
        if len(values) < 3:
            report.error(name, "fence_level is incomplete; write fence_level NODE 1 DEVICE...")
            return
        node, number, *devices = values
        if not _LEVEL.fullmatch(number.text):
            report.error(number, f"{shown(number.text)} is no level; write 1 to 9, 1 is tried first")
            return
        key = (node.text.lower(), int(number.text))
        if key in self.levels:
            first = self.levels[key][0].line
            fact = f"level {key[1]} of {shown(key[0])} is given twice, first in line {first}"
            report.error(name, f"{fact}; join them")
            return
        self.levels[key] = (name, devices)
        self.level_nodes.append(node)

    def trust(self, name: Word, values: list[Word], report: Report) -> None:
        """``fence_trust NAME...``: devices without status whose exit code is to be believed."""
        if not values:
            report.error(name, "fence_trust names no device; write fence_trust DEVICE")
        self.trusted += values

    def finish(
        self, nodes: tuple[str, str] | None, report: Report
    ) -> tuple[tuple[FenceDevice, ...], tuple[FenceLevel, ...]]:
        """Devices with their trust, and the levels of both nodes, given or beyond doubt."""
        known_problems = len(report.problems)
        if nodes is not None:
            self._check_nodes(nodes, report)
        for word in [word for _, words in self.levels.values() for word in words] + self.trusted:
            if word.text not in self.devices and not self.broken:
                close = nearest(word.text, self.devices)
                remedy = f"did you mean {close}?" if close else "add a line fence_device"
                report.error(word, f"{shown(word.text)} is no fence device; {remedy}")
        names = {word.text for word in self.trusted}
        devices = tuple(replace(device, trusted=device.name in names) for device in self.devices.values())
        if nodes is None or self.broken or len(report.problems) > known_problems:
            return devices, ()  # what follows from a wrong name would only hide it
        levels = tuple(level for node in nodes for level in self._levels_of(node, report))
        self._check_used(levels, names, report)
        self._check_disjoint(nodes, levels, report)
        if self.stonith_hosts and not report.problems:
            place = replace(self.stonith_hosts[0], column=1)
            text = "stonith_host: the switch is asked for a plug named like the node, so it serves both nodes"
            report.note(place, f"{text}; NODE in these lines limits nothing")
        return devices, levels

    def _check_used(self, levels: Levels, trusted: set[str], report: Report) -> None:
        """A device in no level does nothing, and one that can prove nothing must not look as if it did."""
        used = {name for level in levels for name in level.devices}
        for name, device in self.devices.items():
            place = self.device_places[name]
            if name not in used and levels:
                report.note(place, f"fence device {name} is in no fence_level: it is never used")
            elif device.stonith_type and name in used and name not in trusted:
                fact = f"{device.agent} cannot tell whether a plug is off, so its off would never count"
                report.error(place, f"{fact}; add fence_trust {name} if its exit code is to be believed")

    def _check_nodes(self, nodes: tuple[str, str], report: Report) -> None:
        """Every node named in a fencing line is one of the two."""
        named = [(word, word.text.lower()) for word in self.level_nodes]
        named += [(word, word.text.lower()) for word in self.stonith_hosts if word.text != "*"]
        named += self.plug_places
        for word, node in named:
            if node not in nodes:
                close = nearest(node, nodes)
                remedy = f"did you mean {close}?" if close else f"use {' or '.join(nodes)}"
                report.error(word, f"{shown(node)} is no node of this file; {remedy}")

    def _levels_of(self, node: str, report: Report) -> list[FenceLevel]:
        """The levels written for ``node``; without any, its only device, if there is just one."""
        written = [
            FenceLevel(node=node, level=level, devices=tuple(dict.fromkeys(word.text for word in words)))
            for (owner, level), (_, words) in sorted(self.levels.items(), key=lambda item: item[0])
            if owner == node
        ]
        for level in written:
            for word in self.levels[(node, level.level)][1]:
                device = self.devices.get(word.text)
                if device is not None and not device.serves(node):
                    remedy = f"add plug.{node}=PLUG to its line"
                    report.error(word, f"{device.name} has no plug for {node}; {remedy}")
        if written or not self.devices:
            return written
        others = {word.text for key, (_, words) in self.levels.items() if key[0] != node for word in words}
        usable = [d for d in self.devices.values() if d.serves(node) and d.name not in others]
        if len(usable) == 1:
            return [FenceLevel(node=node, level=1, devices=(usable[0].name,))]
        if not usable:
            place = self.device_places[next(iter(self.devices))]
            report.error(place, f"no fence device for {node}; write fence_level {node} 1 DEVICE")
            return []
        names = " ".join(device.name for device in usable)
        together = f"fence_level {node} 1 {names} if only all of them cut its power"
        either = f"a level for each, fence_level {node} 1 {usable[0].name} and so on, if one is enough"
        place = self.device_places[usable[1].name]
        report.error(place, f"several fence devices for {node}; write {together}, or {either}")
        return []

    def _check_disjoint(self, nodes: tuple[str, str], levels: Levels, report: Report) -> None:
        """No plug may feed both nodes: whoever shot the peer would cut itself (PROTOCOL rule 25)."""
        fed: dict[tuple[object, ...], str] = {}
        for level in levels:
            for name in level.devices:
                device = self.devices.get(name)
                if device is None:
                    continue
                box = (device.agent, tuple(sorted(p for p in device.parameters if p[0] != "plug")))
                for plug in re.split(r"[,+ ]+", ",".join(device.plugs_for(level.node)).lower()):
                    other = fed.setdefault((box, plug), level.node)
                    if other != level.node:
                        fact = f"plug {shown(plug)} of {name} feeds {other} and {level.node}"
                        remedy = f"give each its own with plug.{nodes[0]}=PLUG plug.{nodes[1]}=PLUG"
                        report.error(self.device_places[name], f"{fact}; {remedy}")


def _plain_words(line: str, number: int, start: int, report: Report) -> Iterator[Word]:
    """Words between blanks. ``#`` begins a comment between words; inside one it is refused.

    Heartbeat cut the line there, and a password with ``#`` in it lost its end without a sound.
    """
    for found in re.compile(r"[^ \t]+").finditer(line, start):
        word = found.group()
        if word.startswith("#"):
            return
        if "#" in word:
            place = Word("", number, found.start() + word.index("#") + 1)
            instead = "put a blank before a comment, or use fence_device with the value in double quotes"
            report.error(place, f"# inside a word; {instead}")
            return
        yield Word(word, number, found.start() + 1)


def _quoted_words(line: str, number: int, start: int, report: Report) -> Iterator[Word]:
    """Words between blanks, parts of which may stand in double quotes, with \\" and \\\\ inside them."""
    position = start
    while position < len(line):
        if line[position] in " \t":
            position += 1
            continue
        if line[position] == "#":
            return
        begin, text = position, []
        while position < len(line) and line[position] not in " \t":
            char = line[position]
            if char == "#":
                remedy = "put a blank before a comment, or the value in double quotes"
                report.error(Word("", number, position + 1), f"# inside a word; {remedy}")
                return
            if char != '"':
                text.append(char)
                position += 1
                continue
            found = _QUOTED.match(line, position)
            if found is None:
                place = Word("", number, position + 1)
                report.error(place, "double quote without an end; add the second one")
                return
            text.append(re.sub(r'\\(["\\])', r"\1", found[1]))
            position = found.end()
        yield Word("".join(text), number, begin + 1)


_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
