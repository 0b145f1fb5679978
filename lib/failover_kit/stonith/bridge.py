"""Our plugins for cluster-glue's ``external`` type: fence agents for Heartbeat 3 and every other libstonith user.

One program under three names. ``stonith_host HOST external/NAME ...`` of ha.cf and ``stonith -p`` give values
in the order of ``getconfignames``, every one of which must be given; the last takes the rest of the line.

=========================  ======================  ===================================================
name                       parameters              for
=========================  ======================  ===================================================
failover-kit-wti           ipaddr password         a line written for wti_nps, only the type changed
failover-kit-wti-file      ipaddr password_file    the same, with the password out of ha.cf
failover-kit-agent         agent options           any fence agent: ``fence_ipmilan ip=192.0.2.9 ...``
=========================  ======================  ===================================================

The protocol is external.c's of cluster-glue 1.0.12; see ``external``, which is its other side.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

from failover_kit.fence.secret import forbid_core_dumps
from failover_kit.spec.deadline import Deadline
from failover_kit.stonith import agents, wti
from failover_kit.stonith.catalogue import Places, default_places
from failover_kit.stonith.codes import Code, StonithError
from failover_kit.stonith.device import Description, Device, DeviceType, parameter_xml
from failover_kit.stonith.log import StonithLog
from failover_kit.stonith.main import DESCRIBE_MS, MARGIN_MS
from failover_kit.stonith.parameters import Parameters
from failover_kit.stonith.program import open_missing_streams, run_program

PLUGINS = ("failover-kit-wti", "failover-kit-wti-file", "failover-kit-agent")
_OPERATIONS = {"status": "status", "gethosts": "list", "on": "on", "off": "off", "reset": "reset"}


class AnyAgentType:
    """``agent`` names a fence agent, ``options`` its parameters as blank-separated name=value."""

    name = "external/failover-kit-agent"
    shows_dialogue = False

    def __init__(self, places: Places) -> None:
        self._places = places

    def names(self) -> tuple[str, ...]:
        return ("agent", "options")

    required = names

    def environment(self, environ: Mapping[str, str]) -> Parameters:
        return Parameters({name: environ[name] for name in ("agent", "options", "hostlist") if name in environ})

    def describe(self) -> Description:
        elements = [
            parameter_xml("agent", "string", "Fence agent", "Name of the agent, e.g. fence_ipmilan", required=True),
            parameter_xml(
                "options",
                "string",
                "The agent's parameters",
                "name=value, blank-separated, e.g. ip=192.0.2.9 username=admin password_script=/etc/ha.d/secret.sh",
                required=True,
            ),
            parameter_xml("hostlist", "string", "Hosts", "For agents that cannot list them", required=False),
        ]
        return Description(
            device_id="fence agent",
            text="Any fence agent (fence_*) as a device of cluster-glue",
            url="https://github.com/ClusterLabs/fence-agents",
            parameters=f"<parameters>{''.join(elements)}</parameters>",
        )

    def configure(self, parameters: Parameters, log: StonithLog) -> agents.AgentDevice:
        options: dict[str, str] = {}
        for word in parameters.get("options", "").split():
            name, equals, value = word.partition("=")
            if not equals:
                raise StonithError(Code.BADCONFIG, "options has a word that is not name=value")
            options[name] = value
        log.hide(Parameters(options).secrets())
        agent = parameters.get("agent", "")
        path = agents.find_agent(agent, self._places.agents)
        return agents.AgentType(agent, path, Deadline(DESCRIBE_MS)).configure(Parameters(options), log)


def plugin_type(name: str, places: Places) -> DeviceType:
    """What the plugin called ``name`` drives. Raises StonithError."""
    if name == "failover-kit-agent":
        return AnyAgentType(places)
    if name in PLUGINS:
        second = "password_file" if name == "failover-kit-wti-file" else "password"
        return wti.WtiType(f"external/{name}", agents.find_agent(agents.OWN_AGENT, places.agents), second=second)
    raise StonithError(Code.OOPS, f"{name} is none of {', '.join(PLUGINS)}")


def run(
    name: str, arguments: Sequence[str], environ: Mapping[str, str], *, out: TextIO, log: StonithLog, places: Places
) -> int:
    """One call; the exit code, 0 or an S_* code."""
    try:
        kind = plugin_type(name, places)
        operation = arguments[0] if arguments else ""
        answer = _answer(kind, operation)
        if answer is not None:
            out.write(answer)
            return Code.OK
        if operation not in _OPERATIONS or len(arguments) != (2 if operation in ("on", "off", "reset") else 1):
            raise StonithError(Code.BADCONFIG, f"usage: {name} on|off|reset NODE, gethosts, status, getconfignames")
        parameters = kind.environment(environ)
        log.hide(parameters.secrets())
        if operation == "gethosts" and parameters.get("hostlist"):
            out.write("\n".join(parameters["hostlist"].replace(",", " ").split()) + "\n")
            return Code.OK
        _operate(kind.configure(parameters, log), operation, arguments[-1], out)
        return Code.OK
    except StonithError as error:
        log.error(str(error))
        return error.code


def _answer(kind: DeviceType, question: str) -> str | None:
    """What the plugin says of itself."""
    if question == "getconfignames":
        return " ".join(kind.names()) + "\n"
    words = kind.describe()
    return {
        "getinfo-devid": words.device_id + "\n",
        "getinfo-devname": words.device_id + "\n",
        "getinfo-devdescr": words.text + "\n",
        "getinfo-devurl": words.url + "\n",
        "getinfo-xml": words.parameters + "\n",
    }.get(question)


def _operate(device: Device, operation: str, node: str, out: TextIO) -> None:
    deadline = Deadline(device.budget_ms(_OPERATIONS[operation]) + MARGIN_MS)
    if operation == "status":
        device.status(deadline)
    elif operation == "gethosts":
        out.write("".join(f"{host}\n" for host in device.hosts(deadline)))
    else:
        device.act(operation, node, deadline)


def main(argv: Sequence[str]) -> int:
    """The program; ``argv[0]`` says which plugin it is."""
    name = os.path.basename(argv[0])
    forbid_core_dumps()
    open_missing_streams()
    # cluster-glue passes stderr on to its caller; Heartbeat's is nobody's, so syslog gets it, too.
    log = StonithLog(to_stderr=True, always_syslog=True, tag=f"external/{name}")

    def work() -> int:
        return run(name, argv[1:], os.environ, out=sys.stdout, log=log, places=default_places())

    return run_program(work, log.error)
