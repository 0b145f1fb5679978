"""The ``stonith`` command: what is asked for, in cluster-glue's order and with its exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from failover_kit import VERSION
from failover_kit.fence.secret import forbid_core_dumps
from failover_kit.spec.deadline import Deadline
from failover_kit.stonith import catalogue
from failover_kit.stonith.arguments import Request, UsageError, parse, usage
from failover_kit.stonith.codes import LIST_FAILED, Code, StonithError
from failover_kit.stonith.device import Device, DeviceType, help_text, metadata_xml
from failover_kit.stonith.hideargs import hide_arguments
from failover_kit.stonith.log import StonithLog
from failover_kit.stonith.parameters import Parameters, file_is_open_to_others, from_file, from_text
from failover_kit.stonith.program import open_missing_streams, run_program

# What a plugin or an agent may take to say what it is.
DESCRIBE_MS = 30_000
# The invocation may outlive what its operations allow themselves by this much: starting and stopping children.
MARGIN_MS = 5000


class Invocation:
    """One run of the command."""

    def __init__(
        self, request: Request, out: TextIO, log: StonithLog, places: catalogue.Places, environ: Mapping[str, str]
    ) -> None:
        self._request = request
        self._out = out
        self._log = log
        self._places = places
        self._environ = environ
        self._until = None if request.timeout_ms is None else Deadline(request.timeout_ms)

    def run(self) -> int:
        """Do it all; the exit code."""
        request = self._request
        if request.describe:
            return self._describe()
        if request.list_types:
            for name in catalogue.types(self._places):
                self._out.write(f"{name}\n")
            return Code.OK
        if not request.device_type:
            self._log.error("Must specify device type (-t option)")
            raise UsageError("")
        kind = self._find(request.device_type)
        if request.names:
            self._out.write("".join(f"{name}  " for name in kind.names()) + "\n")
            return Code.OK
        if request.metadata:
            self._out.write(metadata_xml(kind))
            return Code.OK
        if not request.configured:
            raise UsageError(
                "Must specify either -p option, -F option, -E option, or name=value style arguments"
            )
        return self._operate(kind, self._configure(kind))

    def _find(self, name: str) -> DeviceType:
        return catalogue.find(name, self._places, self._until or Deadline(DESCRIBE_MS))

    def _describe(self) -> int:
        if self._request.device_type:
            self._out.write(help_text(self._find(self._request.device_type)))
            return Code.OK
        self._out.write(usage() + "\nSTONITH -t device types and associated configuration details:\n")
        agents = []
        for name in catalogue.types(self._places):
            if name.startswith("fence_"):
                # Each of the dozens of agents is an interpreter of its own: named here, described one by one.
                agents.append(name)
                continue
            try:
                self._out.write(help_text(self._find(name)))
            except StonithError as error:
                self._log.warning(str(error))
        if agents:
            self._out.write("\n\nFence agents; stonith -t NAME -h describes one:\n")
            self._out.write("".join(f"\t{name}\n" for name in agents))
        return Code.OK

    def _configure(self, kind: DeviceType) -> Device:
        request = self._request
        try:
            parameters = self._parameters(kind)
            self._log.hide(parameters.secrets())
            if request.debug and kind.shows_dialogue:
                parameters = parameters.having(verbose="1")
            return kind.configure(parameters, self._log)
        except StonithError as error:
            if request.file is None:
                # Whoever typed the parameters sees what is wrong with them, terminal or not.
                self._log.complain(str(error))
                error.shown = True
            raise

    def _parameters(self, kind: DeviceType) -> Parameters:
        request = self._request
        if request.file is not None:
            if file_is_open_to_others(request.file):
                self._log.warning(f"{request.file} can be read by everybody; chmod o= {request.file}")
            return from_file(kind.name, request.file, kind.required())
        if request.text is not None:
            return from_text(kind.name, request.text, kind.required())
        if request.environment:
            return kind.environment(self._environ)
        assert request.pairs is not None  # noqa: S101 - request.configured
        return request.pairs

    def _operate(self, kind: DeviceType, device: Device) -> int:
        """Status, list, action, as asked, ``count`` times. The last outcome is the exit code."""
        steps: list[Callable[[Deadline], int]] = []
        request = self._request
        total_ms = MARGIN_MS
        if request.status:
            steps.append(lambda deadline: self._status(kind, device, deadline))
            total_ms += request.count * device.budget_ms("status")
        if request.hosts:
            steps.append(lambda deadline: self._hosts(kind, device, deadline))
            total_ms += request.count * device.budget_ms("list")
        if request.node is not None:
            steps.append(lambda deadline: self._act(device, deadline))
            total_ms += request.count * device.budget_ms(request.action)
        deadline = self._until or Deadline(total_ms)
        code: int = Code.OK
        for _ in range(request.count):
            for step in steps:
                code = step(deadline)
        return code

    def _status(self, kind: DeviceType, device: Device, deadline: Deadline) -> int:
        try:
            device.status(deadline)
        except StonithError as error:
            self._log.warning(str(error))
            self._log.error(f"{kind.name} device not accessible.")
            return error.code
        self._log.info(f"{kind.name} device OK.")
        return Code.OK

    def _hosts(self, kind: DeviceType, device: Device, deadline: Deadline) -> int:
        try:
            hosts = device.hosts(deadline)
        except StonithError as error:
            self._log.critical(str(error))
            self._log.error(f"Could not list hosts for {kind.name}.")
            return LIST_FAILED
        self._out.write("".join(f"{host}\n" for host in hosts))
        return Code.OK

    def _act(self, device: Device, deadline: Deadline) -> int:
        assert self._request.node is not None  # noqa: S101 - _operate
        try:
            device.act(self._request.action, self._request.node, deadline)
        except StonithError as error:
            if error.code is Code.BADHOST:
                self._log.warning(str(error))
            else:
                self._log.critical(str(error))
            return error.code
        return Code.OK


def run(
    argv: Sequence[str], out: TextIO, places: catalogue.Places, environ: Mapping[str, str], *, terminal: bool
) -> int:
    """Read the arguments and act; the exit code. ``terminal``: standard input is one."""
    log = StonithLog(to_stderr=terminal)
    try:
        request = parse(argv)
        log = StonithLog(to_stderr=terminal or request.debug, silent=request.silent)
        if request.version:
            out.write(f"stonith: {VERSION} (failover-kit)\n")
            return Code.OK
        if request.help:
            out.write(usage())
            return Code.OK
        return Invocation(request, out, log, places, environ).run()
    except UsageError as error:
        log.complain(str(error))
        log.usage(usage())
        return Code.BADCONFIG
    except StonithError as error:
        if not error.shown:
            log.error(str(error))
        return error.code


def main(argv: Sequence[str]) -> int:
    """The program."""
    hide_arguments(argv[1:])
    forbid_core_dumps()
    open_missing_streams()

    def work() -> int:
        return run(argv[1:], sys.stdout, catalogue.default_places(), os.environ, terminal=os.isatty(0))

    return run_program(work, lambda text: StonithLog(to_stderr=True).complain(f"stonith: {text}"))
