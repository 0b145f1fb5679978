"""Where start put an address whose declaration does not say that for good: the interface of a link-local
address, which may be renamed, and a named network namespace, whose name may go while processes keep it alive.
"""

from failover_kit.kernel import netns, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.kernel.processes import Status
    from failover_kit.ocf.agent import Call


def _name(call: "Call") -> str:
    parts = [call.values.text(name) for name in ("ip", "nic", "network_namespace")]
    return "@".join(part for part in parts if part) + ".place"


def remember(call: "Call", ifindex: int) -> None:
    """Before the address is added; OSError when it cannot be written down."""
    call.write_state(_name(call), f"{ifindex} {processes.namespace_of('self', 'net')}\n")


def recall(call: "Call") -> "tuple[int, str]":
    """The interface's index and the namespace (``net:[4026531840]``); 0 and "" without a record."""
    try:
        with open(call.state_path(_name(call)), encoding="ascii") as file:
            ifindex, namespace = file.read().split()
        return int(ifindex), namespace
    except (OSError, ValueError):
        return 0, ""


def forget(call: "Call") -> None:
    call.remove_state(_name(call))


def survivor(call: "Call") -> "Status | None":
    """A process in the namespace of the record, if the declared name does not lead there any more.

    ip netns delete takes away a name; the namespace lives on, and answers for its addresses, as long as
    a process is in it.
    """
    _, recorded = recall(call)
    if not recorded or recorded == netns.identity(call.values.text("network_namespace")):
        return None
    for pid in processes.pids():
        if processes.namespace_of(str(pid), "net") == recorded:
            found = processes.status(pid)
            if found is not None and found.state not in "ZX":
                return found
    return None
