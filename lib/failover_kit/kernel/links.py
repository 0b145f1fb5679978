"""Network interfaces: names, flags, carrier (rtnetlink(7), linux/if_link.h, netdevice(7))."""

from _struct import Struct

from failover_kit.kernel import netlink

# struct ifinfomsg: family, hardware type, index, flags, change mask.
_IFINFOMSG = Struct("=BxHiII")
_IFLA_ADDRESS = 1
_IFLA_IFNAME = 3
_IFLA_EXT_MASK = 29
_IFLA_ALT_IFNAME = 53
_RTEXT_FILTER_SKIP_STATS = 8
# The closing NUL included: IFNAMSIZ, ALTIFNAMSIZ.
_NAME_BYTES = 16
_ALTERNATIVE_NAME_BYTES = 128

IFF_UP = 0x1
IFF_LOOPBACK = 0x8
IFF_NOARP = 0x80
IFF_LOWER_UP = 0x10000
ARPHRD_ETHER = 1
ARPHRD_INFINIBAND = 32


class Link:
    """One interface as the kernel sees it now."""

    __slots__ = ("flags", "hardware", "index", "mac", "name")

    def __init__(self, index: int, name: str, flags: int, hardware: int, mac: bytes) -> None:
        self.index = index
        self.name = name
        self.flags = flags
        self.hardware = hardware
        self.mac = mac

    def up(self) -> bool:
        """Administratively up (``ip link set … up``)."""
        return bool(self.flags & IFF_UP)

    def carrier(self) -> bool:
        """Up, and the lower layer has a link: a cable, a peer, a port."""
        return self.up() and bool(self.flags & IFF_LOWER_UP)

    def speaks_arp(self) -> bool:
        return self.hardware == ARPHRD_ETHER and not self.flags & (IFF_LOOPBACK | IFF_NOARP)


def by_name(link: netlink.Netlink, name: str) -> "Link | None":
    """The interface called ``name`` (alternative names included); None when there is none.

    The kernel looks for short names among both sorts, and refuses long ones as IFLA_IFNAME.
    """
    text = name.encode() + b"\0"
    if len(text) > _ALTERNATIVE_NAME_BYTES:
        return None
    kind = _IFLA_IFNAME if len(text) <= _NAME_BYTES else _IFLA_ALT_IFNAME
    return _get(link, 0, netlink.attribute(kind, text))


def by_index(link: netlink.Netlink, index: int) -> "Link | None":
    return _get(link, index, b"")


def set_up(link: netlink.Netlink, index: int) -> None:
    """``ip link set … up``."""
    link.request(netlink.RTM_NEWLINK, 0, _IFINFOMSG.pack(0, 0, index, IFF_UP, IFF_UP))


def _get(link: netlink.Netlink, index: int, selector: bytes) -> "Link | None":
    mask = netlink.attribute(_IFLA_EXT_MASK, netlink.pack_number(_RTEXT_FILTER_SKIP_STATS))
    try:
        message = link.get(netlink.RTM_GETLINK, _IFINFOMSG.pack(0, 0, index, 0, 0) + selector + mask)
    except OSError as error:
        if error.errno == 19:  # ENODEV
            return None
        raise
    _, hardware, found_index, flags, _ = netlink.head(_IFINFOMSG, message)
    found = netlink.attributes(message, _IFINFOMSG.size)
    if _IFLA_IFNAME not in found:
        raise netlink.malformed()
    name = found[_IFLA_IFNAME].rstrip(b"\0").decode("utf-8", "replace")
    return Link(found_index, name, flags, hardware, found.get(_IFLA_ADDRESS, b""))
