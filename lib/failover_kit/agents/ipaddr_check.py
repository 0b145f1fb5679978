"""What is wrong between IPaddr's parameters that are right one by one; looks at no host."""

from failover_kit.agents.ipaddr import NOT_OURS, link_local
from failover_kit.spec.values import address_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.spec.parameter import Values


def contradictions(values: "Values") -> "list[str]":
    """One sentence each, for the administrator."""
    problems = []
    six = ":" in values.text("ip")
    prefix = values.number("cidr_netmask")
    if not six and prefix > 32:
        problems.append(f"cidr_netmask: {prefix} is too long for IPv4; write 1 to 32")
    if six and values.given("broadcast"):
        problems.append("broadcast: IPv6 has no broadcast address; leave it out")
    if six and (values.text("iflabel") or ":" in values.text("nic")):
        problems.append("iflabel: IPv6 addresses have no labels; leave it out")
    if link_local(address_bytes(values.text("ip"))) and not values.given("nic"):
        problems.append("nic: a link-local address is on every interface's network; say which")
    if values.flag("lvs_support"):
        problems.append(f"lvs_support: real servers' addresses on lo are not handled; {NOT_OURS}")
    return problems
