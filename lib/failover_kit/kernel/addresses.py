"""IPv4 and IPv6 addresses of interfaces, read and changed by rtnetlink (rtnetlink(7), linux/if_addr.h)."""

from _struct import Struct

from failover_kit.kernel import netlink

# struct ifaddrmsg: family, prefix length, flags, scope, interface index.
_IFADDRMSG = Struct("=BBBBI")
_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_IFA_LABEL = 3
_IFA_BROADCAST = 4
_IFA_CACHEINFO = 6
_IFA_FLAGS = 8
# struct ifa_cacheinfo: preferred and valid lifetime in seconds, two time stamps.
_CACHEINFO = Struct("=IIII")

FOREVER = 0xFFFFFFFF
IFA_F_SECONDARY = 0x01
IFA_F_NODAD = 0x02
IFA_F_DADFAILED = 0x08
IFA_F_DEPRECATED = 0x20
IFA_F_TENTATIVE = 0x40
IFA_F_NOPREFIXROUTE = 0x200
SCOPE_GLOBAL = 0
SCOPE_HOST = 254


class Address:
    """One address as configured on an interface: ``local`` is four or sixteen bytes.

    ``broadcast`` and ``label`` belong to IPv4. ``preferred_s`` is how long the kernel may choose the address as
    a source, in seconds; FOREVER, or 0 for never. ``message`` is the kernel's own description, b"" without one.
    """

    __slots__ = ("broadcast", "flags", "ifindex", "label", "local", "message", "preferred_s", "prefix", "scope")

    def __init__(
        self,
        ifindex: int,
        local: bytes,
        prefix: int,
        *,
        broadcast: bytes = b"",
        label: str = "",
        flags: int = 0,
        scope: int = SCOPE_GLOBAL,
        preferred_s: int = FOREVER,
        message: bytes = b"",
    ) -> None:
        self.ifindex = ifindex
        self.local = local
        self.prefix = prefix
        self.broadcast = broadcast
        self.label = label
        self.flags = flags
        self.scope = scope
        self.preferred_s = preferred_s
        self.message = message

    def same_network(self, other: "Address") -> bool:
        """Whether the kernel counts both to one subnet: then one is the first, all others its secondaries."""
        host_bits = 8 * len(self.local) - self.prefix
        mine, its = (int.from_bytes(address.local, "big") >> host_bits for address in (self, other))
        return self.prefix == other.prefix and mine == its

    def secondary(self) -> bool:
        """Not the first IPv4 address of its subnet on this interface (on IPv6 the flag means something else)."""
        return self.flags & IFA_F_SECONDARY != 0 and len(self.local) == 4

    def tentative(self) -> bool:
        """Duplicate address detection (RFC 4862, section 5.4) has not finished: nobody is answered yet."""
        return bool(self.flags & IFA_F_TENTATIVE) and not self.duplicate()

    def duplicate(self) -> bool:
        """Duplicate address detection found another host with this address."""
        return bool(self.flags & IFA_F_DADFAILED)


def find(link: netlink.Netlink, local: bytes) -> "list[Address]":
    """Every place where the address ``local`` is configured on this host (usually none or one)."""
    # IPv4 addresses come as IFA_LOCAL, IPv6 ones (no other end) as IFA_ADDRESS alone.
    needle = netlink.attribute(_IFA_LOCAL, local) if len(local) == 4 else local
    found = _dump(link, netlink.family_of(local), needle)
    return [address for address in found if address.local == local]


def of_interface(link: netlink.Netlink, ifindex: int) -> "list[Address]":
    """The IPv4 addresses of one interface in the kernel's order: primaries come before secondaries."""
    found = _dump(link, netlink.AF_INET, b"")
    return [address for address in found if address.ifindex == ifindex]


def add(link: netlink.Netlink, address: Address) -> None:
    """Configure ``address``; FileExistsError when exactly this one is already there."""
    body = _body(address)
    if address.broadcast:
        body += netlink.attribute(_IFA_BROADCAST, address.broadcast)
    if address.label:
        body += netlink.attribute(_IFA_LABEL, address.label.encode() + b"\0")
    link.request(netlink.RTM_NEWADDR, netlink.NLM_F_CREATE | netlink.NLM_F_EXCL, body + _properties(address))


def update(link: netlink.Netlink, address: Address) -> None:
    """Give an address that is there other lifetimes; OSError ENOENT when it is not there.

    The IPv6 flags go along: without them the kernel takes them back (inet6_addr_modify()).
    """
    link.request(netlink.RTM_NEWADDR, netlink.NLM_F_REPLACE, _body(address) + _properties(address))


def restore(link: netlink.Netlink, address: Address) -> None:
    """Configure again what the kernel described in ``address.message``: lifetimes, metric, peer and all."""
    link.request(netlink.RTM_NEWADDR, netlink.NLM_F_CREATE | netlink.NLM_F_EXCL, address.message)


def remove(link: netlink.Netlink, address: Address) -> None:
    """Take ``address`` off its interface; OSError EADDRNOTAVAIL when it is not there.

    In the kernel's own words where we have them: of an address with another end (peer) that is part of its name.
    """
    link.request(netlink.RTM_DELADDR, 0, address.message or _body(address))


def _body(address: Address) -> bytes:
    header = _IFADDRMSG.pack(netlink.family_of(address.local), address.prefix, 0, address.scope, address.ifindex)
    both = netlink.attribute(_IFA_LOCAL, address.local) + netlink.attribute(_IFA_ADDRESS, address.local)
    return header + both


def _properties(address: Address) -> bytes:
    kept = address.flags & (IFA_F_NODAD | IFA_F_NOPREFIXROUTE)
    flags = netlink.attribute(_IFA_FLAGS, netlink.pack_number(kept)) if kept else b""
    return flags + netlink.attribute(_IFA_CACHEINFO, _CACHEINFO.pack(address.preferred_s, FOREVER, 0, 0))


def _dump(link: netlink.Netlink, family: int, needle: bytes) -> "list[Address]":
    body = _IFADDRMSG.pack(family, 0, 0, 0, 0)
    found = (_parse(message) for message in link.dump(netlink.RTM_GETADDR, body, needle))
    return [address for address in found if address is not None]


def _parse(message: bytes) -> "Address | None":
    """None for families that have no addresses here (a kernel without IPv6 answers with all it has)."""
    family, prefix, flags, scope, ifindex = netlink.head(_IFADDRMSG, message)
    found = netlink.attributes(message, _IFADDRMSG.size)
    if _IFA_FLAGS in found:
        flags = netlink.number(found[_IFA_FLAGS])
    preferred_s = FOREVER
    if _IFA_CACHEINFO in found:
        preferred_s = netlink.head(_CACHEINFO, found[_IFA_CACHEINFO])[0]
    if flags & IFA_F_DEPRECATED:
        preferred_s = 0  # of a permanent IPv4 address the kernel says forever in any case (inet_fill_ifaddr())
    # On a point-to-point interface IFA_ADDRESS is the other end and IFA_LOCAL is ours.
    local = found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS, b""))
    size = {netlink.AF_INET: 4, netlink.AF_INET6: 16}.get(family)
    if size is None:
        return None
    if len(local) != size or prefix > 8 * size:
        raise netlink.malformed()
    return Address(
        ifindex,
        local,
        prefix,
        broadcast=found.get(_IFA_BROADCAST, b""),
        label=found.get(_IFA_LABEL, b"").rstrip(b"\0").decode("ascii", "replace"),
        flags=flags,
        scope=scope,
        preferred_s=preferred_s,
        message=message,
    )
