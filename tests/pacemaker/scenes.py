"""What is done to the pair under Pacemaker. Each scene begins and ends with both nodes online and all running."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from failover_kit.rehearsal.ledger import Attempt
from failover_kit.rehearsal.plan import GROUP, NODES, SWITCH, SWITCH_ADDRESS
from failover_kit.rehearsal.stage import SceneFailed
from pacemaker.pair import KIT, TAKEOVER_MS, Pair

ADDRESS_ID = "IPaddr-10.99.0.100"
MONITOR_MS = 90_000
"""monitor_interval is 5 s; the failure has to be seen and the service restarted."""

FAILED_STOP_MS = TAKEOVER_MS + 30_000
"""op_timeout on top: the stop is given all of its time."""

STILL_MS = 12_000


@dataclass(frozen=True)
class Scene:
    """``play`` raises SceneFailed."""

    name: str
    expectation: str
    play: Callable[[Pair], None]


def attempts_since(pair: Pair, verb: str, resource: str = "") -> list[Attempt]:
    """Attempts of this scene, of one resource or of all."""
    return [
        call
        for call in pair.world.attempts()
        if call.t_ms >= pair.stage.fault_ms and call.what == "begin" and call.verb == verb
        and resource in ("", call.resource.partition(":")[0])
    ]  # fmt: skip


def move(pair: Pair) -> None:
    """``crm_resource --move`` to the other node; nothing goes back when the constraint is cleared."""
    here, there = pair.stage.holder(), pair.other()
    shots = len(pair.shots())
    pair.stage.fault(f"crm_resource --move to {there}")
    pair.run(here, "crm_resource", "--move", "-r", pair.group, "-N", there)
    pair.moved_to(there)
    pair.run(here, "crm_resource", "--clear", "-r", pair.group)
    pair.settled()
    pair.stage.require(pair.stage.holder() == there, "it went back when the constraint was cleared")
    pair.stage.require(len(pair.shots()) == shots, "a plug was switched for a planned move")


def node_kill(pair: Pair) -> None:
    """The active node's power cable is pulled: it is fenced, the other takes over, and it comes back."""
    here, there = pair.stage.holder(), pair.other()
    shots = len(pair.shots())
    pair.stage.fault(f"{here}'s power cable is pulled")
    pair.world.pull_power_cable(here)
    pair.moved_to(there)
    _require_shot(pair, here, shots)
    first = attempts_since(pair, "start")[0]
    off = _off_ms(pair, here)
    pair.stage.require(off <= first.t_ms, f"{there} started at {first.t_ms}, OFF came at {off}")
    pair.settled()
    _require_starts(pair, 1, f"{here} came back")


def fence(pair: Pair) -> None:
    """``stonith_admin --reboot`` of the passive node: the service does not notice."""
    here, there = pair.stage.holder(), pair.other()
    shots = len(pair.shots())
    pair.stage.fault(f"stonith_admin --reboot {there}")
    pair.run(here, "stonith_admin", "--reboot", there, timeout_ms=TAKEOVER_MS)
    _require_shot(pair, there, shots)
    pair.settled()
    pair.stage.require(not attempts_since(pair, "stop"), "something was stopped where the service ran")
    _require_starts(pair, 0, f"{there} came back")


def failed_monitor(pair: Pair) -> None:
    """The service is killed: its monitor sees it, and it is restarted in place, the disk untouched."""
    here = pair.stage.holder()
    pair.stage.fault("the service is killed")
    _kill_service(pair, here)
    pair.stage.wait("it is restarted", lambda: attempts_since(pair, "start", "recordd"), MONITOR_MS)
    pair.serves_again(here, MONITOR_MS)
    pair.settled()
    pair.stage.require(not attempts_since(pair, "start", "Filesystem"), "the disk was restarted, too")
    _forget(pair)


def failed_stop(pair: Pair) -> None:
    """A stop that never ends: the node is fenced before the other one starts anything."""
    here, there = pair.stage.holder(), pair.other()
    shots = len(pair.shots())
    pair.stage.let_stop_hang(here)
    pair.stage.fault("the service is moved, and its stop hangs")
    pair.run(there, "crm_resource", "--move", "-r", pair.group, "-N", there)
    pair.moved_to(there, FAILED_STOP_MS)
    _require_shot(pair, here, shots)
    pair.run(there, "crm_resource", "--clear", "-r", pair.group)
    pair.settled()
    _forget(pair)


def standby(pair: Pair) -> None:
    """``crm_standby`` empties the active node; with it off again nothing goes back."""
    here, there = pair.stage.holder(), pair.other()
    pair.stage.fault(f"{here} is put on standby")
    pair.run(here, "crm_standby", "-N", here, "-v", "on")
    pair.moved_to(there)
    pair.run(here, "crm_standby", "-N", here, "-D")
    pair.settled()
    pair.stage.require(pair.stage.holder() == there, "it went back when standby ended")


def maintenance(pair: Pair) -> None:
    """maintenance-mode: a killed service stays down, and is started again when it ends."""
    here = pair.stage.holder()
    pair.run(here, "crm_attribute", "-t", "crm_config", "-n", "maintenance-mode", "-v", "true")
    pair.stage.fault("the service is killed in maintenance-mode")
    _kill_service(pair, here)
    pair.stage.stays("nothing is started", lambda: not attempts_since(pair, "start"), STILL_MS)
    pair.run(here, "crm_attribute", "-t", "crm_config", "-n", "maintenance-mode", "-D")
    pair.serves_again(here, MONITOR_MS)
    pair.settled()
    _forget(pair)


def reload_agent(pair: Pair) -> None:
    """A parameter that can be reloaded is changed: the agent's reload-agent runs, and nothing is restarted."""
    here = pair.stage.holder()
    log = Path(f"{pair.stage.node(here).root}/var/log/pacemaker/pacemaker.log")
    pair.stage.fault("arp_count of the address is changed")
    before = log.stat().st_size
    pair.run(here, "crm_resource", "-r", ADDRESS_ID, "--set-parameter", "arp_count", "-v", "4")

    def reloaded() -> bool:
        text = log.read_bytes()[before:].decode(errors="replace")
        return bool(re.search(rf"Result of reload-agent operation for {re.escape(ADDRESS_ID)} on {here}: ok", text))

    pair.stage.wait("reload-agent ran", reloaded, MONITOR_MS)
    pair.settled()
    restarted = attempts_since(pair, "stop") + attempts_since(pair, "start")
    pair.stage.require(not restarted, f"it was restarted: {restarted}")


def legacy(pair: Pair) -> None:
    """The same switch through Pacemaker's fence_legacy and our ``stonith``: a node is killed and fenced."""
    here = pair.stage.holder()
    password = Path(pair.world.directory, here, "ha.d", f"{SWITCH}.password").read_text().strip()
    pair.stage.fault("the devices become fence_legacy")
    for plan in NODES:
        device = f"fence-{plan.name}-{SWITCH}"
        facts = {
            "plugin": "wti_nps", "stonith": f"{KIT}/stonith/stonith", "ipaddr": SWITCH_ADDRESS,
            "password": password, "pcmk_host_check": "static-list", "pcmk_host_list": plan.name,
        }  # fmt: skip
        pairs = "".join(f'<nvpair id="{device}-l-{k}" name="{k}" value="{v}"/>' for k, v in facts.items())
        xml = (
            f'<primitive id="{device}" class="stonith" type="fence_legacy">'
            f'<instance_attributes id="{device}-l">{pairs}</instance_attributes><operations>'
            f'<op id="{device}-l-m" name="monitor" interval="300s" timeout="60s"/></operations></primitive>'
        )
        pair.replace_primitive(here, device, xml)
    pair.settled()
    node_kill(pair)


def _require_shot(pair: Pair, name: str, since: int) -> None:
    shots = pair.shots(since)
    pair.stage.require((name, "off") in shots, f"{name} was not cut: {shots}")
    others = [shot for shot in shots if shot[0] != name]
    pair.stage.require(not others, f"another plug was switched, too: {others}")


def _require_starts(pair: Pair, number: int, when: str) -> None:
    """A node that joins must not disturb what runs on the other."""
    starts = attempts_since(pair, "start", "Filesystem")
    pair.stage.require(len(starts) == number, f"the disk was started {len(starts)} times, the last when {when}")


def _off_ms(pair: Pair, name: str) -> int:
    """When the switch last went off for that node."""
    times = [
        int(event["t_ms"])
        for event in pair.world.switch_events()
        if event["event"] == "switched" and event["name"] == name and event["to"] == "off"
    ]
    return times[-1]


def _kill_service(pair: Pair, name: str) -> None:
    root = pair.stage.node(name).root
    inside = int(Path(root + GROUP.pid_file).read_text())
    pair.run(name, "kill", f"-{signal.SIGKILL.value}", str(inside))


def _forget(pair: Pair) -> None:
    """Failures of one scene must not count in the next."""
    pair.run(pair.stage.holder(), "crm_resource", "--cleanup")
    pair.settled()


def under_both_managers(pair: Pair) -> None:
    """Failoverd serves; its files are exported; Pacemaker serves from the same disk."""
    pair.start_under_failoverd()
    served = len(pair.world.acknowledgements().read())
    pair.migrate()
    pair.start_under_pacemaker()
    if len(pair.world.acknowledgements().read()) <= served:
        raise SceneFailed("the client got nothing acknowledged under Pacemaker")


SCENES = (
    Scene("migrate", "under failoverd, then exported and under Pacemaker", under_both_managers),
    Scene("move", "crm_resource --move; no plug is switched, nothing goes back", move),
    Scene("node-kill", "fenced before anything starts; comes back", node_kill),
    Scene("fence", "stonith_admin --reboot of the passive node", fence),
    Scene("failed-monitor", "restarted in place", failed_monitor),
    Scene("failed-stop", "fenced, then taken over", failed_stop),
    Scene("standby", "crm_standby, and nothing goes back", standby),
    Scene("maintenance", "a killed service stays down until it ends", maintenance),
    Scene("reload-agent", "a parameter changes, nothing restarts", reload_agent),
    Scene("legacy", "fence_legacy and our stonith", legacy),
)
