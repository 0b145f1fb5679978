"""Names that stand in people's haresources files, as OCF agents of ClusterLabs' ``heartbeat`` provider.

Heartbeat brought a script for each in ``/etc/ha.d/resource.d`` that only turned positional arguments into
parameters and ran the agent. Where that script is installed it is called, since somebody may have changed it;
this table is for nodes without Heartbeat. Our own agents (IPaddr, IPaddr2, Filesystem, nfsserver, exportfs)
are not here, they come first. Pure.

Source: the usage of Heartbeat 3.0.6 ``heartbeat/resource.d/*``.
"""

from __future__ import annotations

PROVIDER = "heartbeat"

# Parameters in the order of the arguments, and how many must be given.
_IN_ORDER: dict[str, tuple[tuple[str, ...], int]] = {
    "Delay": (("startdelay", "stopdelay"), 0),
    "ICP": (("driveid", "device"), 2),
    "IPsrcaddr": (("ipaddress",), 1),
    "LVM": (("volgrpname",), 1),
    "LinuxSCSI": (("scsi",), 1),
    "MailTo": (("email", "subject"), 1),
    "Raid1": (("raidconf", "raiddev"), 2),
    "ServeRAID": (("serveraid", "mergegroup"), 2),
    "WinPopup": (("hostfile",), 0),
    "Xinetd": (("service",), 1),
    "apache": (("configfile",), 0),
    "db2": (("instance",), 1),
    "ids": (("informixdir", "informixserver", "onconfig"), 0),
    "portblock": (("protocol", "portno", "action"), 3),
}
# One argument with parts between slashes.
_IN_PARTS: dict[str, tuple[str, ...]] = {
    "IPv6addr": ("ipv6addr", "cidr_netmask", "nic"),
    "SendArp": ("ip", "nic"),
}
_DEFAULTS = {"Delay": {"startdelay": "10"}, "WinPopup": {"hostfile": "hosts"}}

NAMES = frozenset({*_IN_ORDER, *_IN_PARTS, "AudibleAlarm", "WAS"})

_DRBD = "it comes with drbd-utils; the agent ocf:linbit:drbd does not stand in for it, it has to be promoted"
ADVICE = {"drbddisk": _DRBD, "drbdupper": _DRBD}
"""What to say of names that no agent can stand in for."""


def parameters_for(name: str, args: tuple[str, ...]) -> dict[str, str]:
    """The agent's parameters for ``name::arg::arg``; ValueError, with how to write it, when they do not fit."""
    if name == "AudibleAlarm":
        return {"nodelist": " ".join(args)} if args else {}
    if name == "WAS":
        _check(len(args) <= 1, "WAS::CONFIGURATION-FILE or WAS::PORT")
        return {"port" if args[0].isdigit() else "config": args[0]} if args else {}
    if name in _IN_PARTS:
        parts = args[0].split("/") if len(args) == 1 else []
        names = _IN_PARTS[name]
        # SendArp needs its interface; an IPv6 address stands well alone.
        least = 2 if name == "SendArp" else 1
        _check(least <= len(parts) <= len(names) and "" not in parts, f"{name}::{'/'.join(map(str.upper, names))}")
        return dict(zip(names, parts, strict=False))
    names, least = _IN_ORDER[name]
    usage = "::".join((name, *map(str.upper, names)))
    _check(least <= len(args) <= len(names), usage)
    _check(name != "ids" or len(args) in (0, 3), usage)
    return _DEFAULTS.get(name, {}) | dict(zip(names, args, strict=False))


def _check(fits: bool, usage: str) -> None:
    if not fits:
        raise ValueError(f"the arguments do not fit; write {usage}")
