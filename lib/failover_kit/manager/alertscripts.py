"""What stands in alerts.d: which files are run, and with which settings.

A script is any executable file in the directory; ``NAME.conf`` beside it holds what Pacemaker keeps in the CIB:
recipients, ``timeout``, ``timestamp-format`` and instance attributes (docs/alerts.md).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from failover_kit.manager.alerts import DEFAULT_TIMESTAMP

FOLDER = "alerts.d"
"""In the configuration directory: what an operator puts there is configuration."""

TIMEOUT_MS = 30_000  # Pacemaker's default of an alert's timeout
LONGEST_TIMEOUT_MS = 600_000
SCRIPT_LIMIT = 8  # each has a thread, whose stack is locked memory

_SKIPPED = (".conf", "~", ".sample", ".bak", ".dpkg-old", ".dpkg-dist", ".dpkg-new", ".dpkg-tmp", ".ucf-dist",
            ".rpmsave", ".rpmorig", ".rpmnew")  # fmt: skip
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONF_LIMIT_BYTES = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One executable of alerts.d and its settings."""

    path: str
    recipients: tuple[str, ...] = ()
    timeout_ms: int = TIMEOUT_MS
    timestamp_format: str = DEFAULT_TIMESTAMP
    attributes: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold an operator's password


def find_scripts(folder: str) -> tuple[list[Script], list[str]]:
    """What is to be run, in the order of names, and sentences about what is not. No directory is no alerts."""
    try:
        names = sorted(os.listdir(folder))
        problem = _open_to_others(folder)
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        return [], [f"alerts: {folder} cannot be read ({error.strerror}); no alert is sent"]
    if problem:
        return [], [f"alerts: {problem}; no alert is sent"]
    scripts: list[Script] = []
    problems: list[str] = []
    for name in names:
        path = os.path.join(folder, name)
        if name.startswith(".") or (name.endswith(_SKIPPED) and not _is_orphan(name, names)):
            continue
        if name.endswith(".conf"):
            problems.append(f"alerts: {path} has no script {name[:-5]} beside it; add it, or remove the file")
            continue
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                continue
            problem = _open_to_others(path)
            if not problem and not os.access(path, os.X_OK):
                problem = f"{path} is not executable; chmod 755, or remove it"
            if problem:
                problems.append(f"alerts: {problem}; it is not run")
                continue
            script, complaints = read_settings(path)
        except OSError as error:
            problems.append(f"alerts: {path} cannot be used: {error.strerror}")
            continue
        scripts.append(script)
        problems += complaints
    if len(scripts) > SCRIPT_LIMIT:
        problems.append(f"alerts: {folder} has {len(scripts)} scripts, only the first {SCRIPT_LIMIT} are run")
    return scripts[:SCRIPT_LIMIT], problems


def _is_orphan(name: str, names: Sequence[str]) -> bool:
    return name.endswith(".conf") and name[:-5] not in names


def _open_to_others(path: str) -> str:
    """"" or why somebody else than root decides what we would run as root."""
    facts = os.stat(path)
    if facts.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to user {facts.st_uid}, and it would be run as root; chown root"
    if facts.st_mode & 0o022:
        return f"{path} can be changed by others than root; chmod go-w"
    return ""


def read_settings(path: str) -> tuple[Script, list[str]]:
    """The settings in ``path``.conf, and sentences about lines that say nothing. OSError when it cannot be read."""
    where = f"{path}.conf"
    recipients: list[str] = []
    timeout_ms, form = TIMEOUT_MS, DEFAULT_TIMESTAMP
    attributes: dict[str, str] = {}
    problems: list[str] = []
    try:
        with open(where, encoding="utf-8", errors="replace") as file:
            lines = file.read(_CONF_LIMIT_BYTES).splitlines()
    except FileNotFoundError:
        lines = []
    for number, line in enumerate(lines, 1):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not name or name.startswith("#"):
            continue
        if not equals:
            problems.append(f"alerts: {where}:{number}: no name=value; correct it")
        elif name == "recipient":
            recipients.append(value)
        elif name == "timestamp-format":
            form = value
        elif name == "timeout":
            seconds = re.fullmatch(r"(\d{1,3})s?", value)
            if seconds is None or not 0 < int(seconds[1]) * 1000 <= LONGEST_TIMEOUT_MS:
                problems.append(f"alerts: {where}:{number}: timeout is 1 to {LONGEST_TIMEOUT_MS // 1000} seconds")
            else:
                timeout_ms = int(seconds[1]) * 1000
        elif not _NAME.fullmatch(name) or name.startswith("CRM_alert_"):
            problems.append(f"alerts: {where}:{number}: {name} cannot be the name of an instance attribute")
        else:
            attributes[name] = value
    script = Script(
        path=path,
        recipients=tuple(recipients),
        timeout_ms=timeout_ms,
        timestamp_format=form,
        attributes=attributes,
    )
    return script, problems
