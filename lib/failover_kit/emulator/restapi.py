"""The REST interface of current WTI units: a request in, an answer out. Pure; no session is taken.

Known from WTI's own Ansible collection wti.remote (modules cpm_plugcontrol, cpm_plugconfig, the examples of
cpm_status_info) and from public clients of such units: the paths, Basic authorization, the requests, the
envelope ``{"status": {"code": "0", "text": "OK"}, ...}``, the keys of a plug, ``busy``, the numbers of the
boot delays. *Approximated*: that every refusal has an HTTP status of 400 or more as well as a status code
that is not 0; the text of refusals; the keys of powerplugconfig's answer; several objects behind one
another in a body (so cpm_plugcontrol sends several plugs); that a switching request is answered at once
and ``busy`` tells the rest.
"""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from failover_kit.emulator import menus
from failover_kit.emulator.device import Device
from failover_kit.emulator.relays import Outlet
from failover_kit.emulator.unit import Rights
from failover_kit.emulator.values import check_name, delay_text

CONTROL = "/api/v2/config/powerplug"
CONFIG = "/api/v2/config/powerplugconfig"
STATUS = "/api/v2/status/status"
ORDERS_LIMIT = 64  # four for each of sixteen plugs
PATHS = (CONTROL, CONFIG, STATUS)
STATES = ("on", "off", "boot", "default")


@dataclass(frozen=True)
class Request:
    """What was asked. ``authorization`` is the header's value and never printed."""

    method: str
    target: str
    authorization: str = ""
    body: bytes = b""

    def __repr__(self) -> str:
        return f"Request({self.method} {self.target})"


@dataclass(frozen=True)
class Response:
    """``code`` is HTTP's; ``content`` becomes JSON."""

    code: int
    content: dict[str, Any]


class _Refused(Exception):
    """Why a request is not done, with the HTTP status for it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def answer(device: Device, now_ms: int, request: Request) -> Response:
    """Do what ``request`` asks of ``device``."""
    path, _, query = request.target.partition("?")
    try:
        rights = _rights(device, request.authorization)
        content = _handler(path, request.method)(_Call(device, now_ms, rights, query, request.body))
    except _Refused as refused:
        content = {"status": {"code": str(refused.code), "text": str(refused)}}
        response = Response(refused.code, content)
    else:
        response = Response(200, {"status": {"code": "0", "text": "OK"}, **content})
    # Only words of the interface itself: a mistyped URL can have a password in it.
    method = request.method if request.method in ("GET", "POST") else "?"
    path = path.rstrip("/")
    device.unit.event("rest", method=method, path=path if path in PATHS else "?", code=response.code)
    return response


@dataclass(frozen=True)
class _Call:
    device: Device
    now_ms: int
    rights: Rights
    query: str
    body: bytes

    def owned(self) -> dict[int, Outlet]:
        return {outlet.number: outlet for outlet in self.device.unit.owned(self.rights)}


def _handler(path: str, method: str) -> Callable[[_Call], dict[str, Any]]:
    table: dict[str, dict[str, Callable[[_Call], dict[str, Any]]]] = {
        CONTROL: {"GET": _show, "POST": _switch},
        CONFIG: {"GET": _show_config, "POST": _set_config},
        STATUS: {"GET": _unit_status},
    }
    if path.rstrip("/") not in table:
        raise _Refused(404, "No such resource")
    methods = table[path.rstrip("/")]
    if method not in methods:
        raise _Refused(405, "Method not allowed")
    return methods[method]


def _rights(device: Device, authorization: str) -> Rights:
    """Who asks. A locked-out device does not even look at the password."""
    if device.faults.locked_out():
        raise _Refused(403, "Invalid Access Lockout")
    if device.unit.automated():
        return device.unit.everything()
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise _Refused(401, "Unauthorized")
    try:
        user, _, password = base64.b64decode(credentials, validate=True).decode("utf-8").partition(":")
    except ValueError:  # not base64, or not UTF-8 inside
        raise _Refused(401, "Unauthorized") from None
    rights = device.unit.log_in(user, password)
    if rights is None:
        raise _Refused(401, "Unauthorized")
    return rights


# --- switching -----------------------------------------------------------------------------------------


def _show(call: _Call) -> dict[str, Any]:
    return {"powerplugs": [_plug(call.device, outlet) for outlet in _asked(call)]}


def _switch(call: _Call) -> dict[str, Any]:
    """One bad object spoils the request: nothing is switched."""
    orders = []
    for order in _objects(call.body):
        state = order.get("state")
        if not isinstance(state, str) or state.lower() not in STATES:
            raise _Refused(400, "Invalid state")
        orders.append((state.lower(), _meant(call, order)))
    if len(orders) > ORDERS_LIMIT:
        raise _Refused(413, "Too many plugs")
    if call.device.unit.relays.full():
        raise _Refused(503, "Busy")
    for verb, outlets in orders:
        numbers = [outlet.number for outlet in outlets]
        call.device.unit.event("command", text=f"/{verb.upper()} {'+'.join(map(str, numbers))}", by="rest")
        call.device.order(call.now_ms, verb, numbers)
    changed = {outlet.number: outlet for _, outlets in orders for outlet in outlets}
    return {"powerplugs": [_plug(call.device, outlet) for outlet in changed.values()]}


def _plug(device: Device, outlet: Outlet) -> dict[str, str]:
    unit = device.unit
    busy = unit.faults.active("busy") or outlet.number in unit.relays.busy_plugs()
    return {
        "plug": str(outlet.number),
        "plugname": outlet.name,
        "state": "on" if outlet.on else "off",
        "busy": "1" if busy else "0",
        "bootdelay": delay_text(outlet.delay_ms),
        "priority": str(outlet.priority),
        "plugoffreason": "0",
    }


# --- parameters ----------------------------------------------------------------------------------------


def _show_config(call: _Call) -> dict[str, Any]:
    return {"powerplugs": [_parameters(outlet) for outlet in _asked(call)]}


def _set_config(call: _Call) -> dict[str, Any]:
    if not call.rights.system:
        raise _Refused(403, "System Mode is needed")
    changes: list[tuple[Outlet, dict[str, Any]]] = []
    for entry in _objects(call.body):
        # Here "plugname" is the new name, so the plug is meant by its number.
        for outlet in _meant(call, {"plug": entry.get("plug")}):
            changes.append((outlet, _new_values(entry, len(call.device.unit.relays.outlets))))
    for outlet, values in changes:
        for field, value in values.items():
            setattr(outlet, field, value)
            call.device.unit.changed(f"plug {outlet.number} {field}")
    return {"powerplugs": [_parameters(outlet) for outlet, _ in changes]}


def _new_values(entry: dict[str, Any], plug_count: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "plugname" in entry:
        name = entry["plugname"]
        if not isinstance(name, str) or (name and check_name(name) is not None):
            raise _Refused(400, "Invalid plugname")
        found["name"] = name
    if "bootdelay" in entry:
        found["delay_ms"] = menus.DELAYS_MS[_number(entry, "bootdelay", 0, len(menus.DELAYS_MS) - 1)]
    if "default" in entry:
        found["default_on"] = _number(entry, "default", 0, 1) == 1
    if "bootpriority" in entry:
        found["priority"] = _number(entry, "bootpriority", 1, plug_count)
    return found


def _number(entry: dict[str, Any], key: str, first: int, last: int) -> int:
    number = _digits(str(entry[key]))
    if number is None or not first <= number <= last:
        raise _Refused(400, f"Invalid {key}")
    return number


def _digits(text: str) -> int | None:
    """The number that ``text`` is; None when it is none, or longer than any this device has."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else None


def _parameters(outlet: Outlet) -> dict[str, str]:
    known = outlet.delay_ms in menus.DELAYS_MS
    return {
        "plug": str(outlet.number),
        "plugname": outlet.name,
        "bootdelay": str(menus.DELAYS_MS.index(outlet.delay_ms)) if known else delay_text(outlet.delay_ms),
        "default": "1" if outlet.default_on else "0",
        "bootpriority": str(outlet.priority),
    }


def _unit_status(call: _Call) -> dict[str, Any]:
    unit = call.device.unit
    return {
        "vendor": "WTI",
        "product": unit.variant.name.upper(),
        "totalports": "0",
        "totalplugs": str(unit.variant.plug_count),
        "softwareversion": unit.variant.title,
        "siteid": unit.settings.site_id,
    }


# --- which plugs ---------------------------------------------------------------------------------------


def _asked(call: _Call) -> list[Outlet]:
    """The plugs a query asks for: ``?plug=5``, ``?plug=5,pete``, or all."""
    values = urllib.parse.parse_qs(call.query, keep_blank_values=True).get("plug")
    if values is None:
        return list(call.owned().values())
    items = [item.strip() for value in values for item in value.split(",")]
    found = {outlet.number: outlet for item in items for outlet in _named(call, item)}
    return [found[number] for number in sorted(found)]


def _meant(call: _Call, order: dict[str, Any]) -> list[Outlet]:
    """The plugs an object means, by number or by name."""
    if "plug" in order and type(order["plug"]) in (int, str):
        outlet = call.owned().get(_digits(str(order["plug"])) or 0)
        if outlet is None:
            raise _Refused(400, "Invalid plug")
        return [outlet]
    if isinstance(order.get("plugname"), str):
        return _named(call, order["plugname"])
    raise _Refused(400, "Invalid plug")


def _named(call: _Call, item: str) -> list[Outlet]:
    """Plugs that share a name are meant together, as in the text commands."""
    owned = call.owned().values()
    number = _digits(item)
    if number is not None:
        found = [outlet for outlet in owned if outlet.number == number]
    else:
        found = [outlet for outlet in owned if item and outlet.name.lower() == item.lower()]
    if not found:
        raise _Refused(400, "Invalid plug")
    return found


def _objects(body: bytes) -> Sequence[dict[str, Any]]:
    """The objects of a body: one, a list, ``{"plugs": [...]}``, or several behind one another."""
    try:
        text, found = body.decode("utf-8").strip(), []
        while text:
            value, end = json.JSONDecoder().raw_decode(text)
            found.append(value)
            text = text[end:].lstrip(" \t\r\n,")
    except (ValueError, RecursionError):
        raise _Refused(400, "Invalid JSON") from None
    flat: list[Any] = []
    for value in found:
        inner = value.get("plugs", value) if isinstance(value, dict) else value
        flat += inner if isinstance(inner, list) else [inner]
    if not flat or not all(isinstance(value, dict) for value in flat):
        raise _Refused(400, "Invalid JSON")
    return flat
