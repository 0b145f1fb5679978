"""Is the address free, and does the kernel answer for it: its duplicate detection, and questions of our own."""

import time

from failover_kit.agents.ipaddr import Wanted, observe
from failover_kit.ocf.codes import failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.kernel.addresses import Address
    from failover_kit.kernel.links import Link
    from failover_kit.kernel.netlink import Netlink
    from failover_kit.ocf.agent import Call

# The check before start: two probes, one second for an answer (RFC 5227 takes longer, and a takeover
# waits for us).
_PROBES = 2
_PROBE_WAIT_MS = 1000
# After the kernel found a duplicate: how long to ask who it is, for the message.
_WHO_WAIT_MS = 500
# Detection takes up to a second of random delay and one of waiting (RFC 4862, section 5.4).
_DAD_PATIENCE_MS = 4000
_DAD_POLL_S = 0.05


def require_free(wanted: Wanted, interface: "Link") -> None:
    """Ask the network for the address (``run_arping``): whoever answers still has it."""
    if not interface.speaks_arp() or not interface.carrier():
        return
    from failover_kit.kernel.neighbours import who_has

    try:
        owner = who_has(interface.name, interface.mac, wanted.address, probes=_PROBES, wait_ms=_PROBE_WAIT_MS)
    except OSError as error:
        fact = f"run_arping: nobody can be asked on {interface.name}: {error.strerror or error}"
        raise failed(f"{fact}; check the link, or set run_arping=no") from error
    if owner:
        raise failed(f"{wanted.text} is in use by {owner.hex(':')} on {interface.name}; stop that one first")


def settled(
    call: "Call", wanted: Wanted, link: "Netlink", *, whole: bool = False
) -> "tuple[list[Address], str, str]":
    """``observe()`` once duplicate detection is through, at the latest after 4 s or at the deadline (``whole``)."""
    patience = call.deadline if whole else call.deadline.at_most(_DAD_PATIENCE_MS)
    while True:
        found, problem, linkless = observe(wanted, link)
        pending = problem and len(found) == 1 and found[0].tentative() and not linkless
        if not pending or patience.expired():
            return found, problem, linkless
        time.sleep(_DAD_POLL_S)


def await_usable(call: "Call", wanted: Wanted, link: "Netlink", interface: "Link", added: "Address | None") -> None:
    """Wait until the kernel answers for the address; if it will not, take ours away and say why."""
    found, problem, linkless = settled(call, wanted, link, whole=True)
    if not found:
        raise failed(f"{wanted.text} was added to {interface.name} and vanished at once; something else removes it")
    if not problem and (not linkless or wanted.link_status != "fail"):
        return
    ours = found[0]
    refused = ours.duplicate() or ours.tentative()
    if added is not None or refused:
        from failover_kit.agents.ipaddr_stop import remove_alone

        remove_alone(link, added or ours)
    if refused and len(found) == 1 and not linkless:
        raise failed(_refusal(wanted, interface, duplicate=ours.duplicate()))
    raise failed(problem or linkless)


def _refusal(wanted: Wanted, interface: "Link", *, duplicate: bool) -> str:
    if not duplicate:
        fact = f"duplicate address detection of {wanted.text} on {interface.name} did not finish in time"
        return f"{fact}; taken away again; check net.ipv6.conf.{interface.name}.dad_transmits"
    from failover_kit.kernel.neighbours import who_has

    try:
        owner = who_has(interface.name, interface.mac, wanted.address, probes=1, wait_ms=_WHO_WAIT_MS)
    except OSError:
        owner = b""
    who = owner.hex(":") if owner else "another host"
    return f"{wanted.text} is in use by {who} on {interface.name}; taken away again; stop that one first"
