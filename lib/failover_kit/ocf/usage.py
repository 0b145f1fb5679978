"""What ``AGENT --help`` prints, from the declarations. Imported only when somebody asks."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.ocf.agent import Agent
    from failover_kit.spec.parameter import Parameter


def synopsis(agent: "Agent") -> str:
    """The one line that a wrong call is answered with."""
    return f"usage: {agent.name} {'|'.join(verbs(agent))}\n"


def verbs(agent: "Agent") -> "list[str]":
    """Every action once, in the order of the declaration."""
    return list(dict.fromkeys(action.name for action in agent.actions))


def usage(agent: "Agent") -> str:
    """Synopsis, and a line for each parameter with what can be said of its values."""
    wide = max((len(parameter.name) for parameter in agent.parameters), default=0)
    lines = [
        f"{agent.shortdesc}. Parameters come as OCF_RESKEY_<name> in the environment:",
        *(
            f"  {parameter.name:{wide}}  {parameter.shortdesc} ({'; '.join(facts(parameter))})"
            for parameter in agent.parameters
        ),
        f"More: {agent.name} meta-data, man ocf_failover-kit_{agent.name}",
    ]
    return synopsis(agent) + "\n".join(lines) + "\n"


def arguments(agent: "Agent") -> str:
    """The arguments of its haresources script, a blank behind each; optional ones in brackets."""
    shown = [name if agent.parameter(name).required else f"[{name}]" for name in agent.positional_names]
    if agent.positional_separator:
        shown = [agent.positional_separator.join(shown)]
    return "".join(f"{word} " for word in shown)


def facts(parameter: "Parameter") -> "list[str]":
    """Required or the default, the values it takes, what they count, its older names."""
    found = ["required" if parameter.required else _default(parameter)]
    if parameter.choices:
        found.append("one of " + ", ".join(parameter.choices))
    if parameter.kind == "boolean":
        found.append("yes or no")
    if parameter.minimum is not None or parameter.maximum is not None:
        found.append(_range(parameter))
    if parameter.unit:
        found.append(f"in {parameter.unit}")
    if parameter.reloadable:
        found.append("can be changed while the resource runs")
    found += [f"older name {alias}" for alias in parameter.aliases]
    return found


def _default(parameter: "Parameter") -> str:
    return f"default {parameter.default}" if parameter.default else "optional"


def _range(parameter: "Parameter") -> str:
    if parameter.minimum is None:
        return f"at most {parameter.maximum}"
    if parameter.maximum is None:
        return f"at least {parameter.minimum}"
    return f"{parameter.minimum} to {parameter.maximum}"
