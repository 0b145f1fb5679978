"""Names, numbers and cables of the lab. Pure data, and what follows from it.

The pair of the reference HOWTO: fronts on eth2, storage on eth3, eth1 free for heartbeat. eth0 is the lab's own:
through it the host commands the guests, and its bridge ports are isolated, so that nodes do not hear each other
there. The addresses of the document belong to a real company; 192.0.2.0/24 (RFC 5737) stands in for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.errors import LabError
from lab.image import boot

MGMT, HEART, FRONT, SAN = "mgmt", "heart", "front", "san"
NETWORKS = (MGMT, HEART, FRONT, SAN)
"""One bridge each. A guest's tap on it is called NETWORK-GUEST."""

MGMT_PREFIX, HEART_PREFIX, FRONT_PREFIX = 24, 30, 24
HOST_ADDRESS = "10.9.0.254"
"""The keeper's own, on the bridge ``mgmt``. No other address, and no route, leads anywhere."""

SWITCH, SWITCH_ADDRESS, SWITCH_PORT = "benjamin", "192.0.2.219", 23
PLUG_COUNT = 8
CLUSTER, CLUSTER_ADDRESS = "clusterb", "192.0.2.220"

SHELF_NUMBER, SLOT_NUMBER = 0, 0
SHELF_DEVICE = "/dev/etherd/e0.0"
MOUNT_POINT = "/mnt/e0.0"
SHELF_PORT = "shelf"
"""The shelf's network card, and its place on the bridge ``san`` is called SHELF_SOCKET."""
SHELF_SOCKET = "san-shelf"
SHELF_BYTES = 512 << 20

SAN_MTU = 9000
"""Jumbo frames: 16 sectors in a frame instead of 2, an eighth of the interrupts for an emulated processor."""


@dataclass(frozen=True)
class Nic:
    """A network card of a guest. ``address`` "": the card gets none from the lab."""

    name: str
    network: str
    mac: str
    address: str
    prefix: int
    mtu: int = 1500


@dataclass(frozen=True)
class GuestPlan:
    """A machine. ``plug`` is its outlet on the switch; None: plugged into the wall."""

    name: str
    plug: int | None
    nics: tuple[Nic, ...]

    @property
    def address(self) -> str:
        """Where the lab reaches it."""
        return self.nics[0].address

    @property
    def is_node(self) -> bool:
        """Nodes have a serial port that is wired, a heartbeat card and a storage card."""
        return self.plug is not None

    def nic(self, name: str) -> Nic:
        """Raises LabError."""
        for nic in self.nics:
            if nic.name == name:
                return nic
        raise LabError(f"{self.name} has no {name}; it has {', '.join(nic.name for nic in self.nics)}")


def _nics(number: int, front: str, heart: str | None) -> tuple[Nic, ...]:
    """The cards of guest ``number``; ``heart`` None: a client, without heartbeat and storage."""

    def mac(card: int) -> str:
        return f"02:00:00:00:{card:02x}:{number:02x}"

    cards = [Nic("eth0", MGMT, mac(0), f"10.9.0.{number}", MGMT_PREFIX)]
    if heart is not None:
        cards.append(Nic("eth1", HEART, mac(1), heart, HEART_PREFIX))
    cards.append(Nic("eth2", FRONT, mac(2), front, FRONT_PREFIX))
    if heart is not None:
        cards.append(Nic("eth3", SAN, mac(3), "", 0, SAN_MTU))
    return tuple(cards)


PETE = GuestPlan("pete", 1, _nics(1, "192.0.2.218", "192.168.1.1"))
MCLAWS = GuestPlan("mclaws", 5, _nics(2, "192.0.2.217", "192.168.1.2"))
KOKONE = GuestPlan("kokone", None, _nics(3, "192.0.2.10", None))
GUESTS = (PETE, MCLAWS, KOKONE)
NODES = (PETE, MCLAWS)
NAMES = tuple(guest.name for guest in GUESTS)

HEART_IS_BARE = True
"""eth1 is brought up without its address, as the document leaves it; a story may give it ``Nic.address``."""


def guest(name: str) -> GuestPlan:
    """The plan of a guest. Raises LabError."""
    for found in GUESTS:
        if found.name == name:
            return found
    raise LabError(f"there is no guest {name!r}; there are {', '.join(NAMES)}")


def guests(names: Sequence[str]) -> tuple[GuestPlan, ...]:
    """Several, in the order of the plan, none twice. Raises LabError."""
    for name in names:
        guest(name)
    if len(set(names)) != len(names) or not names:
        raise LabError(f"guests {', '.join(names) or '(none)'}: name each once, and at least one")
    return tuple(found for found in GUESTS if found.name in names)


def by_plug(plug: int) -> GuestPlan | None:
    """Who hangs on that outlet."""
    return next((found for found in GUESTS if found.plug == plug), None)


def by_mac(mac: str) -> tuple[GuestPlan, Nic] | None:
    """Whose card has that address."""
    for found in GUESTS:
        for nic in found.nics:
            if nic.mac == mac:
                return found, nic
    return None


def tap(guest_name: str, nic: Nic) -> str:
    """The host's end of the cable at that card."""
    return f"{nic.network}-{guest_name}"


def hosts() -> str:
    """Every name of the lab, as lines for /etc/hosts. A guest's name is its front address, as in the document."""
    lines = [f"{nic.address} {found.name}" for found in GUESTS for nic in found.nics if nic.network == FRONT]
    lines += [f"{SWITCH_ADDRESS} {SWITCH}", f"{CLUSTER_ADDRESS} {CLUSTER}"]
    return "".join(f"{line}\n" for line in lines)


def kernel_arguments(found: GuestPlan) -> str:
    """What the boot script of the image needs, and what spares an emulated processor work.

    The words are the image's (``lab.image.boot``); the address of a card is left out when it shall only be up.
    """
    cards = []
    for nic in found.nics:
        bare = not nic.address or (nic.network == HEART and HEART_IS_BARE)
        address = "" if bare else f"{nic.address}/{nic.prefix}"
        cards.append(boot.Nic(nic.name, nic.mac, tap(found.name, nic), address))
    return boot.append(found.name, cards)
