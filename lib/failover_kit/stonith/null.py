"""The ``null`` device: does nothing and says it worked. For tests only; Heartbeat's and Pacemaker's use it."""

from __future__ import annotations

from collections.abc import Mapping

from failover_kit.spec.deadline import Deadline
from failover_kit.stonith.codes import Code, StonithError
from failover_kit.stonith.device import Description, check_node, missing, parameter_xml
from failover_kit.stonith.log import StonithLog
from failover_kit.stonith.parameters import Parameters, from_environment

_OPERATION_MS = 5000


class NullType:
    """As cluster-glue's null: one parameter, ``hostlist``, and any node is accepted."""

    name = "null"
    shows_dialogue = False

    def names(self) -> tuple[str, ...]:
        return ("hostlist",)

    required = names

    def environment(self, environ: Mapping[str, str]) -> Parameters:
        return from_environment(self.names(), environ)

    def describe(self) -> Description:
        hostlist = parameter_xml(
            "hostlist", "string", "Hostlist", "The list of hosts that the STONITH device controls", required=True
        )
        return Description(
            device_id="NULL STONITH device",
            text="Dummy (do-nothing) STONITH device\nFOR TESTING ONLY!",
            url="",
            parameters=f"<parameters>{hostlist}</parameters>",
        )

    def configure(self, parameters: Parameters, log: StonithLog) -> NullDevice:
        if "hostlist" not in parameters:
            raise missing(self, self.names())
        hosts = tuple(parameters["hostlist"].replace(",", " ").split())
        if not hosts:
            raise StonithError(Code.BADCONFIG, "Invalid config info for null device\nhostlist names no host")
        return NullDevice(hosts, log)


class NullDevice:
    def __init__(self, hosts: tuple[str, ...], log: StonithLog) -> None:
        self._hosts = hosts
        self._log = log

    def budget_ms(self, _operation: str) -> int:
        return _OPERATION_MS

    def status(self, _deadline: Deadline) -> None:
        pass

    def hosts(self, _deadline: Deadline) -> tuple[str, ...]:
        return self._hosts

    def act(self, _action: str, node: str, _deadline: Deadline) -> None:
        check_node(node)
        self._log.info(f"Host null-reset: {node.lower()}")
