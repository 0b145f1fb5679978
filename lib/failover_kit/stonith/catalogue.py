"""Which device types there are on this machine, and what to use instead of those there are not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from failover_kit.spec.deadline import Deadline
from failover_kit.stonith import agents, external, wti
from failover_kit.stonith.codes import Code, StonithError
from failover_kit.stonith.device import DeviceType
from failover_kit.stonith.null import NullType

# cluster-glue's C plugins. They live in its library, which we do not load; each has an heir, or needs that
# library's own command.
_HEIRS = {
    "apcmaster": "fence_apc",
    "apcmastersnmp": "fence_apc_snmp",
    "apcsmart": "external/nut",
    "bladehpi": "fence_bladecenter",
    "drac3": "fence_drac",
    "ibmhmc": "external/hmchttp or fence_lpar",
    "ipmilan": "fence_ipmilan",
    "meatware": "a person: fence_ack_manual under Pacemaker, failoverctl confirm-dead under failoverd",
    "rcd_serial": "fence_rcd_serial",
    "ssh": "external/ssh (for tests only)",
    "suicide": "no device: a node cannot prove its own death",
    "wti_mpc": "wti_nps, over the unit's network or serial console",
    "baytech": "",
    "cyclades": "",
    "nw_rpc100s": "",
    "rps10": "",
    "vacm": "",
}
_LIBRARY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
_GLUE_PLUGINS = "lib/stonith/plugins/external"


@dataclass(frozen=True, slots=True)
class Places:
    """Where plugins and agents are looked for, in this order."""

    plugins: tuple[str, ...]
    agents: tuple[str, ...]


def default_places() -> Places:
    """In this checkout or under this prefix, then where Debian has them."""
    around = os.path.dirname(_LIBRARY)
    if os.path.basename(_LIBRARY) == "failover-kit":  # PREFIX/share/failover-kit
        prefix = os.path.dirname(around)
        own = (f"{prefix}/{_GLUE_PLUGINS}", f"{prefix}/sbin")
    else:
        own = (f"{around}/stonith/external", f"{around}/stonith")
    plugins, agent_places = own
    return Places(plugins=(plugins, f"/usr/{_GLUE_PLUGINS}"), agents=(agent_places, "/usr/sbin"))


def types(places: Places) -> list[str]:
    """The names of all types, sorted as cluster-glue sorts them."""
    own = ["null"]
    if _has_agent(places.agents):
        own.append("wti_nps")
    return sorted([*own, *external.plugins(places.plugins), *agents.agents(places.agents)])


def find(name: str, places: Places, until: Deadline) -> DeviceType:
    """The type called ``name``, which describes itself ``until``.

    Raises StonithError with Code.OOPS, naming what to use instead.
    """
    if name == "null":
        return NullType()
    if name == "wti_nps":
        return wti.WtiType(name, agents.find_agent(agents.OWN_AGENT, places.agents))
    if name.startswith(external.PREFIX):
        return external.find(name, places.plugins, until)
    if name.startswith("rhcs/"):
        instead = name.removeprefix("rhcs/")
        text = f"Invalid device type: '{name}'\nfence agents are types here: use -t {instead}"
        raise StonithError(Code.OOPS, text)
    if name in _HEIRS:
        heir = _HEIRS[name] or "cluster-glue's own stonith command"
        fact = "is a plugin of cluster-glue's library, which this command does not load"
        raise StonithError(Code.OOPS, f"Invalid device type: '{name}'\n{name} {fact}; use {heir}")
    return agents.AgentType(name, agents.find_agent(name, places.agents), until)


def _has_agent(directories: Sequence[str]) -> bool:
    try:
        agents.find_agent(agents.OWN_AGENT, directories)
    except StonithError:
        return False
    return True
