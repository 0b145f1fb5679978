"""Heartbeat's haresources arguments as parameters of our agents.

The order of arguments stands in each agent's declaration; here is only which script name of a
haresources line means which agent.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from failover_kit.ocf.agent import Agent

_MODULES = {
    "IPaddr": "failover_kit.agents.ipaddr",
    "IPaddr2": "failover_kit.agents.ipaddr",
    "Filesystem": "failover_kit.agents.filesystem",
    "exportfs": "failover_kit.agents.exportfs",
    "killnfsd": "failover_kit.agents.killnfsd",
    "nfsserver": "failover_kit.agents.nfsserver",
}


def agents() -> "list[Agent]":
    """Every agent of this project once, in the order of the table."""
    return [_agent_in(module) for module in dict.fromkeys(_MODULES.values())]


def agent_for(script_name: str) -> "Agent | None":
    """Our agent behind a haresources script name; None for scripts of somebody else."""
    module = _MODULES.get(script_name)
    return None if module is None else _agent_in(module)


def _agent_in(module: str) -> "Agent":
    # Not importlib, which brings warnings along: a status would cost a tenth more.
    agent: Agent = __import__(module, fromlist=("AGENT",)).AGENT
    return agent


def parameters_for(script_name: str, args: "Sequence[str]") -> "dict[str, str] | None":
    """OCF parameters for ``script_name::arg::arg``; None when the script is not one of our agents.

    ValueError, with every problem in it, when the arguments do not fit the agent.
    """
    agent = agent_for(script_name)
    return None if agent is None else agent.positional(args)
