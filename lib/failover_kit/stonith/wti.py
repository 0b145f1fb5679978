"""``wti_nps``: a WTI power switch under its name in cluster-glue and in the failover HOWTO.

The device is driven by our fence agent as a child. Beside ``ipaddr`` and ``password`` every option of the
agent is a parameter: ``ipport``, ``username``, ``password_file``, ``timeout``, ...
"""

from __future__ import annotations

from collections.abc import Mapping

from failover_kit.fence import config, options
from failover_kit.stonith.agentinfo import NEVER_PARAMETERS, AgentInfo
from failover_kit.stonith.agents import AgentDevice, Wording
from failover_kit.stonith.codes import Code, StonithError
from failover_kit.stonith.device import Description, missing, parameter_xml
from failover_kit.stonith.log import StonithLog
from failover_kit.stonith.parameters import Parameters, from_environment

# The first is what the HOWTO's session shows.
_WORDING = Wording(
    login="Successful login to WTI Network Power Switch.",
    on="Power to NPS outlet(s) of {0} turned /On",
    off="Power to NPS outlet(s) of {0} turned /Off",
)
_PASSWORDS = frozenset(
    ("password", "passwd", "password_file", "password_script", "passwd_script", "password_env", "identity_file")
)
_TEXT = (
    "Western Telematic (WTI) Internet and Network Power Switches (IPS, NPS, TPS, ...)\n"
    "NOTE: The switch accepts only one (telnet) connection/session at a time.\n"
    "Success means that the switch's own table, read afterwards, shows the plugs in the state asked for.\n"
    "Unproven on hardware: tested against an emulator and published screens, not on a device."
)


class WtiType:
    """The agent under the name ``wti_nps``, or as one of our external plugins."""

    shows_dialogue = True

    def __init__(self, name: str, path: str, *, second: str = "password") -> None:
        """``second``: how the second positional parameter gives the password."""
        self.name = name
        self._path = path
        self._names = ("ipaddr", second)

    def names(self) -> tuple[str, ...]:
        return self._names

    required = names

    def environment(self, environ: Mapping[str, str]) -> Parameters:
        return from_environment(agent_names(), environ)

    def describe(self) -> Description:
        elements = [
            parameter_xml("ipaddr", "string", "IP Address", "The IP address of the STONITH device", required=True),
            parameter_xml(
                "password",
                "string",
                "Password",
                "The password used for logging in to the STONITH device; empty for a unit that has none",
                required=self._names[1] == "password",
            ),
        ]
        if self._names[1] != "password":
            text = "File whose first line is the password; must not be open to others"
            elements.append(parameter_xml(self._names[1], "string", "Password file", text, required=True))
        known = {"ip", *self._names, "password"}
        elements += [
            parameter_xml(option.name, option.kind, option.shortdesc, option.shortdesc, required=False)
            for option in options.OPTIONS
            if option.on_stdin and option.name not in known and option.name not in NEVER_PARAMETERS
        ]
        return Description(
            device_id="WTI Network Power Switch",
            text=_TEXT,
            url="http://www.wti.com/",
            parameters=f"<parameters>{''.join(elements)}</parameters>",
        )

    def configure(self, parameters: Parameters, log: StonithLog) -> AgentDevice:
        absent = []
        if not {"ipaddr", "ip", "serial"} & set(parameters):
            absent.append("ipaddr")
        if not _PASSWORDS & set(parameters):
            absent.append(self._names[1])
        if absent:
            raise missing(self, tuple(absent))
        known = set(agent_names())
        for name in parameters:
            if name not in known:
                # As cluster-glue: what one version of a plugin does not know, another may.
                log.warning(f"{self.name}: the parameter {name[:40]!r} is unknown and ignored")
        used = Parameters({name: value for name, value in parameters.items() if name in known})
        _budget_ms("off", used, self.name)
        return AgentDevice(
            self.name,
            self._path,
            AgentInfo((), frozenset(("on", "off", "reboot", "status", "list", "monitor")), "plug"),
            used,
            log,
            wording=_WORDING,
            own_budget_ms=lambda action: _budget_ms(action, used, self.name),
            names_are_targets=True,
        )


def agent_names() -> tuple[str, ...]:
    """Every name our agent knows a parameter by, old ones included."""
    names = [name for option in options.OPTIONS if option.on_stdin for name in (option.name, *option.old)]
    return tuple(name for name in names if name not in NEVER_PARAMETERS)


def _budget_ms(action: str, parameters: Parameters, type_name: str) -> int:
    """How long the agent will give ``action``; checks the parameters on the way. Raises StonithError."""
    verb = {"list": "list", "status": "monitor"}.get(action, action)
    lines = [f"action={verb}", "plug=1", *(options.stdin_line(name, value) for name, value in parameters.items())]
    try:
        return config.check(options.read_stdin(lines)).timeout_ms
    except options.UsageError as error:
        raise StonithError(Code.BADCONFIG, f"Invalid config info for {type_name} device\n{error}") from None
