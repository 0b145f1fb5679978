"""Steps 19, 20, 22 and 23: the managers start, the service moves, the power is cut, the node comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import plan
from lab.howto import client, proofs, readings, switch
from lab.howto.files import BOOT_SERVICES
from lab.howto.pair import BOOT_S, COMMAND_S, INIT, LOG, SERVE_S, TAKEOVER_S, Pair, until
from lab.report import Step, StepFailed, Table

if TYPE_CHECKING:
    from lab.guest import Guest

CLIENT_S = 300
"""How long the client's programs may be without an answer."""


def start(table: Table, pair: Pair) -> None:
    """Both managers at about the same time; the group comes up on its home node."""
    with table.step("19", "both managers are started at about the same time") as step:
        for node in pair.nodes:
            told = node.run([INIT, "status"], check=False)
            step.check(f"{node.name}: before, failoverd does not run", told.code == 3, seen=told.last_line())
            node.run(["update-rc.d", "failoverd", "defaults"], timeout_s=COMMAND_S)
        begun = pair.lab.now_ms()
        step.did("both: update-rc.d failoverd defaults; /etc/init.d/failoverd start")
        length = pair.log_lines(pair.pete)
        took = pair.start_managers()
        step.fact(f"the script returned after {took[0]} ms on pete, {took[1]} ms on mclaws")
        pair.wait_started(pair.pete, length, SERVE_S)
        pair.wait_served_by(pair.pete)
        step.check(
            "the group runs on its home node pete, mclaws is passive, both say HEALTHY",
            True,
            seen=f"{pair.lab.now_ms() - begun} ms after the start",
        )
        pair.check_mounts(pair.pete)
        for node in pair.nodes:
            step.fact(f"{node.name}: " + pair.ctl(node, "status").stdout.strip().splitlines()[0])


def look(table: Table, pair: Pair) -> None:
    """What the pair says when it runs: its log, its plugs, its address."""
    with table.step("15", "the log: one sentence per decision") as step:
        text = pair.pete.get(LOG).decode("utf-8", "replace")
        line = next((line for line in text.splitlines() if "started on pete" in line), "")
        step.check("the log of pete has the start of the group", bool(line), seen=line[-160:] or text[-300:])
        logged = pair.pete.sh(
            "grep -h failoverd /var/log/messages /var/log/syslog 2>/dev/null | tail -n 1 || true\n"
        )
        step.check("syslog has it, too", "failoverd" in logged.stdout, seen=logged.stdout.strip()[-160:])
    with table.step("17", "failoverctl fence --test") as step:
        switch.fence_test(step, pair)
    with table.step("20", "arping clusterb from the client shows the active node") as step:
        step.did(f"kokone: arping -c 3 -I eth2 {plan.CLUSTER}")
        step.check("pete's front card answers, and no other", True, seen=pair.wait_mac_of(pair.pete))


# --- planned moves -----------------------------------------------------------------------------------------------


def move(table: Table, pair: Pair) -> None:
    """standby on the active node, and takeover back."""
    with table.step("22", "standby on pete while the client reads and writes") as step:
        _ordered(step, pair, pair.pete, ("standby", pair.pete))
    with table.step("22", "takeover back on pete") as step:
        _ordered(step, pair, pair.mclaws, ("takeover", pair.pete))


def _ordered(step: Step, pair: Pair, giver: Guest, order: tuple[str, Guest]) -> None:
    lab, taker = pair.lab, pair.other(giver)
    verb, where = order
    pair.check_mounts(giver)
    before = _Before(pair)
    with pair.evidence.scene(f"{verb} on {where.name}", taker=taker, limit_s=CLIENT_S) as scene:
        scene.mark(f"failoverctl {verb} on {where.name}")
        step.did(f"{where.name}: failoverctl {verb}")
        told = pair.ctl(where, verb)
        scene.mark("the order has its answer")
        step.fact(f"it says after {told.ms} ms: {told.stdout.strip()}")
        pair.wait_served_by(taker)
        mac = pair.wait_mac_of(taker)
        scene.mark(f"{plan.CLUSTER} answers with {mac}")
    step.check(f"arping shows {taker.name} now", True, seen=mac)
    events = [event for event in lab.power_events() if event.t_ms >= before.at_ms]
    step.check("no power was switched", not events, seen=str(events) if events else "")
    scene.tell(step)
    handed_over(step, pair, before, giver, taker)


class _Before:
    """What was so when a scene began."""

    def __init__(self, pair: Pair) -> None:
        self.at_ms = pair.lab.shelf.mark()
        self.boots = {node.name: node.boot for node in pair.nodes}
        self.client_ms = round(float(pair.kokone.get("/proc/uptime").split()[0]) * 1000)
        self.log_lines = {node.name: pair.log_lines(node) for node in pair.nodes}


def handed_over(step: Step, pair: Pair, before: _Before, giver: Guest, taker: Guest) -> None:
    """After each scene: promises, locks, mounts, and the shelf's witness."""
    client.promises_kept(step, pair, taker)
    states = pair.evidence.require_locks(taker)
    step.check(
        f"every lock of the client is held on {taker.name}",
        True,
        seen="; ".join(one.why for one in states.values()),
    )
    for fact in pair.evidence.require_nfs():
        step.check(fact, True)
    complaints = pair.evidence.kernel_complaints(before.client_ms)
    step.check("the client's kernel complains of nothing", not complaints, seen="; ".join(complaints)[:400])
    if giver.on:
        pair.check_mounts(taker)
    elif not pair.mounted(taker):
        raise StepFailed(f"the disk is mounted on {taker.name}", "it is not")
    frames = {node.name: pair.lab.shelf.frames(mac_of=node.name, since_ms=before.at_ms) for node in pair.nodes}
    verdict = proofs.handover(frames[giver.name], frames[taker.name], (giver.name, taker.name))
    step.check(
        "at each moment only one node wrote to the disk",
        not verdict.trouble,
        expected=f"no write of {giver.name} after the first of {taker.name}",
        seen=verdict.trouble
        or f"{verdict.giver_writes} frames of {giver.name}, then {verdict.gap_ms:.0f} ms without, then "
        f"{verdict.taker_writes} of {taker.name}",
    )


# --- the power cut -----------------------------------------------------------------------------------------------


def power_cut(table: Table, pair: Pair) -> None:
    """The cord of the active node, and the node's return."""
    giver, taker = pair.pete, pair.mclaws
    with table.step("23", "the power cord is pulled from pete, which is active") as step:
        off_ms = _cut(step, pair, giver, taker)
    with table.step("23", "pete has power again, and returns as the passive node") as step:
        _return(step, pair, giver, taker, off_ms)


def _cut(step: Step, pair: Pair, giver: Guest, taker: Guest) -> float:
    lab = pair.lab
    pair.check_mounts(giver)
    before = _Before(pair)
    with pair.evidence.scene(f"power cord of {giver.name}", taker=taker, limit_s=CLIENT_S) as scene:
        scene.mark(f"the power cord of {giver.name} is pulled")
        step.did(f"the power cord is pulled at {giver.name} itself; its outlet still reads ON")
        lab.pull_cord(giver.name)
        off_ms = lab.shelf.mark()
        step.check(f"{giver.name} is dead, {taker.name} lives", not giver.on and taker.on)
        pair.wait_started(taker, before.log_lines[taker.name], TAKEOVER_S)
        scene.mark(f"{taker.name} says that it serves")
        mac = pair.wait_mac_of(taker)
        scene.mark(f"{plan.CLUSTER} answers with {mac}")
    events = [(event.guest, event.what, event.by) for event in lab.power_events() if event.t_ms >= before.at_ms]
    step.check(
        "it was this machine, by its cord, and no other",
        events == [(giver.name, "ended", "cord")],
        seen=str(events),
    )
    _sentences(step, pair, taker, before, giver)
    _fenced(step, pair, giver, off_ms)
    scene.tell(step)
    handed_over(step, pair, before, giver, taker)
    late = proofs.silent(lab.shelf.frames(mac_of=giver.name, since_ms=off_ms), off_ms, lab.shelf.mark(), giver.name)
    step.check(f"since its power was gone no frame of {giver.name} reached the shelf", not late, seen=late)
    return off_ms


def _sentences(step: Step, pair: Pair, taker: Guest, before: _Before, giver: Guest) -> None:
    """Silent, fenced and read back, taken over: in the manager's own words and in this order."""
    text = taker.get(LOG).decode("utf-8", "replace").splitlines()[before.log_lines[taker.name] :]
    wanted = (
        f"{giver.name} is silent",
        f"fencing {giver.name}",
        "all its plugs read OFF",
        "takes over",
        "started on",
    )
    places = [next((n for n, line in enumerate(text) if part in line), -1) for part in wanted]
    for place in places:
        if place >= 0:
            step.fact(f"{taker.name} says: {text[place].strip()[-160:]}")
    good = -1 not in places and places == sorted(places)
    step.check(
        "silent, fencing, read OFF, takeover, started: in this order",
        good,
        seen=str(dict(zip(wanted, places, strict=True))),
    )


def _fenced(step: Step, pair: Pair, giver: Guest, off_ms: float) -> None:
    """The relay of the dead node's outlet was off, and the switch was asked afterwards."""
    plug = giver.plan.plug
    commands = [str(event["text"]) for event in pair.lab.switch.events("command") if event["t_ms"] >= off_ms]
    off = next((n for n, text in enumerate(commands) if text.upper().startswith(f"/OFF {plug}")), -1)
    read = next((n for n, text in enumerate(commands) if n > off and text.upper().startswith("/S")), -1)
    step.check(
        f"the switch was told to cut plug {plug}, and read afterwards", 0 <= off < read, seen=", ".join(commands)
    )
    others = [
        text
        for text in commands
        if text.upper().startswith(("/OFF", "/BOOT")) and not text.upper().startswith(f"/OFF {plug}")
    ]
    step.check("and no other plug was cut", not others, seen=", ".join(others))


def _return(step: Step, pair: Pair, giver: Guest, taker: Guest, off_ms: float) -> None:
    lab = pair.lab
    plug = giver.plan.plug or 0
    until(
        f"the outlet of {giver.name} is on again",
        lambda: "" if lab.switch.outlet_state(plug) == "on" else "it is off",
        SERVE_S,
    )
    boots = giver.boot
    with pair.evidence.scene(f"{giver.name} returns", limit_s=CLIENT_S) as scene:
        back_ms = lab.shelf.mark()
        step.did(f"the cord of {giver.name} is put back; it boots, and failoverd starts by its boot link")
        lab.plug_in(giver.name)
        scene.mark(f"the cord of {giver.name} is put back")
        giver.wait_ready(BOOT_S)
        scene.mark(f"{giver.name} has booted")
        pair.wait_served_by(taker)
        scene.mark("the pair is healthy")
    step.check(f"{giver.name} has booted once", giver.boot == boots + 1, seen=f"boot {giver.boot}")
    step.check(
        f"both say HEALTHY, {taker.name} serves, {giver.name} is passive",
        True,
        seen=f"{lab.shelf.mark() - back_ms:.0f} ms after the cord",
    )
    step.check(f"{taker.name} still answers for {plan.CLUSTER}", True, seen=pair.wait_mac_of(taker))
    pair.check_mounts(taker)
    running = readings.daemons_of_nfs(giver.sh("ps -e -o comm=\n").stdout)
    step.check(
        f"nothing of {' and '.join(BOOT_SERVICES)} runs on {giver.name}", not running, seen=", ".join(running)
    )
    late = proofs.silent(
        lab.shelf.frames(mac_of=giver.name, since_ms=off_ms, until_ms=back_ms), off_ms, back_ms, giver.name
    )
    step.check(f"no frame of {giver.name} came while it was off", not late, seen=late)
    writes = proofs.writes(lab.shelf.frames(mac_of=giver.name, since_ms=back_ms))
    step.check(f"since its boot {giver.name} has written nothing to the disk", writes == 0, seen=f"{writes} frames")
    scene.tell(step)
    pair.evidence.require_locks(taker)
    step.check(f"every lock of the client is still held on {taker.name}", True)
