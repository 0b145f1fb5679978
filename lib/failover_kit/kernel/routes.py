"""The main routing table (IPv4, IPv6), and which of its routes leads to an address (rtnetlink(7))."""

from _struct import Struct

from failover_kit.kernel import netlink

# struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags.
_RTMSG = Struct("=BBBBBBBBI")
# struct rtnexthop: length, flags, hops, interface index.
_RTNEXTHOP = Struct("=HBBi")
_RTA_DST = 1
_RTA_OIF = 4
_RTA_GATEWAY = 5
_RTA_PRIORITY = 6
_RTA_MULTIPATH = 9
_RTA_TABLE = 15
_RTA_VIA = 18
_RT_TABLE_MAIN = 254
_RTN_UNICAST = 1
_RTNH_F_DEAD = 1


class Route:
    """A unicast route: ``destination`` (a number) / ``prefix`` through interface ``ifindex``."""

    __slots__ = ("bits", "destination", "gateway", "ifindex", "metric", "prefix")

    def __init__(
        self, destination: int, prefix: int, ifindex: int, *, metric: int, gateway: bool, bits: int = 32
    ) -> None:
        """``bits`` is the length of the family's addresses: 32 or 128."""
        self.bits = bits
        self.destination = destination
        self.prefix = prefix
        self.ifindex = ifindex
        self.metric = metric
        self.gateway = gateway

    def covers(self, address: int) -> bool:
        shift = self.bits - self.prefix
        return address >> shift == self.destination >> shift


def read(link: netlink.Netlink, family: int = netlink.AF_INET) -> "list[Route]":
    """The usable unicast routes of one family in the main table."""
    body = _RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
    found = (_parse(message) for message in link.dump(netlink.RTM_GETROUTE, body))
    # A kernel without IPv6 answers with the routes of all families it has.
    bits = 32 if family == netlink.AF_INET else 128
    return [route for route in found if route is not None and route.bits == bits]


def best(routes: "list[Route]", address: bytes) -> "Route | None":
    """The route the kernel would take: the longest prefix, among these the lowest metric.

    Routes through a gateway are left out: an address belongs to the network it is *on*, and a
    gateway leads away from it.
    """
    number = int.from_bytes(address, "big")
    fitting = [route for route in routes if not route.gateway and route.prefix and route.covers(number)]
    return min(fitting, key=lambda route: (-route.prefix, route.metric), default=None)


def _parse(message: bytes) -> "Route | None":
    family, prefix, _, _, table, _, _, kind, flags = netlink.head(_RTMSG, message)
    if family not in (netlink.AF_INET, netlink.AF_INET6):
        return None
    found = netlink.attributes(message, _RTMSG.size)
    if _RTA_TABLE in found:
        table = netlink.number(found[_RTA_TABLE])
    if table != _RT_TABLE_MAIN or kind != _RTN_UNICAST or flags & _RTNH_F_DEAD:
        return None
    gateway = _RTA_GATEWAY in found or _RTA_VIA in found
    if _RTA_OIF in found:
        ifindex = netlink.number(found[_RTA_OIF])
    elif _RTA_MULTIPATH in found:
        hop = found[_RTA_MULTIPATH]
        length, _, _, ifindex = netlink.head(_RTNEXTHOP, hop)
        inner = netlink.attributes(hop[:length], _RTNEXTHOP.size)
        gateway = gateway or _RTA_GATEWAY in inner or _RTA_VIA in inner
    else:
        return None
    bits = 32 if family == netlink.AF_INET else 128
    if prefix > bits:
        raise netlink.malformed()
    destination = int.from_bytes(found.get(_RTA_DST, b""), "big")
    metric = netlink.number(found[_RTA_PRIORITY]) if _RTA_PRIORITY in found else 0
    return Route(destination, prefix, ifindex, metric=metric, gateway=gateway, bits=bits)
