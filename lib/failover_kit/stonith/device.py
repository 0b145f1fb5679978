"""What every kind of device offers to the command. The kinds: ``null``, ``external``, ``agents``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Protocol

from failover_kit.spec.deadline import Deadline
from failover_kit.stonith.codes import Code, StonithError
from failover_kit.stonith.log import StonithLog
from failover_kit.stonith.parameters import Parameters

# An operation of a device we know nothing of. Pacemaker's stonith-timeout is 60 s, external/* plugins wait
# up to a minute for a power supply.
OPERATION_MS = 120_000
_NODE_LENGTH_MAX = 255


@dataclass(frozen=True, slots=True)
class Description:
    """A type's words about itself. ``parameters`` is the ``<parameters>`` element."""

    device_id: str
    text: str
    url: str
    parameters: str


class Device(Protocol):
    """A configured device. Each operation raises StonithError when it did not succeed."""

    def budget_ms(self, operation: str, /) -> int:
        """How long ``status``, ``list``, ``on``, ``off`` or ``reset`` may take at most."""

    def status(self, deadline: Deadline, /) -> None: ...

    def hosts(self, deadline: Deadline, /) -> tuple[str, ...]: ...

    def act(self, action: str, node: str, deadline: Deadline, /) -> None: ...


class DeviceType(Protocol):
    """A kind of device, before it is configured. Asking it may run a child: StonithError."""

    @property
    def name(self) -> str: ...

    @property
    def shows_dialogue(self) -> bool:
        """Whether ``verbose=1`` makes it show its dialogue with the device, and no password in it.

        fence-agents' own library prints what it sends, the password included.
        """

    def names(self) -> tuple[str, ...]:
        """Parameter names in the order of -n and -p."""

    def required(self) -> tuple[str, ...]:
        """Those of ``names()`` that -p and -F must give."""

    def environment(self, environ: Mapping[str, str]) -> Parameters:
        """The parameters that the caller's environment has for this type."""

    def describe(self) -> Description: ...

    def configure(self, parameters: Parameters, log: StonithLog) -> Device:
        """Check the parameters. Raises StonithError with Code.INVAL when one is missing."""


def missing(device_type: DeviceType, names: tuple[str, ...]) -> StonithError:
    """The complaint about parameters that are not given, in cluster-glue's words."""
    text = f"Invalid config info for {device_type.name} device\nMissing: {' '.join(names)}"
    valid = "".join(f"\n\t{name}" for name in device_type.names())
    return StonithError(Code.INVAL, f"{text}\nValid config names are:{valid}")


def check_node(node: str) -> None:
    """A node name that can go into a line protocol and be an argument. Raises StonithError."""
    fits = 0 < len(node) <= _NODE_LENGTH_MAX and node.isprintable()
    if not fits or node != node.strip() or node.startswith("-"):
        text = "no usable node name: empty, too long, with blanks around, an option or not printable"
        raise StonithError(Code.BADHOST, text)


def check_script_node(node: str) -> None:
    """A node name a careless shell script can be given unquoted. Raises StonithError."""
    check_node(node)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.:@+-]*", node):
        text = f"node name [{node}] has characters no plugin is given; use letters, digits and . _ -"
        raise StonithError(Code.BADHOST, text)


_ACTIONS_XML = """<actions>
<action name="start"   timeout="20" />
<action name="stop"    timeout="15" />
<action name="status"  timeout="20" />
<action name="monitor" timeout="20" interval="3600" />
<action name="meta-data"  timeout="15" />
</actions>
<special tag="heartbeat">
<version>2.0</version>
</special>
</resource-agent>
"""


def metadata_xml(device_type: DeviceType) -> str:
    """The document of ``-m``, laid out as cluster-glue's."""
    words = device_type.describe()
    return (
        '<?xml version="1.0"?>\n<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">\n'
        f'<resource-agent name="{escape(device_type.name)}">\n<version>1.0</version>\n'
        f'<longdesc lang="en">\n{escape(words.text, quote=False)}\n</longdesc>\n'
        f'<shortdesc lang="en">{escape(words.device_id, quote=False)}</shortdesc>\n'
        f"{words.parameters}\n{_ACTIONS_XML}"
    )


def help_text(device_type: DeviceType) -> str:
    """The paragraph of ``-h``, in cluster-glue's words."""
    words = device_type.describe()
    url = f"For more information see {words.url}\n" if words.url else ""
    names = "".join(f"\t{name}\n" for name in device_type.names())
    return (
        f"\n\nSTONITH Device: {device_type.name} - {words.text}\n{url}"
        f"List of valid parameter names for {device_type.name} STONITH device:\n{names}"
        "For Config info [-p] syntax, give each of the above parameters in order as\n"
        "the -p value.\nArguments are separated by white space.\n"
        "Config file [-F] syntax is the same as -p, except # at the start of a line\ndenotes a comment\n"
    )


def parameter_xml(name: str, kind: str, shortdesc: str, longdesc: str, *, required: bool) -> str:
    """One ``<parameter>`` in cluster-glue's layout."""
    return (
        f'<parameter name="{escape(name)}" unique="0" required="{int(required)}"><content type="{kind}" />\n'
        f'<shortdesc lang="en">\n{escape(shortdesc, quote=False)}</shortdesc>\n'
        f'<longdesc lang="en">\n{escape(longdesc, quote=False)}</longdesc>\n</parameter>\n'
    )
