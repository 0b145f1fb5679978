"""What can be set on a switch, and which values are refused before or after a look at it. Pure.

Two kinds of no: a value that is none (``BadValue``: usage), and one that the unit would take and that would lock
people or the cluster out (``problems_of_network`` and the like: refused as unsafe).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from failover_kit.fence.screens import UNNAMED
from failover_kit.fence.secret import Secret
from failover_kit.spec.values import check_prefix, ipv4_bytes
from failover_kit.switch.menu import Menu

# NPS-115 guide 4.5, RSM guide 5.7: 16 characters (an IPS-4 takes 32; the status table of the others shows 16).
NAME_LIMIT = 16
# IPS-4 guide 5.3.3: 16 characters, no unprintable ones, blanks, colons, plus signs, quotation marks.
PASSWORD_LIMIT = 16
# NPS-115 guide, page 18: the disconnect timeout should be about the ARP timeout; an example there has 60 minutes.
TIMEOUT_LIMIT_MIN = 60
TIMEOUT_ADVICE_MIN = 5
NO_GATEWAY = "0.0.0.0"  # what a unit without a gateway shows

# Guides of RSM, IPS-4 and NPS: a letter first; no blank, asterisk, colon, plus sign, quotation mark, comma.
# Pacemaker reads names from a list that it splits at blanks, commas and semicolons: letters, digits, dot, dash,
# underscore are safe.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
_OCTETS = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})")


class BadValue(Exception):
    """A value that cannot be meant; ``str()`` names it and says what to write."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller asks for; empty or None: leave as it is."""

    address: str = ""
    mask: str = ""
    gateway: str = ""
    password: Secret | None = None
    names: tuple[tuple[int, str], ...] = ()
    timeout_min: int | None = None
    confirmation: str = ""
    same_name: bool = False

    @property
    def network(self) -> bool:
        return bool(self.address or self.mask or self.gateway)

    def anything(self) -> bool:
        return self.network or self.general or bool(self.names)

    @property
    def general(self) -> bool:
        return self.password is not None or self.timeout_min is not None or bool(self.confirmation)


def check_address(option: str, text: str) -> str:
    """A dotted quad as it is usually written. Raises BadValue."""
    try:
        ipv4_bytes(text)
    except ValueError as error:
        raise BadValue(f"{option} {text} {error}") from None
    return text


def check_mask(option: str, text: str) -> str:
    """A network mask in dotted form, from that or from a prefix length (24). Raises BadValue."""
    try:
        bits = check_prefix(text)
    except ValueError as error:
        raise BadValue(f"{option} {text} {error}") from None
    number = (0xFFFFFFFF << (32 - bits)) & 0xFFFFFFFF
    return ".".join(str(byte) for byte in number.to_bytes(4, "big"))


def check_name(option: str, text: str) -> tuple[int, str]:
    """``1=pete``. Raises BadValue."""
    number, equals, name = text.partition("=")
    if not (equals and number.isascii() and number.isdigit() and 1 <= int(number) <= 999):
        raise BadValue(f"{option} {text}: write NUMBER=NAME, like 1=pete")
    if len(name) > NAME_LIMIT:
        raise BadValue(f"{option} {text}: {len(name)} characters; the unit takes {NAME_LIMIT}")
    if not _NAME.fullmatch(name):
        raise BadValue(
            f"{option} {text}: a name begins with a letter and has letters, digits, '.', '-', '_' (the unit takes "
            "no blank, comma, colon, plus sign, quote or asterisk, and the fencing of a cluster no other sign)"
        )
    return int(number), name


def check_timeout(option: str, text: str) -> int:
    """Whole minutes; 0 and "none" are understood, to be refused as unsafe. Raises BadValue."""
    if text.casefold() in ("none", "off", "never"):
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise BadValue(f"{option} {text}: write whole minutes, like 2")
    return int(text)


def check_password(source: str, secret: Secret) -> None:
    """What the unit takes as a password. Raises BadValue, without the password."""
    text = secret.reveal()
    if not text:
        raise BadValue(f"{source}: the new password is empty, and would open the switch to everybody")
    if len(text) > PASSWORD_LIMIT:
        raise BadValue(f"{source}: the new password is longer than the {PASSWORD_LIMIT} characters the unit takes")
    if not all("!" <= sign <= "~" for sign in text) or any(sign in ":+\"'" for sign in text):
        raise BadValue(
            f"{source}: the new password has a sign that the unit does not take: blanks, colons, plus signs, "
            "quotes and everything beyond ASCII"
        )


# --- what a unit shows ----------------------------------------------------------------------------------


def address_of(text: str) -> str:
    """An address as a unit prints it ("010.001.000.009", "(undefined)"), in usual spelling; "" when it is none."""
    match = _OCTETS.fullmatch(text.strip())
    if text.casefold().strip() in UNNAMED or not match:
        return ""
    numbers = [int(part) for part in match.groups()]
    return ".".join(map(str, numbers)) if max(numbers) < 256 and any(numbers) else ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of IP security: 255 in a mask stands for any number (NPS-115 guide, 4.6.1)."""

    number: int
    mask: str
    permit: bool

    def covers(self, address: str) -> bool:
        pairs = zip(self.mask.split("."), address.split("."), strict=True)
        return all(mine in ("255", theirs) for mine, theirs in pairs)


def rules_of(menu: Menu) -> tuple[Rule, ...]:
    """The rules in force, from the menu IP SECURITY: pairs "Security Mask #1", "Mask #1 Action"."""
    masks: dict[int, str] = {}
    permits: dict[int, bool] = {}
    for item in menu.items:
        mask = re.fullmatch(r"(?:security )?mask #?\s?(\d)", item.key)
        action = re.fullmatch(r"(?:security )?mask #?\s?(\d) action", item.key)
        if mask:
            masks[int(mask[1])] = address_of(item.value)
        elif action:
            permits[int(action[1])] = item.value.casefold().startswith("permit")
    return tuple(Rule(number, mask, permits.get(number, False)) for number, mask in sorted(masks.items()) if mask)


def permitted(rules: Sequence[Rule], address: str) -> bool:
    """The rule with the highest number that covers an address counts; without one it is let in (4.6.1)."""
    answer = True
    for rule in rules:
        if rule.covers(address):
            answer = rule.permit
    return answer


# --- what would lock out --------------------------------------------------------------------------------


def problems_of_network(address: str, mask: str, gateway: str) -> list[str]:
    """Why these three (usual spelling, "" for none) cannot be a switch's network. Empty: they fit."""
    if not address:
        return ["the switch has no address yet; give one with --set-address"]
    if not mask:
        return ["the switch has no network mask yet; give one with --set-mask"]
    first = ipv4_bytes(address)[0]
    problems = []
    if first in {0, 127}:
        problems.append(f"{address} is {'a loopback' if first else 'no'} address of a machine on a network")
    elif 224 <= first < 240:
        problems.append(f"{address} is a multicast address")
    elif first >= 240:
        problems.append(f"{address} is a reserved or broadcast address")
    bits = check_prefix(mask)
    if bits > 30 or bits < 8:
        problems.append(
            f"the mask {mask} leaves {'no room for another machine' if bits > 30 else 'far too much room'}"
        )
        return problems
    if not problems:
        problems += _ends(address, bits, mask)
    if gateway:
        problems += _gateway(address, bits, mask, gateway)
    return problems


def in_network(address: str, mask: str, other: str) -> bool:
    """True when ``other`` is in the network of ``address``."""
    bits = check_prefix(mask)
    return _number(address) >> (32 - bits) == _number(other) >> (32 - bits)


def _number(address: str) -> int:
    return int.from_bytes(ipv4_bytes(address), "big")


def _ends(address: str, bits: int, mask: str) -> list[str]:
    host = _number(address) & ((1 << (32 - bits)) - 1)
    if host == 0:
        return [f"{address} with the mask {mask} is the address of the network itself"]
    if host == (1 << (32 - bits)) - 1:
        return [f"{address} with the mask {mask} is the broadcast address"]
    return []


def _gateway(address: str, bits: int, mask: str, gateway: str) -> list[str]:
    if gateway == address:
        return [f"the gateway {gateway} is the address of the switch itself"]
    if not in_network(address, mask, gateway):
        return [
            f"the gateway {gateway} is not in the network of {address} with the mask {mask}; give --set-gateway "
            f"({NO_GATEWAY} for none) and --set-mask to match"
        ]
    return [f"gateway: {problem}" for problem in _ends(gateway, bits, mask)]


def problems_of_timeout(minutes: int) -> list[str]:
    if minutes < 1:
        return ["without a disconnect timeout a dead client blocks fencing for ever; give 1 to 5 minutes"]
    if minutes > TIMEOUT_LIMIT_MIN:
        return [
            f"a disconnect timeout of {minutes} minutes: a dead client would block fencing that long; give 1 to 5"
        ]
    return []


def problems_of_names(names: Mapping[int, str], *, same_name: bool) -> list[str]:
    """``names``: all plugs as they will be. Equal names are switched together (wti_nps, fence_wti_ips800)."""
    if same_name:
        return []
    problems = []
    for name in sorted({name.casefold() for name in names.values() if name}):
        plugs = [number for number, other in sorted(names.items()) if other.casefold() == name]
        if len(plugs) > 1:
            problems.append(
                f"plugs {' and '.join(map(str, plugs))} would both be called {name}: fencing switches both. Right "
                "for a machine with two supplies: then add --same-name"
            )
    return problems
