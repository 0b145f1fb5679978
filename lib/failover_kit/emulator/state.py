"""What the device remembers over a restart, in one file: mode 0600, written whole, never half.

The file is JSON with a format number; it holds passwords in clear, as a device's own memory does. A file
that cannot be read or does not fit is an error and stays as it is: a switch that silently forgot its
password would be open to anybody.
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

from failover_kit.emulator.relays import Outlet
from failover_kit.emulator.settings import MASK_COUNT, Settings
from failover_kit.emulator.unit import Unit
from failover_kit.emulator.values import check_name

FORMAT = 1
SIZE_LIMIT_BYTES = 1 << 20
_DELAY_LIMIT_MS = 3_600_000


class StateError(Exception):
    """The state file cannot be used; ``str()`` names it, the fact and the remedy."""


def save(path: str, unit: Unit) -> None:
    """Replace the file at ``path`` in one step. Raises OSError."""
    plugs = {str(o.number): dataclasses.asdict(o) for o in unit.relays.outlets.values()}
    for plug in plugs.values():
        del plug["number"]
    content = {
        "format": FORMAT,
        "variant": unit.variant.name,
        "settings": dataclasses.asdict(unit.settings),
        "plugs": plugs,
    }
    temporary = f"{path}.{os.getpid()}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def begin(path: str, unit: Unit) -> None:
    """Write the file for the first time in this life. Raises StateError when that is not possible."""
    try:
        save(path, unit)
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}; name a file in a directory that can be written") from None


def load(path: str, unit: Unit) -> bool:
    """Give ``unit`` what the file holds; False when there is no file. Raises StateError."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(SIZE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}; name another file, or make this one readable") from None
    except UnicodeDecodeError:
        raise _unusable(path, "it is not UTF-8") from None
    try:
        _apply(path, json.loads(text) if len(text) <= SIZE_LIMIT_BYTES else None, unit)
    except (ValueError, RecursionError) as error:  # the latter: brackets without end
        raise _unusable(path, f"it is not JSON ({error})") from None
    return True


def _unusable(path: str, why: str) -> StateError:
    return StateError(
        f"{path}: not a state file that can be used: {why}; put a good copy in its place, "
        "or move it away to begin with a switch fresh from the factory"
    )


def _apply(path: str, content: object, unit: Unit) -> None:
    """Check everything first, then change ``unit``."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _unusable(path, f"it does not say \"format\": {FORMAT}")
    if content.get("variant") != unit.variant.name:
        raise _unusable(path, f"it is of the variant {content.get('variant')!r}, not '{unit.variant.name}'")
    settings = _fields(path, "settings", content.get("settings"), Settings())
    for name in ("mask_addresses", "mask_permits"):
        kind = str if name == "mask_addresses" else bool
        if len(settings[name]) != MASK_COUNT or not all(type(entry) is kind for entry in settings[name]):
            raise _unusable(path, f"{name} of settings is not a list of {MASK_COUNT}")
    if settings["idle_timeout_ms"] <= 0:
        raise _unusable(path, "idle_timeout_ms of settings is not above 0")
    plugs = content.get("plugs")
    wanted = {str(number) for number in unit.relays.outlets}
    if not isinstance(plugs, dict) or set(plugs) != wanted:
        raise _unusable(path, f"it does not hold exactly the plugs 1 to {len(wanted)}")
    checked = {number: _plug(path, number, plugs[str(number)]) for number in unit.relays.outlets}
    unit.settings = Settings(**settings)
    for number, fields in checked.items():
        for name, value in fields.items():
            setattr(unit.relays.outlets[number], name, value)


def _plug(path: str, number: int, content: object) -> dict[str, Any]:
    fields = _fields(path, f"plug {number}", content, Outlet(number), leave_out=("number",))
    if fields["name"] and check_name(fields["name"]) is not None:
        raise _unusable(path, f"name of plug {number}: {check_name(fields['name'])}")
    if not 0 <= fields["delay_ms"] <= _DELAY_LIMIT_MS:
        raise _unusable(path, f"delay_ms of plug {number} is not between 0 and {_DELAY_LIMIT_MS}")
    return fields


def _fields(
    path: str, place: str, content: object, model: Settings | Outlet, leave_out: tuple[str, ...] = ()
) -> dict[str, Any]:
    """``content`` as the fields of ``model``: the same names, the same types."""
    known = {f.name: getattr(model, f.name) for f in dataclasses.fields(model) if f.name not in leave_out}
    if not isinstance(content, dict) or set(content) != set(known):
        raise _unusable(path, f"{place} does not have exactly the entries {', '.join(known)}")
    for name, value in content.items():
        if name == "password":
            right = isinstance(value, str) or (value is None and known[name] is None)
        else:
            right = type(value) is type(known[name])
        if not right:  # the value itself may be a password
            raise _unusable(path, f"{name} of {place} has the wrong type")
    return content
