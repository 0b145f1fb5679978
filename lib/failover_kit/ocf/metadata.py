"""The meta-data document: OCF Resource Agent API 1.1, readable by tools that know only 1.0.

Debian's ocf-tester validates against ra-api-1.dtd, which knows neither ``unique-group`` nor
``reloadable`` nor new action names. The DOCTYPE's internal subset declares them: in XML the first
declaration of an attribute wins, and the internal subset is read first (XML 1.0, 3.3). Elements
cannot be declared twice, so lists of choices are given in words instead of ``<select>``.

The XML declaration names no encoding (UTF-8 is what XML has without one, 4.3.3): crmsh decodes the text, lxml
refuses decoded text that names one, and crmsh then says "no such resource agent" of the agent.
"""

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.ocf.agent import Agent
    from failover_kit.spec.parameter import Action, Parameter

_HEADER = """<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd" [
<!ATTLIST parameter unique-group CDATA #IMPLIED reloadable CDATA #IMPLIED>
<!ATTLIST action name CDATA #REQUIRED>
]>
"""

# What pcs and ra-api-1.dtd understand as content types; every other kind is text to them.
_CONTENT_TYPES = ("integer", "boolean")


def escape(text: str) -> str:
    """``text`` for element content and double-quoted attributes."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def document(agent: "Agent") -> str:
    """The whole meta-data document, a newline at its end."""
    text = import_module(agent.text_module)
    lines = [
        f'{_HEADER}<resource-agent name="{agent.name}" version="{agent.version}">',
        "<version>1.1</version>",
        f'<longdesc lang="en">\n{escape(text.LONGDESC.strip())}\n</longdesc>',
        f'<shortdesc lang="en">{escape(agent.shortdesc)}</shortdesc>',
        "<parameters>",
    ]
    for parameter in agent.parameters:
        lines += _parameter(parameter, text.PARAMETERS[parameter.name])
    lines += ["</parameters>", "<actions>"]
    lines += [_action(action) for action in agent.actions]
    lines += ["</actions>", "</resource-agent>", ""]
    return "\n".join(lines)


def _parameter(parameter: "Parameter", longdesc: str) -> "list[str]":
    group = f' unique-group="{parameter.unique_group}"' if parameter.unique_group else ""
    content_type = parameter.kind if parameter.kind in _CONTENT_TYPES else "string"
    default = f' default="{escape(parameter.default)}"' if parameter.default else ""
    if parameter.choices:
        longdesc = f"{longdesc.strip()}\nOne of: {', '.join(parameter.choices)}."
    shortdesc = f"{parameter.shortdesc}, in {parameter.unit}" if parameter.unit else parameter.shortdesc
    return [
        f'<parameter name="{parameter.name}"{group} required="{int(parameter.required)}"'
        f' reloadable="{int(parameter.reloadable)}">',
        f'<longdesc lang="en">\n{escape(longdesc.strip())}\n</longdesc>',
        f'<shortdesc lang="en">{escape(shortdesc)}</shortdesc>',
        f'<content type="{content_type}"{default}/>',
        "</parameter>",
    ]


def _action(action: "Action") -> str:
    interval = f' interval="{action.interval_s}s"' if action.interval_s else ""
    depth = f' depth="{action.depth}"' if action.depth is not None else ""
    return f'<action name="{action.name}" timeout="{action.timeout_s}s"{interval}{depth}/>'
