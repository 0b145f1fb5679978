"""The manual page ocf_failover-kit_NAME(7) of an agent: man(7) macros, from its declarations and long texts.

Written by tools/manpages.py when the project is installed; no agent imports this.
"""

from __future__ import annotations

from importlib import import_module

from failover_kit.ocf import codes
from failover_kit.ocf.usage import arguments, facts, verbs
from failover_kit.spec.roff import definitions, escaped, header, literal, paragraphs, prose, references, verbatim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from failover_kit.ocf.agent import Agent

PROVIDER = "failover-kit"
NODE = "pete"
# What every agent's page refers to.
_RELATED = ("crm_resource(8)", "ocf-tester(8)")

_ACTIONS = {
    "start": "Bring the resource up, and return when it is. Done already is success.",
    "stop": "Take the resource down, and return when nothing of it is left. Done already is success.",
    "monitor": "Tell whether the resource runs. Changes nothing.",
    "reload-agent": "Take over changed values of the parameters that can be changed while the resource runs.",
    "validate-all": "Check the parameters; from OCF_CHECK_LEVEL 10 on what they need on this node, too.",
    "meta-data": "Print the description of the agent, as XML.",
}

_EXIT_STATUS = (
    (codes.SUCCESS, "Done. For monitor: it runs."),
    (codes.ERR_GENERIC, "Failed, or in doubt: neither surely running nor surely stopped."),
    (codes.ERR_UNIMPLEMENTED, "There is no such action."),
    (codes.ERR_PERM, "Not permitted; the agent runs as root."),
    (codes.ERR_INSTALLED, "This node lacks something the resource needs."),
    (codes.ERR_CONFIGURED, "The parameters are wrong, on every node. Of start and validate-all only."),
    (codes.NOT_RUNNING, "Of monitor: cleanly stopped, with nothing left."),
    (codes.DEGRADED, "Of monitor: it runs, but not as well as it should."),
)


def page_name(agent: Agent) -> str:
    """The page without its section; Debian's resource-agents names its pages ocf_heartbeat_NAME(7)."""
    return f"ocf_{PROVIDER}_{agent.name}"


def page(agent: Agent, date: str = "") -> str:
    """The whole page, a newline at its end. ``date`` (2026-11-26) is that of the source, if it is known."""
    text = import_module(agent.text_module)
    lines = [
        *header(page_name(agent), 7, date, "OCF agents"),
        ".SH NAME",
        f"{literal(page_name(agent))} \\- {escaped(agent.shortdesc)}",
        *_synopsis(agent),
        ".SH DESCRIPTION",
        *paragraphs(text.LONGDESC),
        *_parameters(agent, text.PARAMETERS),
        *_actions(agent),
        *_exit_status(),
        *_examples(agent, text.EXAMPLE),
        *_files(agent),
        ".SH SEE ALSO",
        *references((*text.SEE_ALSO, *_RELATED)),
    ]
    return "\n".join(lines) + "\n"


def _synopsis(agent: Agent) -> list[str]:
    """As an OCF agent, and as a script of haresources."""
    return [
        ".SH SYNOPSIS",
        f".B {literal(f'/usr/lib/ocf/resource.d/{PROVIDER}/{agent.name}')}",
        literal(" | ".join(verbs(agent))),
        ".PP",
        f".B {literal(f'/usr/lib/{PROVIDER}/compat/resource.d/{agent.name}')}",
        literal(arguments(agent) + "start | stop | status | monitor"),
    ]


def _parameters(agent: Agent, texts: dict[str, str]) -> list[str]:
    lines = [".SH PARAMETERS", "Each comes as", ".BI OCF_RESKEY_ name", "in the environment."]
    for parameter in agent.parameters:
        lines += [".TP", f".B {literal(parameter.name)}", prose(texts[parameter.name])]
        lines += [".br", f"({prose('; '.join(facts(parameter)))})"]
    return lines


def _actions(agent: Agent) -> list[str]:
    lines = [".SH ACTIONS", "With the times that are advised:"]
    for verb in verbs(agent):
        lines += [".TP", f".B {literal(verb)}", prose(_ACTIONS[verb])]
        for action in agent.actions:
            if action.name == verb:
                interval = f", interval {action.interval_s} s" if action.interval_s else ""
                depth = f"OCF_CHECK_LEVEL {action.depth}: " if action.depth else ""
                lines += [".br", prose(f"{depth}timeout {action.timeout_s} s{interval}")]
    return lines


def _exit_status() -> list[str]:
    lines = definitions((str(code), meaning) for code, meaning in _EXIT_STATUS)
    return [".SH EXIT STATUS", *lines, ".PP", prose("With every failure the reason stands on stderr, in one line.")]


def _examples(agent: Agent, example: dict[str, str]) -> list[str]:
    lines = [".SH EXAMPLES", "With pcs:"]
    lines += verbatim(pcs_example(agent, example))
    lines += [".PP", "With crm:", *verbatim(crm_example(agent, example))]
    lines += [".PP", prose("In haresources, for failoverd and for Heartbeat:")]
    return lines + verbatim([f"{NODE} {haresources_word(agent, example)}"])


def pcs_example(agent: Agent, example: dict[str, str]) -> list[str]:
    lines = [f"pcs resource create {agent.name.lower()} ocf:{PROVIDER}:{agent.name}"]
    if example:
        lines.append("    " + " ".join(f"{name}={value}" for name, value in example.items()))
    return _continued([*lines, f"    op {_monitor(agent)}"])


def crm_example(agent: Agent, example: dict[str, str]) -> list[str]:
    lines = [f"primitive {agent.name.lower()} ocf:{PROVIDER}:{agent.name}"]
    if example:
        lines.append("    params" + "".join(f' {name}="{value}"' for name, value in example.items()))
    timeouts = {action.name: action.timeout_s for action in agent.actions if action.name in ("start", "stop")}
    lines += [f"    op {verb} timeout={timeout_s}s" for verb, timeout_s in timeouts.items()]
    lines.append(f"    op {_monitor(agent)}")
    return _continued(lines)


def _continued(lines: list[str]) -> list[str]:
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


def _monitor(agent: Agent) -> str:
    action = next(action for action in agent.actions if action.name == "monitor")
    return f"monitor interval={action.interval_s}s timeout={action.timeout_s}s"


def haresources_word(agent: Agent, example: dict[str, str]) -> str:
    """``NAME::argument::argument``, from the parameters that have a place there."""
    args = [example.get(name, "") for name in agent.positional_names]
    while args and not args[-1]:
        args.pop()
    if agent.positional_separator:
        args = [agent.positional_separator.join(args)]
    return "::".join((agent.name, *args))


def _files(agent: Agent) -> list[str]:
    state = f"/run/resource-agents/failover-kit-{agent.name}-*"
    rows: Sequence[tuple[str, str]] = (
        (f"/usr/lib/ocf/resource.d/{PROVIDER}/{agent.name}", "The agent."),
        (
            f"/usr/lib/{PROVIDER}/compat/resource.d/{agent.name}",
            "For haresources; link it into /etc/ha.d/resource.d where Heartbeat runs.",
        ),
        (state, "What it keeps until the next boot; elsewhere with HA_RSCTMP."),
    )
    return [".SH FILES", *definitions(rows, "I")]
