"""``pcmk_host_map`` and ``pcmk_host_list``: which nodes a fence device cuts, and by which plug.

Source: build_port_aliases and its like in Pacemaker's daemons/fenced/fenced_commands.c, 2.0 to 3.0. Escapes, ``=``,
deleted backslashes and the first place of the own plug were tried with 2.1.5 (pacemaker-fenced --stand-alone).
"""

from __future__ import annotations

import re

from failover_kit.cib.model import Primitive

_STATIC = ("plug", "port")


def escaped(plug: str, version: tuple[int, ...]) -> str | None:
    """A plug as pcmk_host_map of that version reads it; None where it would be read as another.

    From 2.1.2 on a sign behind a backslash is taken as it is, and every backslash deleted, so a plug has none;
    later than 3.0.1 there is no such escape any more (Pacemaker's pull requests 2474 and 3967).
    """
    if not any(sign in plug for sign in "\\=:; \t"):
        return plug
    escapes = version == (2, 1) or (2, 1, 2) <= version < (3,)
    if "\\" in plug or not escapes:
        return None
    return re.sub(r"([=:; \t])", r"\\\1", plug)


def host_map(text: str) -> dict[str, str]:
    """Node (lower case) to plug, as 2.1.2 to 2.1.x read it: the last that says something of a node counts."""
    found: dict[str, str] = {}
    name = ""
    word: list[str] = []
    signs = iter(text + ";")
    for sign in signs:
        if sign == "\\":
            word.append(next(signs, ""))
        elif sign in "=:":
            name, word = "".join(word) or name, []
        elif sign in "; \t":
            if name:
                found[name.lower()] = "".join(word).replace("\\", "")
            name, word = "", []
        else:
            word.append(sign)
    return found


def victims(primitive: Primitive) -> list[str]:
    """The nodes a device names, lower case; [""] when it names none, and would be asked for each."""
    given = dict(primitive.parameters)
    listed = [given.get("pcmk_host_list", "")]
    if not primitive.type.startswith("fence_"):
        listed += [given.get("hostlist", ""), given.get("hostname", "")]  # plugins of cluster-glue
    names = list(host_map(given.get("pcmk_host_map", "")))
    names += [part.lower() for text in listed for part in re.split(r"[,;\s]+", text) if part]
    return list(dict.fromkeys(names)) or [""]


def static_plug(primitive: Primitive) -> str:
    """A plug among the agent's own parameters: fenced leaves it as it is, whatever the map says."""
    given = dict(primitive.parameters)
    return next((given[name] for name in _STATIC if given.get(name, "dynamic") != "dynamic"), "")


def plug_of(primitive: Primitive, victim: str) -> str:
    """The plug of that node: the agent's own parameter, what pcmk_host_map gives, else the node's name."""
    mapped = host_map(dict(primitive.parameters).get("pcmk_host_map", ""))
    return static_plug(primitive) or mapped.get(victim, victim)


def is_plug(name: str) -> bool:
    """Whether a parameter of a fence agent names the plug."""
    return name in _STATIC
