"""Frozen facts of the manager as plain JSON values and back, driven by their annotations.

One codec for the durable record, the journal and the control socket, so that a field added to a record
is written and read everywhere without another line of code. Dataclasses become objects, enums their
values, tuples lists. A member of a union of dataclasses (Event, Action) carries its class name in
``"is"``. Reading is strict: an unknown field, a missing one without a default, or a value of another
type is a CodecError that names the place. What a newer minor version wrote (design/0039) goes through ``pruned``
first, which drops the fields that are not known here and says which. Pure.
"""

from __future__ import annotations

import dataclasses
import types
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

Plain = None | bool | int | str | list[Any] | dict[str, Any]

TAG = "is"

_T = TypeVar("_T")


class CodecError(ValueError):
    """Text that is not the expected type; ``str()`` says where and what."""


def to_plain(value: object) -> Plain:
    """``value`` as what ``json.dumps`` takes. TypeError for anything that is not a fact of ours."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Enum):
        return to_plain(value.value)
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} has no plain form")


def tagged(value: object) -> dict[str, Any]:
    """A member of a union, with its class name."""
    return {TAG: type(value).__name__, **cast("dict[str, Any]", to_plain(value))}


def from_plain(kind: type[_T], plain: object, where: str = "") -> _T:
    """Read a ``kind`` back. CodecError when ``plain`` is not one."""
    return cast("_T", _read(kind, plain, where or kind.__name__))


def from_tagged(union: object, plain: object, where: str = "") -> Any:
    """Read the member of ``union`` that ``tagged`` wrote. CodecError when it is none."""
    name = plain.get(TAG) if isinstance(plain, dict) else None
    for member in get_args(union):
        if member.__name__ == name:
            rest = {key: value for key, value in cast("dict[str, Any]", plain).items() if key != TAG}
            return _read(member, rest, where or str(name))
    raise CodecError(f"{where or 'value'}: {name!r} is not known here; it was written by another version")


def pruned(kind: Any, plain: object, dropped: list[str], where: str = "") -> object:
    """``plain`` less the fields that a ``kind`` does not have here; their places are added to ``dropped``. What is
    wrong in another way is left for ``from_plain`` to refuse."""
    where = where or getattr(kind, "__name__", "value")
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        members = [member for member in get_args(kind) if member is not type(None)]
        return pruned(members[0], plain, dropped, where) if plain is not None and len(members) == 1 else plain
    if origin is tuple and isinstance(plain, list):
        items = get_args(kind)
        same = len(items) == 2 and items[1] is Ellipsis
        kinds = [items[0]] * len(plain) if same else list(items)
        if len(kinds) != len(plain):
            return plain
        pairs = enumerate(zip(kinds, plain, strict=True))
        return [pruned(inner, item, dropped, f"{where}[{at}]") for at, (inner, item) in pairs]
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(plain, dict):
        hints, _ = _fields_of(kind)
        dropped += [f"{where}.{name}" for name in plain if name not in hints]
        return {n: pruned(hints[n], value, dropped, f"{where}.{n}") for n, value in plain.items() if n in hints}
    return plain


def pruned_tagged(union: object, plain: object, dropped: list[str]) -> object:
    """``pruned`` for what ``tagged`` wrote. A member that is not known here stays as it is."""
    if not isinstance(plain, dict):
        return plain
    for member in get_args(union):
        if member.__name__ == plain.get(TAG):
            rest = {key: value for key, value in plain.items() if key != TAG}
            kept = pruned(member, rest, dropped)
            return {TAG: plain[TAG], **cast("dict[str, Any]", kept)}
    return plain


def is_member(union: object, plain: object) -> bool:
    """Whether ``plain`` says that it is a member of ``union`` that is known here."""
    return isinstance(plain, dict) and plain.get(TAG) in {member.__name__ for member in get_args(union)}


def _read(kind: Any, plain: object, where: str) -> object:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _read_optional(kind, plain, where)
    if origin is tuple:
        return _read_tuple(get_args(kind), plain, where)
    if dataclasses.is_dataclass(kind):
        return _read_fields(kind, plain, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        for member in kind:
            if member.value == plain and type(member.value) is type(plain):
                return member
        raise CodecError(f"{where}: {plain!r} is none of {', '.join(str(m.value) for m in kind)}")
    # bool is an int to Python and must not be to us.
    if kind in (bool, int, str) and type(plain) is kind:
        return plain
    raise CodecError(f"{where}: {plain!r} is not {getattr(kind, '__name__', kind)}")


def _read_optional(kind: Any, plain: object, where: str) -> object:
    members = [member for member in get_args(kind) if member is not type(None)]
    if plain is None and len(members) < len(get_args(kind)):
        return None
    if len(members) != 1:
        raise TypeError(f"{where}: a union needs a tag")
    return _read(members[0], plain, where)


def _read_tuple(items: tuple[Any, ...], plain: object, where: str) -> tuple[object, ...]:
    if not isinstance(plain, list):
        raise CodecError(f"{where}: {plain!r} is not a list")
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(_read(items[0], item, f"{where}[{at}]") for at, item in enumerate(plain))
    if len(plain) != len(items):
        raise CodecError(f"{where}: {len(plain)} values in place of {len(items)}")
    pairs = enumerate(zip(items, plain, strict=True))
    return tuple(_read(kind, item, f"{where}[{at}]") for at, (kind, item) in pairs)


def _read_fields(kind: Any, plain: object, where: str) -> object:
    if not isinstance(plain, dict):
        raise CodecError(f"{where}: {plain!r} is not an object")
    hints, needed = _fields_of(kind)
    for name in plain:
        if name not in hints:
            raise CodecError(f"{where}: field {name!r} is not known here; it was written by another version")
    for name in needed:
        if name not in plain:
            raise CodecError(f"{where}: field {name!r} is missing")
    return kind(**{name: _read(hints[name], value, f"{where}.{name}") for name, value in plain.items()})


@lru_cache(maxsize=64)
def _fields_of(kind: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The types of a dataclass's fields, and the names of those without a default."""
    hints = get_type_hints(kind)
    fields = dataclasses.fields(kind)
    missing = dataclasses.MISSING
    needed = tuple(f.name for f in fields if f.default is missing and f.default_factory is missing)
    return {field.name: hints[field.name] for field in fields}, needed
