"""IPaddr: an IPv4 or IPv6 cluster address. Start, stop, announcing and checking are in modules of their own.

What counts is the address itself: there must be one on this host, or none. Configured but not as
declared (another interface, another prefix, no carrier) is neither running nor stopped: monitor
answers 1, start refuses, and stop removes it wherever it is.
"""

from failover_kit.kernel import addresses, links, netlink
from failover_kit.ocf import codes
from failover_kit.ocf.agent import Agent
from failover_kit.ocf.codes import failed
from failover_kit.spec.parameter import Action, Parameter
from failover_kit.spec.values import address_bytes, check_address, is_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.kernel.addresses import Address
    from failover_kit.kernel.links import Link
    from failover_kit.kernel.netlink import Netlink
    from failover_kit.ocf.agent import Call
    from failover_kit.spec.parameter import Values

NOT_OURS = "use ocf:heartbeat:IPaddr2 for this"


def cluster_address(text: str) -> str:
    """An address others can reach, or one of lo's spare ones (127.0.0.10), which people try agents with.

    Not 127.0.0.1: stop would take it from the host.
    """
    local = text.startswith("127.") and address_bytes(text) != b"\x7f\0\0\1"
    return text if local else check_address(text)


def lifetime(text: str) -> int:
    """Seconds, or ``forever``, as the kernel keeps them (struct ifa_cacheinfo)."""
    if text == "forever":
        return addresses.FOREVER
    if is_number(text) and int(text) < addresses.FOREVER:
        return int(text)
    raise ValueError("is neither a number of seconds nor forever")


def link_local(address: bytes) -> bool:
    """fe80::/10 (RFC 4291, section 2.5.6): on each interface it is another address."""
    return len(address) == 16 and address[0] == 0xFE and address[1] & 0xC0 == 0x80


class Wanted:
    """The declared address. ``prefix`` 0 and ``nic`` "" mean: not said, any will do."""

    __slots__ = ("address", "ifindex", "label", "link_status", "nic", "prefix", "text")

    def __init__(self, call: "Call") -> None:
        self.text = call.values.text("ip")
        self.address = address_bytes(self.text)
        self.prefix = call.values.number("cidr_netmask")
        self.link_status = call.values.text("link_status")
        # The spelling of alias interfaces, eth0:web, names interface and label.
        self.nic, _, label = call.values.text("nic").partition(":")
        self.label = call.values.text("iflabel") or label
        # Of a link-local address alone: the interface that start put it on, whatever that is called now.
        self.ifindex = 0
        if self.nic and link_local(self.address):
            from failover_kit.agents.ipaddr_place import recall

            self.ifindex, _ = recall(call)


def disagreement(wanted: Wanted, found: "list[Address]", seen: "dict[int, Link]", nic_index: int) -> str:
    """What is wrong with the address as configured, "" when nothing is.

    ``seen`` are the interfaces of ``found`` by index; ``nic_index`` is the interface asked for (0: any).
    """
    if len(found) > 1:
        places = ", ".join(f"{_name(seen, address)}/{address.prefix}" for address in found)
        return f"{wanted.text} is configured {len(found)} times ({places}); remove the wrong ones"
    address = found[0]
    name = _name(seen, address)
    if wanted.nic and address.ifindex != nic_index:
        return f"{wanted.text} is configured on {name}, not on {wanted.nic}"
    if wanted.prefix and address.prefix != wanted.prefix:
        return f"{wanted.text} is configured on {name} with prefix {address.prefix}, not {wanted.prefix}"
    if address.duplicate():
        return f"{wanted.text} is on {name} and refused by the kernel: another host has it; stop that one"
    link = seen.get(address.ifindex)
    if link is None or not link.up():
        return f"{wanted.text} is configured, but {name} is down; bring it up or move the address away"
    if address.tentative() and link.carrier():
        # Without a link it cannot finish: then the link is what is wrong.
        return f"{wanted.text} is on {name}, and duplicate address detection has not finished"
    return ""


def no_carrier(wanted: Wanted, found: "list[Address]", seen: "dict[int, Link]") -> str:
    """The sentence about a lost link, "" when there is one. What it means is ``link_status``'s to say."""
    link = seen.get(found[0].ifindex)
    if link is None or link.carrier():
        return ""
    return f"{wanted.text} is configured, but {link.name} has no carrier; check cable and switch port"


def _name(seen: "dict[int, Link]", address: "Address") -> str:
    link = seen.get(address.ifindex)
    return link.name if link else f"interface {address.ifindex}"


def locate(wanted: Wanted, link: "Netlink") -> "list[Address]":
    """Every place on this host where the address is; for a link-local one the declared interface alone.

    Without an interface start refuses a link-local address: on whatever interface it is, it is another one's.
    """
    found = addresses.find(link, wanted.address)
    if found and link_local(wanted.address):
        nic = links.by_name(link, wanted.nic) if wanted.nic else None
        ours = (nic.index if nic is not None else 0, wanted.ifindex)
        found = [address for address in found if address.ifindex in ours]
    return found


def observe(wanted: Wanted, link: "Netlink") -> "tuple[list[Address], str, str]":
    """Where the address is now, what is wrong with that, and what is wrong with its link alone."""
    found = locate(wanted, link)
    if not found:
        return found, "", ""
    seen = {}
    for address in found:
        interface = links.by_index(link, address.ifindex)
        if interface is not None:
            seen[address.ifindex] = interface
    nic_index = 0
    if wanted.nic:
        nic = next((known for known in seen.values() if known.name == wanted.nic), None)
        nic = nic or links.by_name(link, wanted.nic)
        nic_index = nic.index if nic else -1
    return found, disagreement(wanted, found, seen, nic_index), no_carrier(wanted, found, seen)


def monitor(call: "Call") -> int:
    """Running, degraded (no link, if so declared), cleanly stopped, or in doubt.

    Never "stopped" while the address answers.
    """
    if not _inside(call):
        return _nowhere(call)
    wanted = Wanted(call)
    with netlink.Netlink() as link:
        found, problem, linkless = observe(wanted, link)
        if not found:
            return _nowhere(call)
        if problem and found[0].tentative():
            # The link has just come back, and the kernel looks for duplicates once more.
            from failover_kit.agents.ipaddr_duplicates import settled

            found, problem, linkless = settled(call, wanted, link)
        if problem or (linkless and wanted.link_status == "fail"):
            raise failed(problem or linkless)
        count = 0 if call.probe or linkless else call.values.number("arp_count_refresh")
        if count:
            from failover_kit.agents.ipaddr_announce import refresh

            refresh(call, links.by_index(link, found[0].ifindex), wanted.address, count)
    if linkless and wanted.link_status == "degraded":
        call.log("warning", linkless)
        return codes.DEGRADED
    return codes.SUCCESS


def _nowhere(call: "Call") -> int:
    """Cleanly stopped, unless the namespace it was started in has lost its name and lives on."""
    name = call.values.text("network_namespace")
    if name:
        from failover_kit.agents.ipaddr_place import survivor
        from failover_kit.kernel import netns

        keeper = survivor(call)
        if keeper is not None:
            netns.enter_at(f"/proc/{keeper.pid}/ns/net")
            wanted = Wanted(call)
            with netlink.Netlink() as link:
                if locate(wanted, link):
                    who = f"{keeper.name} (pid {keeper.pid}) keeps it alive with {wanted.text} in it"
                    raise failed(f"network_namespace: {name} was deleted, but {who}; stop this, or end that")
    return codes.NOT_RUNNING


def start(call: "Call") -> int:
    """Configure the address and tell the network; nothing is left behind on failure before that."""
    _enter(call)
    from failover_kit.agents import ipaddr_start

    return ipaddr_start.start(call)


def stop(call: "Call") -> int:
    """Take the address off this host wherever it is, and end a running sender of ours."""
    from failover_kit.agents import ipaddr_stop

    if call.values.text("network_namespace"):
        ipaddr_stop.leave_nameless(call)
    return ipaddr_stop.stop(call, present=_inside(call))


def reload_agent(call: "Call") -> int:
    """Give the running address what of the declaration can change in place."""
    if not _inside(call):
        return codes.NOT_RUNNING
    from failover_kit.agents import ipaddr_start

    return ipaddr_start.reload_agent(call)


def validate(call: "Call") -> int:
    """The host checks of validate-all (level 10): an interface to put the address on."""
    _enter(call)
    from failover_kit.agents import ipaddr_start

    with netlink.Netlink() as link:
        ipaddr_start.refuse_clone(call)
        ipaddr_start.choose(Wanted(call), link)
    return codes.SUCCESS


def _inside(call: "Call") -> bool:
    """Enter the declared network namespace; False when it does not exist, and so holds no address."""
    name = call.values.text("network_namespace")
    if not name:
        return True
    from failover_kit.kernel import netns

    if not netns.exists(name):
        return False
    try:
        netns.enter(name)
    except OSError as error:
        fact = f"network_namespace: {netns.DIRECTORY}/{name} cannot be entered: {error.strerror}"
        raise failed(f"{fact}; if it is a file left behind, remove it by ip netns delete {name}") from error
    return True


def _enter(call: "Call") -> None:
    if not _inside(call):
        name = call.values.text("network_namespace")
        raise codes.not_here(f"network_namespace: there is no namespace {name} on this node; ip netns shows them")


def consistency(values: "Values") -> "list[str]":
    """What the parameters cannot mean together; the same answer on every node."""
    from failover_kit.agents.ipaddr_check import contradictions

    return contradictions(values)


def _switch(name: str, shortdesc: str) -> Parameter:
    """Off unless said otherwise, and read anew by each action: free to change while the address is up."""
    return Parameter(name, kind="boolean", default="no", reloadable=True, shortdesc=shortdesc)


def _count(name: str, default: str, maximum: int, shortdesc: str) -> Parameter:
    return Parameter(
        name, kind="integer", default=default, minimum=0, maximum=maximum, reloadable=True, shortdesc=shortdesc
    )


AGENT = Agent(
    "IPaddr",
    version="0.1",
    shortdesc="Manages an IPv4 or IPv6 cluster address",
    text_module="failover_kit.agents.ipaddr_text",
    parameters=(
        Parameter(
            "ip",
            kind="address",
            required=True,
            unique_group="address",
            check=cluster_address,
            shortdesc="IPv4 or IPv6 address",
        ),
        Parameter("nic", kind="interface", shortdesc="Network interface"),
        Parameter(
            "cidr_netmask", kind="address_prefix", aliases=("netmask",), shortdesc="Prefix length or netmask"
        ),
        Parameter("broadcast", kind="broadcast", shortdesc="Broadcast address"),
        Parameter("iflabel", kind="label", shortdesc="Interface label"),
        Parameter(
            "link_status",
            default="fail",
            reloadable=True,
            choices=("fail", "degraded", "ignore"),
            shortdesc="What a lost link means",
        ),
        _switch("run_arping", "Ask for the address before start"),
        _count("arp_count", "3", 20, "Announcements per burst"),
        _count("arp_interval", "0", 5000, "Milliseconds between announcements of a burst"),
        _count("arp_count_refresh", "0", 20, "Announcements at each monitor"),
        Parameter(
            "preferred_lft",
            default="forever",
            check=lifetime,
            reloadable=True,
            shortdesc="Preferred lifetime in seconds",
        ),
        _switch("nodad", "No duplicate address detection (IPv6)"),
        Parameter("noprefixroute", kind="boolean", default="no", shortdesc="Add no route for the prefix"),
        _switch("flush_routes", "Flush cached routes on stop"),
        _switch("kill_connections", "End TCP connections on stop"),
        Parameter(
            "network_namespace", kind="filename", identity=True, shortdesc="Network namespace of the address"
        ),
        Parameter("lvs_support", kind="boolean", default="no", shortdesc="Not supported"),
    ),
    actions=(
        Action("start", 20),
        Action("stop", 20),
        Action("monitor", 20, interval_s=10, depth=0),
        Action("reload-agent", 20),
        Action("validate-all", 20),
        Action("meta-data", 5),
    ),
    handlers={
        "start": start,
        "stop": stop,
        "monitor": monitor,
        "reload-agent": reload_agent,
        "validate-all": validate,
    },
    positional=("ip", "cidr_netmask", "nic", "broadcast"),
    positional_separator="/",
    consistency=consistency,
)
