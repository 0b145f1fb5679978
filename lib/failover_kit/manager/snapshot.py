"""A core as plain JSON values, and back: a journal file can then begin anywhere in a life.

Not pickle: reading makes objects of the classes of the pure modules and of nothing else, runs none of their
code, and refuses fields that a class of this version does not have. Any state the core may grow is carried
as long as it is made of such objects, enums, numbers, texts, tuples, lists, dicts and sets. Pure.

Values stand for themselves; everything else is an object with one key for its kind: ``T`` tuple, ``L`` list,
``D`` dict (pairs in order: the core relies on it), ``S`` set, ``E`` enum member, ``O`` object.
"""

from __future__ import annotations

import dataclasses
from enum import Enum
from types import ModuleType
from typing import Any

from failover_kit.manager import (
    actions,
    core,
    coredata,
    drill,
    events,
    groups,
    hearing,
    orders,
    records,
    shooting,
    states,
)
from failover_kit.manager.codec import CodecError
from failover_kit.manager.core import Core

_MODULES: tuple[ModuleType, ...] = (
    actions, core, coredata, drill, events, groups, hearing, orders, records, shooting, states,
)  # fmt: skip

_DEPTH_LIMIT = 50


def _classes() -> dict[str, type]:
    found: dict[str, type] = {}
    for module in _MODULES:
        for value in vars(module).values():
            if isinstance(value, type) and value.__module__ == module.__name__:
                if value.__name__ in found:
                    raise TypeError(f"two classes are called {value.__name__}")
                found[value.__name__] = value
    return found


_CLASSES = _classes()


def export_core(alive: Core) -> dict[str, Any]:
    """Everything ``alive`` knows. TypeError when it holds something that has no plain form."""
    plain: dict[str, Any] = _export(alive)
    return plain


def import_core(plain: object) -> Core:
    """The core that was exported. CodecError when this version cannot read it."""
    try:
        made = _import(plain, 0)
        if type(made) is not Core:
            raise CodecError("a snapshot of something else")
        fresh = Core(made.config, boot_id="", nonce="", stored=None, now_ms=0)
        if set(vars(fresh)) != set(vars(made)):
            raise CodecError("a snapshot of another version of the core")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CodecError(f"a snapshot that this version cannot read ({error})") from None
    return made


def _export(value: object) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if isinstance(value, Enum):
        return {"E": [kind.__name__, value.value]}
    if kind is tuple or kind is list:
        return {"T" if kind is tuple else "L": [_export(item) for item in value]}  # type: ignore[attr-defined]
    if isinstance(value, dict):
        return {"D": [[_export(key), _export(item)] for key, item in value.items()]}
    if isinstance(value, (set, frozenset)):
        return {"S": sorted(_export(item) for item in value)}
    if _CLASSES.get(kind.__name__) is not kind:
        raise TypeError(f"{kind.__name__} has no plain form")
    return {"O": kind.__name__, "f": {name: _export(getattr(value, name)) for name in _names(value)}}


def _names(value: object) -> list[str]:
    """The fields of an object, by what kind of class it has."""
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    if hasattr(value, "__dict__"):
        return list(vars(value))
    return list(type(value).__slots__)  # type: ignore[attr-defined]


def _import(plain: Any, depth: int) -> Any:
    if depth > _DEPTH_LIMIT:
        raise ValueError("too deep")
    if plain is None or type(plain) in (bool, int, str):
        return plain
    if not isinstance(plain, dict):
        raise TypeError(f"{type(plain).__name__} in a snapshot")
    match plain:
        case {"T": items}:
            return tuple(_import(item, depth + 1) for item in items)
        case {"L": items}:
            return [_import(item, depth + 1) for item in items]
        case {"S": items}:
            return {_import(item, depth + 1) for item in items}
        case {"D": pairs}:
            return {_import(key, depth + 1): _import(item, depth + 1) for key, item in pairs}
        case {"E": [name, value]}:
            kind = _CLASSES[name]
            if not issubclass(kind, Enum):
                raise TypeError(f"{name} is no enum")
            return kind(value)
        case {"O": str(name), "f": dict(fields)}:
            return _import_object(_CLASSES[name], fields, depth)
    raise TypeError("an unknown kind of value")


def _import_object(kind: type, fields: dict[str, Any], depth: int) -> object:
    made: object = object.__new__(kind)
    if dataclasses.is_dataclass(kind):
        wanted = {field.name for field in dataclasses.fields(kind)}
    else:
        wanted = set(getattr(kind, "__slots__", fields))
    if set(fields) != wanted:
        raise ValueError(f"{kind.__name__} has other fields in this version")
    for name, value in fields.items():
        # Frozen classes refuse setattr; a snapshot is not a change.
        object.__setattr__(made, name, _import(value, depth + 1))
    return made
