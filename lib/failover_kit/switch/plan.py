"""From what a switch shows and what is wanted: which settings differ, and what speaks against changing them.
Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from failover_kit.fence.screens import PlugRow
from failover_kit.fence.secret import Secret
from failover_kit.switch.menu import SET, Label, Menu, find, has, minutes_of, word_of
from failover_kit.switch.settings import (
    NO_GATEWAY,
    TIMEOUT_ADVICE_MIN,
    Rule,
    Wanted,
    address_of,
    in_network,
    permitted,
    problems_of_names,
    problems_of_network,
    problems_of_timeout,
)

NONE = "(none)"
GENERAL, NETWORK = "/G", "/N"


class Progress(Enum):
    """How far a setting got."""

    SAME = "as it was"
    WOULD = "would change"
    TODO = "not done"
    UNCERTAIN = "not confirmed"
    CHANGED = "changed"


@dataclass(slots=True)
class Setting:
    """One thing that was asked for. ``before`` and ``after`` are for people: never a password."""

    title: str
    command: str
    label: Label
    before: str
    after: str
    value: str | int | Secret
    differs: bool
    progress: Progress = Progress.SAME

    @property
    def network(self) -> bool:
        return self.command == NETWORK

    @property
    def secret(self) -> bool:
        return isinstance(self.value, Secret)

    def confirmed_by(self, menu: Menu) -> bool:
        """True when the menu, read again, shows the wanted value. For a password: that there is one."""
        item = find(menu, self.label)
        if isinstance(self.value, Secret):
            # The NPS guides leave open whether the menu shows the password, stars or a word.
            return item.shown() == SET
        if isinstance(self.value, int):
            return minutes_of(item.value) == self.value
        if self.label is Label.CONFIRMATION:
            return word_of(item.value) == self.value
        if self.network:
            return address_of(item.value) == _plain(self.value)
        return item.value.casefold() == self.value.casefold()


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read. ``menus``: by the command that opens them; ``rules`` None when they could not be read."""

    prompt: str
    banner: str
    plugs: tuple[PlugRow, ...]
    menus: dict[str, Menu]
    rules: tuple[Rule, ...] | None = None


@dataclass(slots=True)
class Plan:
    """Every setting asked for, in the order of the work; why it must not be done; what to think of."""

    settings: list[Setting]
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def differing(self) -> list[Setting]:
        return [setting for setting in self.settings if setting.differs]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking: ``address`` is the source address of a TCP connection, "" on the serial line."""

    address: str = ""
    clients: tuple[str, ...] = ()
    yes_network: bool = False


def needed_menus(wanted: Wanted, plugs: Sequence[PlugRow]) -> list[str]:
    """The menus that must be read for this, before anything is changed."""
    there = {row.number for row in plugs}
    menus = [f"/P {number}" for number in dict(wanted.names) if number in there]
    if wanted.general:
        menus.append(GENERAL)
    if wanted.network:
        menus.append(NETWORK)
    return menus


def decide(seen: Seen, wanted: Wanted, caller: Caller, entered_with: Secret | None) -> Plan:
    """Compare. Raises MenuError when an item that is needed is not in its menu."""
    plan = Plan(_names(seen, wanted))
    if wanted.timeout_min is not None:
        plan.settings.append(_timeout(seen.menus[GENERAL], wanted.timeout_min))
    if wanted.confirmation:
        plan.settings.append(_confirmation(seen.menus[GENERAL], wanted.confirmation))
    network = _network(seen.menus[NETWORK], wanted, serial=not caller.address) if wanted.network else []
    if not caller.address:
        plan.settings += network
    if wanted.password is not None:
        plan.settings.append(_password(seen.menus[GENERAL], wanted.password, entered_with))
    if caller.address:
        plan.settings += network  # last: the connection may be lost by it
    _judge_names(plan, seen, wanted)
    if wanted.timeout_min is not None:
        plan.refusals += problems_of_timeout(wanted.timeout_min)
        if wanted.timeout_min > TIMEOUT_ADVICE_MIN:
            plan.warnings.append(
                f"a disconnect timeout of {wanted.timeout_min} minutes: that long a dead client blocks fencing; "
                f"{TIMEOUT_ADVICE_MIN} or less is better"
            )
    if any(setting.differs for setting in network):
        _judge_network(plan, seen, wanted, caller)
    _judge_rules(plan, seen, caller)
    general = seen.menus.get(GENERAL)
    if general is not None and any(
        i.key in Label.AUTOMATED.value and i.value.casefold() == "on" for i in general.items
    ):
        plan.warnings.append("automated mode is on: the switch asks nobody for a password (/G, Automated Mode)")
    return plan


def _names(seen: Seen, wanted: Wanted) -> list[Setting]:
    settings = []
    for number, name in wanted.names:
        command = f"/P {number}"
        if command not in seen.menus:
            continue  # no such plug: refused below
        item = find(seen.menus[command], Label.PLUG_NAME)
        before = next((row.name for row in seen.plugs if row.number == number), "")
        differs = item.value.casefold() != name.casefold()
        settings.append(
            Setting(f"plug {number} name", command, Label.PLUG_NAME, before or NONE, name, name, differs)
        )
    return settings


def _timeout(menu: Menu, minutes: int) -> Setting:
    item = find(menu, Label.DISCONNECT_TIMEOUT)
    before = minutes_of(item.value)
    shown = item.shown() if before is None else f"{before} min" if before else NONE
    return Setting("disconnect timeout", GENERAL, Label.DISCONNECT_TIMEOUT, shown, f"{minutes} min", minutes,
                   before != minutes)  # fmt: skip


def _confirmation(menu: Menu, word: str) -> Setting:
    before = word_of(find(menu, Label.CONFIRMATION).value)
    return Setting("command confirmation", GENERAL, Label.CONFIRMATION, before or NONE, word, word, before != word)


def _password(menu: Menu, password: Secret, entered_with: Secret | None) -> Setting:
    item = find(menu, Label.SYSTEM_PASSWORD)
    differs = entered_with != password
    after = "changed" if differs and item.shown() == SET else SET
    return Setting("system password", GENERAL, Label.SYSTEM_PASSWORD, item.shown(), after, password, differs)


def _network(menu: Menu, wanted: Wanted, *, serial: bool) -> list[Setting]:
    """On the serial line the address comes first, so that a unit which checks the gateway against it is content;
    over TCP it comes last, because the connection may end with it."""
    rows = [("mask", Label.MASK, wanted.mask), ("gateway", Label.GATEWAY, wanted.gateway)]
    rows.insert(0 if serial else 2, ("address", Label.ADDRESS, wanted.address))
    settings = []
    for title, label, value in rows:
        if value:
            before = address_of(find(menu, label).value)
            differs = before != _plain(value)
            settings.append(Setting(title, NETWORK, label, before or NONE, _plain(value) or NONE, value, differs))
    return settings


def _judge_names(plan: Plan, seen: Seen, wanted: Wanted) -> None:
    numbers = [number for number, _ in wanted.names]
    if len(set(numbers)) < len(numbers):
        plan.refusals.append("one plug is given two names")
    missing = [number for number in numbers if number not in {row.number for row in seen.plugs}]
    if missing:
        plan.refusals.append(f"the switch has no plug {', '.join(map(str, missing))}")
    if numbers:
        names = {row.number: row.name for row in seen.plugs} | dict(wanted.names)
        plan.refusals += problems_of_names(names, same_name=wanted.same_name)


def _judge_network(plan: Plan, seen: Seen, wanted: Wanted, caller: Caller) -> None:
    menu = seen.menus[NETWORK]
    address = wanted.address or address_of(find(menu, Label.ADDRESS).value)
    mask = wanted.mask or address_of(find(menu, Label.MASK).value)
    shown = address_of(find(menu, Label.GATEWAY).value) if has(menu, Label.GATEWAY) else ""
    gateway = _plain(wanted.gateway) if wanted.gateway else shown
    problems = problems_of_network(address, mask, gateway)
    plan.refusals += problems
    if problems or not caller.address:
        return
    if not caller.yes_network:
        plan.refusals.append(
            "address, mask or gateway would change under the connection that is used for it; do it over the serial "
            "line (--serial), or add --yes-network: then it comes last and is verified by a new login at the new "
            "address"
        )
    if not in_network(address, mask, caller.address):
        if not gateway:
            plan.refusals.append(
                f"this host ({caller.address}) would be outside the switch's network {address} / {mask} and the "
                "switch has no gateway: it could not be reached again"
            )
        else:
            plan.warnings.append(
                f"this host ({caller.address}) is outside the switch's new network: it is reached through the "
                f"gateway {gateway}, if that knows the way"
            )


def _judge_rules(plan: Plan, seen: Seen, caller: Caller) -> None:
    if not seen.rules:
        if seen.rules is None and caller.clients:
            plan.warnings.append("IP security could not be read: whether it lets the clients in is not known")
        return
    for client in dict.fromkeys((caller.address, *caller.clients)):
        if client and not permitted(seen.rules, client):
            plan.warnings.append(
                f"the switch's IP security denies {client}: it will not get a connection (/N, IP Security)"
            )
    if not caller.address and not caller.clients:
        plan.warnings.append(
            f"the switch has {len(seen.rules)} rules of IP security; add --client ADDRESS for each node to see "
            "whether they let it in"
        )


def _plain(value: str) -> str:
    return "" if value == NO_GATEWAY else value


def shown_rules(rules: Sequence[Rule]) -> list[str]:
    """IP security for people: one rule a line, in the unit's order."""
    return [
        f"{rule.number}. {'permit' if rule.permit else 'deny'} {rule.mask.replace('255', '*')}" for rule in rules
    ]
