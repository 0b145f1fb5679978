"""``failoverctl fence --test``: what the plugs of both nodes read, and what is wrong with those that do not.

Status calls only: nothing is switched. What is read here never reaches the core, so it is no proof (PROTOCOL
rule 8), aborts no shot (rule 12) and settles no debt (rule 13). One call at a time, each with a bound of its own
(``CALL_LIMIT_MS``), and the core goes first: its next call to a switch kills the test's agent and ends the
test. The other node's shot may want the same switch, which may have one session only: so a test also ends when the
other node falls silent while it runs, within ``LOOK_MS`` and before that node's shot can be late by it (rule 10).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from failover_kit.manager.actions import ExitCode
from failover_kit.manager.actionspace import ActionSpace
from failover_kit.manager.children import Calls, Ended
from failover_kit.manager.client import PlugReading
from failover_kit.manager.config import ClusterConfig
from failover_kit.manager.fencedevices import Outlet, outlets_of
from failover_kit.manager.fencing import SwitchLine, ask, read_state
from failover_kit.manager.records import PlugState

CALL_LIMIT_MS = 10_000
"""Of one status call: a login, a table, a logout. A switch that needs longer is too slow to fence by."""

LOOK_MS = 200
"""How often a running test looks whether the other node is still heard."""

GAVE_WAY = "not read: failoverd needed the switch itself"
FELL_SILENT = "not read: the other node fell silent meanwhile, and the switch was left to what follows; test again"

_EITHER = "unable to connect/login to fencing device"
"""What fence agents say of a wrong address and of a wrong password alike; some add the reason."""

_REMEDIES = (
    (
        rf"{_EITHER}\W*$",
        "look at the switch's address and cable, whether somebody is logged in there, and at the password in ha.cf",
    ),
    (r"device type", "correct the type in ha.cf; stonith -L lists those there are"),
    (r"login|password|denied|authenticat", "correct the user name and password in ha.cf, on both nodes"),
    (
        r"connect|refused|timed? ?out|unreachable|no route|did not end|resolve|no answer",
        "look at the switch's address and cable, and whether somebody is logged in there: it may have one session",
    ),
    (r"plug|outlet|port|not available", "compare plug.NODE in ha.cf with the names and numbers on the switch"),
    (r"cannot be executed|no fence agent|no stonith", "install the agent, or correct its name in ha.cf"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What one plug said."""

    node: str
    outlet: Outlet
    state: PlugState
    took_ms: int
    problem: str = ""  # fact and remedy
    answers: bool = False  # a device without status answers, at least


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """The answer to the order. The first line of ``text`` sums it up."""

    code: ExitCode
    text: str
    plugs: tuple[PlugReading, ...] = ()


class PlugTester:
    """Reads every plug of every level, when asked."""

    def __init__(
        self,
        config: ClusterConfig,
        programs: Mapping[str, str],
        space: ActionSpace,
        calls: Calls,
        *,
        line: SwitchLine,
        runs: Callable[[str], bool],
    ) -> None:
        """``runs(node)``: whether it is known to run now, so that its plugs cannot rightly be OFF."""
        self._config = config
        self._programs = programs
        self._space = space
        self._calls = calls
        self._line = line
        self._runs = runs
        self._limit_ms = min(CALL_LIMIT_MS, config.op_timeout_ms)
        self._testing = False
        self._ran: tuple[str, ...] = ()  # which nodes ran when the test began

    async def test(self, node: str) -> TestOutcome:
        """Every plug of ``node``, or of both nodes when it is "". DONE when all were read and nothing is wrong."""
        nodes = (node,) if node else self._config.nodes
        if node and node not in self._config.nodes:
            text = f"no node {node!r}; the nodes are {' and '.join(self._config.nodes)}"
            return TestOutcome(ExitCode.USAGE, text)
        if self._testing or self._line.busy:
            what = "another test" if self._testing else "a call of failoverd"
            return TestOutcome(ExitCode.REFUSED, f"{what} to the switch is under way; try again when it has ended")
        self._testing = True
        self._ran = tuple(each for each in self._config.nodes if self._runs(each))
        try:
            asked = [found for each in nodes for found in await self._ask_plugs(each)]
            shared = await self._shared_plugs()
        finally:
            self._testing = False
        return _outcome(nodes, asked, shared)

    async def _ask_plugs(self, node: str) -> list[Asked]:
        outlets = [o for level in outlets_of(self._config, node, self._programs) for o in level]
        return [await self._ask_plug(node, outlet) for outlet in outlets]

    async def _ask_plug(self, node: str, outlet: Outlet) -> Asked:
        if not outlet.program:
            fact = f"no program for {outlet.device.agent} on this host"
            return Asked(node, outlet, PlugState.UNKNOWN, 0, f"{fact}; install it, or correct its name in ha.cf")
        ended = await self._call(outlet, "status")
        if ended is None:
            return Asked(node, outlet, PlugState.UNKNOWN, 0, FELL_SILENT if self._fell_silent() else GAVE_WAY)
        took_ms = ended.ended_ms - ended.began_ms
        if not outlet.has_status:
            problem = "" if ended.code == 0 else _with_remedy(outlet.said(ended))
            return Asked(node, outlet, PlugState.UNKNOWN, took_ms, problem, answers=not problem)
        state, reason = read_state(outlet, ended)
        if state is PlugState.UNKNOWN:
            return Asked(node, outlet, state, took_ms, _with_remedy(reason.removeprefix(f"{outlet.label}: ")))
        return Asked(node, outlet, state, took_ms, self._contradiction(node, state))

    def _contradiction(self, node: str, state: PlugState) -> str:
        if state is PlugState.ON or not self._runs(node):
            return ""
        return (
            f"{node} runs and this plug reads OFF: it is not its plug, or one of its supplies has no power; "
            f"look at the cabling and at plug.{node} in ha.cf"
        )

    def _fell_silent(self) -> bool:
        return not all(self._runs(node) for node in self._ran)

    async def _call(self, outlet: Outlet, action: str) -> Ended | None:
        """One call; None when the core needed the switch before or during it, or the other node may need it."""
        if self._line.busy or self._fell_silent():
            return None
        what = f"test: {action} by {outlet.label}"
        with self._calls.during(what, self._limit_ms):
            call = asyncio.create_task(ask(self._space, 0, outlet, action, timeout_ms=self._limit_ms))
            with self._line.testing(call):
                try:
                    await self._watch(call)
                except asyncio.CancelledError:  # failoverd is ending
                    call.cancel()
                    raise
        return None if call.cancelled() else call.result()

    async def _watch(self, call: asyncio.Task[Ended]) -> None:
        """Wait for its end; kill it when the other node falls silent."""
        while not call.done():
            await asyncio.wait((call,), timeout=LOOK_MS / 1000)
            if self._fell_silent():
                self._line.stop_test()

    # --- do the two nodes share an outlet? ----------------------------------------------------------

    async def _shared_plugs(self) -> str:
        """One sentence: whether the plugs of the nodes are different outlets, as far as the devices tell.

        ha.cf cannot name one plug for both (``--check``); but a name and a number may be the same outlet.
        """
        first, second = (self._outlets_by_box(node) for node in self._config.nodes)
        names = " and ".join(self._config.nodes)
        unknown: list[str] = []
        for box in first.keys() & second.keys():
            mine, theirs = first[box], second[box]
            numbers = await self._numbers(mine[0])
            if numbers is None:
                unknown.append(mine[0].device.name)
                continue
            both = {_number(o, numbers) for o in mine} & {_number(o, numbers) for o in theirs}
            if both:
                return f"WRONG: outlet {', '.join(sorted(both))} of {mine[0].device.name} feeds {names}"
        if unknown:
            return f"the plugs of {names} could not be compared on {', '.join(sorted(unknown))}: it gave no list"
        return f"the plugs of {names} are different outlets"

    def _outlets_by_box(self, node: str) -> dict[tuple[object, ...], list[Outlet]]:
        """By what makes two devices one: the agent and its parameters, the plug aside."""
        found: dict[tuple[object, ...], list[Outlet]] = {}
        for level in outlets_of(self._config, node, self._programs):
            for outlet in level:
                device = outlet.device
                box = (device.agent, tuple(sorted(p for p in device.parameters if p[0] != "plug")))
                found.setdefault(box, []).append(outlet)
        return found

    async def _numbers(self, outlet: Outlet) -> dict[str, str] | None:
        """Outlet number by name, from the agent's ``list`` ("number,name" a line); None when there is none."""
        if not outlet.program or not outlet.has_status:
            return None
        ended = await self._call(outlet, "list")
        if ended is None or ended.code != 0:
            return None
        pairs = [line.strip().partition(",") for line in ended.stdout.splitlines() if line.strip()]
        return {name.strip().lower(): number.strip().lower() for number, _, name in pairs if name.strip()}


def _number(outlet: Outlet, numbers: Mapping[str, str]) -> str:
    plug = outlet.plug.lower()
    return numbers.get(plug, plug)


def _with_remedy(fact: str) -> str:
    reason = re.sub(rf"{_EITHER}\W*(?=\w)", "", fact, flags=re.IGNORECASE)  # its "login" says nothing
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, reason, re.IGNORECASE):
            return f"{fact}; {remedy}"
    return f"{fact}; run the agent by hand with the values of ha.cf to see more"


def _outcome(nodes: Sequence[str], asked: Sequence[Asked], shared: str) -> TestOutcome:
    lines = [line for found in asked for line in _lines_of(found)]
    missing = [node for node in nodes if not any(found.node == node for found in asked)]
    lines += [f"{node}: no fence device; add fence_device to ha.cf" for node in missing]
    wrong = sum(bool(found.problem) for found in asked) + len(missing)
    count = "1 plug was asked" if len(asked) == 1 else f"{len(asked)} plugs were asked"
    summary = f"{count}, {wrong} wrong" if wrong else f"{count}, nothing is wrong"
    bad = bool(wrong) or shared.startswith("WRONG")
    lines += [shared, "nothing was switched, and nothing is proved by this (failoverctl fence --prove NODE)"]
    code = ExitCode.FAILED if bad else ExitCode.DONE
    return TestOutcome(code, "\n".join([summary, *lines]), tuple(_reading(found) for found in asked))


def _reading(found: Asked) -> PlugReading:
    """For scripts (failoverctl fence --test --json)."""
    return PlugReading(
        node=found.node,
        level=found.outlet.level,
        device=found.outlet.device.name,
        plug=found.outlet.plug,
        state="answers" if found.answers else found.state.value,
        took_ms=found.took_ms,
        problem=found.problem,
    )


def _lines_of(found: Asked) -> list[str]:
    outlet = found.outlet
    state = found.state.value.upper()
    if found.answers:
        state = "answers; its state cannot be read, its exit code is believed (fence_trust)"
    elif found.state is PlugState.UNKNOWN:
        state = "UNKNOWN"
    line = f"  {found.node}  level {outlet.level}  {outlet.label}: {state}, {found.took_ms / 1000:.1f} s"
    return [line, f"    {found.problem}"] if found.problem else [line]
