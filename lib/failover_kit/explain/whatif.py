"""A configuration as it would be with other times: written into the text of ha.cf and read by its own parser.

So an impossible value is refused with the very sentence that failoverd would refuse it with, at its line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from failover_kit.manager import configfiles, wire
from failover_kit.manager.config import ClusterConfig, ConfigError, Problem, SerialLink, serial_fits

KNOWN = ("keepalive", "warntime", "deadtime", "initdead", "fence_delay", "op_timeout", "monitor_interval")
"""Directives that a budget depends on."""


def parse_change(word: str) -> tuple[str, str]:
    """``deadtime=3`` in two. ValueError with fact and remedy."""
    name, sign, value = word.partition("=")
    if name not in KNOWN:
        raise ValueError(f"{name!r} is none of {', '.join(KNOWN)}; write NAME=VALUE, such as deadtime=3")
    if not sign or not re.fullmatch(r"[^\s,#]+", value):
        raise ValueError(f"{word!r} has no value; write {name}=VALUE as in ha.cf, such as {name}=3 or {name}=500ms")
    return name, value


def load(config_dir: str, changes: Mapping[str, str]) -> ClusterConfig:
    """The configuration with ``changes``. ConfigError as of the files themselves."""
    config = configfiles.load(config_dir, (lambda text: amended(text, changes)) if changes else None).config
    frame_bytes = wire.max_frame_bytes(config.nodes, [group.name for group in config.groups])
    problems = []
    for link in config.links:
        if not isinstance(link, SerialLink):
            continue
        refusal = serial_fits(frame_bytes, link.baud, config.timing.keepalive_ms)
        if refusal:
            problems.append(Problem("ha.cf", link.line, 1, f"serial {link.device}: {refusal}"))
    if problems:
        raise ConfigError(tuple(problems))
    return config


def amended(text: str, changes: Mapping[str, str]) -> str:
    """The text of ha.cf with these directives: in the place of their lines, or at its end."""
    lines = text.split("\n")
    for name, value in changes.items():
        found = [at for at, line in enumerate(lines) if re.match(rf"[ \t]*{name}(?=[ \t,#]|$)", line)]
        for at in found:
            lines[at] = f"{name} {value}"
        if not found:
            lines[len(lines) - (lines[-1] == "") :] = [f"{name} {value}", ""]
    return "\n".join(lines)
