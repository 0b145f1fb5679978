"""IPv4 addresses of interfaces, read and changed by rtnetlink (rtnetlink(7), linux/if_addr.h)."""

from _struct import Struct

from failover_kit.kernel import netlink

# struct ifaddrmsg: family, prefix length, flags, scope, interface index.
_IFADDRMSG = Struct("=BBBBI")
_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_IFA_LABEL = 3
_IFA_BROADCAST = 4
_IFA_FLAGS = 8

IFA_F_SECONDARY = 0x01


class Address:
    """One IPv4 address as configured on an interface; ``local`` and ``broadcast`` are four bytes."""

    __slots__ = ("broadcast", "flags", "ifindex", "label", "local", "prefix", "scope")

    def __init__(
        self,
        ifindex: int,
        local: bytes,
        prefix: int,
        *,
        broadcast: bytes = b"",
        label: str = "",
        flags: int = 0,
        scope: int = 0,
    ) -> None:
        self.ifindex = ifindex
        self.local = local
        self.prefix = prefix
        self.broadcast = broadcast
        self.label = label
        self.flags = flags
        self.scope = scope

    def network(self) -> int:
        """The network part as a number, to compare subnets."""
        return int.from_bytes(self.local, "big") >> (32 - self.prefix) if self.prefix else 0

    def secondary(self) -> bool:
        return bool(self.flags & IFA_F_SECONDARY)


def find(link: netlink.Netlink, local: bytes) -> "list[Address]":
    """Every place where the address ``local`` is configured on this host (usually none or one)."""
    needle = netlink.attribute(_IFA_LOCAL, local)
    return [address for address in _dump(link, 0, needle) if address.local == local]


def of_interface(link: netlink.Netlink, ifindex: int) -> "list[Address]":
    """The IPv4 addresses of one interface in the kernel's order: primaries come before secondaries."""
    return [address for address in _dump(link, ifindex, b"") if address.ifindex == ifindex]


def add(link: netlink.Netlink, address: Address) -> None:
    """Configure ``address``; FileExistsError when exactly this one is already there."""
    body = _body(address)
    if address.broadcast:
        body += netlink.attribute(_IFA_BROADCAST, address.broadcast)
    if address.label:
        body += netlink.attribute(_IFA_LABEL, address.label.encode() + b"\0")
    link.request(netlink.RTM_NEWADDR, netlink.NLM_F_CREATE | netlink.NLM_F_EXCL, body)


def remove(link: netlink.Netlink, address: Address) -> None:
    """Take ``address`` off its interface; OSError EADDRNOTAVAIL when it is not there."""
    link.request(netlink.RTM_DELADDR, 0, _body(address))


def _body(address: Address) -> bytes:
    header = _IFADDRMSG.pack(netlink.AF_INET, address.prefix, 0, address.scope, address.ifindex)
    both = netlink.attribute(_IFA_LOCAL, address.local) + netlink.attribute(_IFA_ADDRESS, address.local)
    return header + both


def _dump(link: netlink.Netlink, ifindex: int, needle: bytes) -> "list[Address]":
    body = _IFADDRMSG.pack(netlink.AF_INET, 0, 0, 0, ifindex)
    return [_parse(message) for message in link.dump(netlink.RTM_GETADDR, body, needle)]


def _parse(message: bytes) -> Address:
    _, prefix, flags, scope, ifindex = _IFADDRMSG.unpack_from(message)
    found = netlink.attributes(message, _IFADDRMSG.size)
    if _IFA_FLAGS in found:
        flags = netlink.number(found[_IFA_FLAGS])
    return Address(
        ifindex,
        # On a point-to-point interface IFA_ADDRESS is the other end and IFA_LOCAL is ours.
        found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS, b"")),
        prefix,
        broadcast=found.get(_IFA_BROADCAST, b""),
        label=found.get(_IFA_LABEL, b"").rstrip(b"\0").decode("ascii", "replace"),
        flags=flags,
        scope=scope,
    )
