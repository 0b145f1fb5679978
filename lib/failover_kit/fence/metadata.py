"""The agent's description of itself: metadata XML and help text, both from the one option table.

The XML is in the format of fence-agents' metadata.rng; Pacemaker reads actions and the names ``plug``
and ``port`` from it. A renamed option is listed under both names: the new with ``obsoletes``, the old
with ``deprecated``.
"""

from __future__ import annotations

# Not xml.sax.saxutils: it brings urllib and ssl with it and doubles the time of a status call.
import textwrap
from html import escape

from failover_kit.fence.options import ACTIONS, OPTIONS, Option

SHORTDESC = "Fence agent for WTI power switches (IPS-800 and relatives)"
LONGDESC = (
    "Switches plugs of a Western Telematic (WTI) power switch: over TCP (telnet, without a telnet program), over "
    "ssh, over the serial line to its console port, or through the REST interface of current units. Plugs are "
    "given by number, by the name the device itself shows, or as the name of a plug group; a name on several plugs "
    "means all of them. 'off' succeeds only when a status screen read afterwards shows every plug OFF, 'on' only "
    "when it shows every plug ON; 'reboot' switches all OFF, reads that back, and only then switches ON. Every "
    "operation ends within a bounded time, also under Pacemaker. The device has only one session: the agent "
    "waits while it is taken, and always logs out. Unproven on hardware, each of them: the telnet, serial, ssh and "
    "REST transports, and the dialects IPS, NPS, TPS, MPC, VMR and RSM. The agent follows the manuals, published "
    "screens and WTI's own REST clients, and was tested against an emulator and transcripts, not on a device."
)
VENDOR_URL = "https://www.wti.com"


def metadata_xml(agent: str) -> str:
    """The whole document for the agent called ``agent``."""
    parts = [
        '<?xml version="1.0" ?>',
        f"<resource-agent name={quoteattr(agent)} shortdesc={quoteattr(SHORTDESC)} >",
        f"<longdesc>{escape(LONGDESC)}</longdesc>",
        f"<vendor-url>{escape(VENDOR_URL)}</vendor-url>",
        "<parameters>",
    ]
    entries = [(option.order, name, option) for option in OPTIONS for name in (option.name, *_listed_old(option))]
    for _, name, option in sorted(entries, key=lambda entry: entry[:2]):
        parts.append(_parameter(name, option))
    parts += ["</parameters>", "<actions>"]
    for action in ACTIONS:
        # automatic=0: power-on is never needed to unfence.
        parts.append(f'\t<action name="{action}"' + (' automatic="0"' if action == "on" else "") + " />")
    parts += ["</actions>", "</resource-agent>"]
    return "\n".join(parts) + "\n"


def quoteattr(text: str) -> str:
    """``text`` as an attribute with its quotes."""
    return f'"{escape(text)}"'


def _listed_old(option: Option) -> tuple[str, ...]:
    """``option=`` is understood but not advertised, as in fence-agents."""
    return () if option.name == "action" else option.old


def _parameter(name: str, option: Option) -> str:
    attributes = f'name="{name}" unique="0" required="{int(option.required)}"'
    if name != option.name:
        attributes += ' deprecated="1"'
    elif _listed_old(option):
        attributes += f' obsoletes="{option.old[0]}"'
    default = f" default={quoteattr(option.default)}" if option.default else ""
    return (
        f"\t<parameter {attributes}>\n"
        f"\t\t<getopt mixed={quoteattr(option.getopt)} />\n"
        f'\t\t<content type="{option.kind}"{default} />\n'
        f'\t\t<shortdesc lang="en">{escape(option.shortdesc)}</shortdesc>\n'
        f"\t</parameter>"
    )


def help_text(agent: str) -> str:
    """``--help``: every option with its default."""
    lines = [f"Usage:\n\t{agent} [options]\n\t{agent} < file of name=value lines\nOptions:"]
    for option in sorted(OPTIONS, key=lambda option: option.order):
        text = option.shortdesc + (f" (default {option.default})" if option.default else "")
        wrapped = textwrap.wrap(text, 60)
        lines.append(f"   {option.getopt:<34} {wrapped[0]}")
        lines += [" " * 38 + more for more in wrapped[1:]]
    return "\n".join(lines) + "\n"
