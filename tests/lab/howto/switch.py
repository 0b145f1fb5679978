"""Steps 3, 4, 5, 7 and 17: the power switch, from the factory to fencing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lab import plan
from lab.howto import readings
from lab.howto.files import PASSWORD
from lab.howto.pair import BOOT_S, COMMAND_S, CTL, FENCE_AGENT, PASSWORD_FILE, STONITH, Pair, brief
from lab.report import Step, Table

if TYPE_CHECKING:
    from lab.guest import Guest

CHANGED, AS_IT_WAS = "changed", "as it was"


def setup(table: Table, pair: Pair) -> None:
    """From the factory to a switch with an address, a password and two names, looked at from both nodes."""
    with table.step("3", "the switch's address, over the serial port of pete") as step:
        _address(step, pair)
    with table.step("4", "the switch's password and names, over the network, read again") as step:
        _names(step, pair)
    with table.step("5", "the status screen of the switch") as step:
        _screen(step, pair)
    with table.step("7", "one session at a time: nobody is logged in any more") as step:
        _sessions(step, pair)


def _address(step: Step, pair: Pair) -> None:
    lab = pair.lab
    fresh = lab.switch.view()
    names = [outlet.get("name") for outlet in fresh["outlets"]]
    step.check("the switch is as from the factory: no name on any plug", not any(names), seen=str(names))
    lab.panel.join("pete", "switch")
    step.did("a null-modem cable from pete's ttyS0 to the console of benjamin")
    words = ["switch", "setup", "--serial", "/dev/ttyS0", "--set-address", plan.SWITCH_ADDRESS]
    words += ["--set-mask", "255.255.255.0"]
    step.did(f"pete: failoverctl {' '.join(words)}")
    told = _told(pair.pete, *words, "--json")
    _expect(step, told, {"address": (plan.SWITCH_ADDRESS, CHANGED), "mask": ("255.255.255.0", AS_IT_WAS)})
    again = _told(pair.pete, *words, "--json")
    _expect(step, again, {"address": (plan.SWITCH_ADDRESS, AS_IT_WAS)})
    lab.panel.join("pete", "mclaws")
    step.did("the cable moved: now between pete and mclaws, both ttyS0")


def _names(step: Step, pair: Pair) -> None:
    for node in pair.nodes:
        node.sh("umask 077; mkdir -p /etc/ha.d")
        node.put(PASSWORD_FILE, f"{PASSWORD}\n", 0o600)
    reached = pair.on_both(["ping", "-c", "1", "-W", "10", plan.SWITCH])
    step.check("both nodes reach benjamin", all(result.code == 0 for result in reached))
    words = ["switch", "setup", "--ip", plan.SWITCH_ADDRESS, "--name", "1=pete", "--name", "5=mclaws"]
    words += ["--disconnect-timeout", "2", "--new-password-file", PASSWORD_FILE]
    step.did(f"pete: failoverctl {' '.join(words)}")
    told = _told(pair.pete, *words, "--json")
    wanted = {
        "plug 1 name": ("pete", CHANGED),
        "plug 5 name": ("mclaws", CHANGED),
        "system password": ("set", CHANGED),
    }
    _expect(step, told, wanted)
    pair.mclaws.put("/run/wrong", "not-this-one\n", 0o600)
    words = ["switch", "show", "--ip", plan.SWITCH_ADDRESS, "--password-file", "/run/wrong"]
    wrong = pair.ctl(pair.mclaws, *words, check=False)
    step.check("a wrong password is refused", wrong.code == 4, seen=f"exit {wrong.code}: {wrong.last_line()}")
    for node in pair.nodes:
        shown = _told(
            node, "switch", "show", "--ip", plan.SWITCH_ADDRESS, "--password-file", PASSWORD_FILE, "--json"
        )
        names = {str(row["plug"]): row["name"] for row in shown["plugs"] if row["name"]}
        good = names == {"1": "pete", "5": "mclaws"}
        step.check(f"read again from {node.name}: plug 1 is pete, plug 5 is mclaws", good, seen=str(names))


def _screen(step: Step, pair: Pair) -> None:
    argv = [FENCE_AGENT, f"--ip={plan.SWITCH_ADDRESS}", f"--password-file={PASSWORD_FILE}", "-o", "list-status"]
    step.did(f"pete: {' '.join(argv)} -v, which shows the dialogue")
    seen = pair.pete.run([*argv, "-v"], timeout_s=COMMAND_S)
    screen = readings.screen(seen.stderr)
    step.check(
        "banner, columns, eight plugs, help line and prompt as the document prints them",
        screen.complete,
        seen=str(screen),
    )
    step.check("the password is in none of it", PASSWORD not in seen.stdout + seen.stderr)
    for node in pair.nodes:
        rows = readings.plugs(node.run(argv, timeout_s=COMMAND_S).stdout)
        good = len(rows) == 8 and rows.get("1") == ("pete", "on") and rows.get("5") == ("mclaws", "on")
        step.check(f"the fence agent on {node.name} reads eight plugs, pete and mclaws ON", good, seen=str(rows))


def _sessions(step: Step, pair: Pair) -> None:
    """Every connection of the log has ended, and by a logout."""
    opened = pair.lab.switch.events("connect")
    closed = pair.lab.switch.events("disconnect")
    reasons = sorted({str(event.get("reason")) for event in closed})
    good = len(opened) == len(closed) and bool(opened)
    said = f"{len(opened)} begun, {len(closed)} ended ({', '.join(reasons)})"
    step.check("every session at the switch was ended", good, seen=said)


def stonith(table: Table, pair: Pair) -> None:
    """Each node shoots the other once, before anything runs on them."""
    for shooter in pair.nodes:
        victim = pair.other(shooter)
        with table.step("17", f"stonith from {shooter.name}: {victim.name} is rebooted") as step:
            _shoot(step, pair, shooter, victim)


def _shoot(step: Step, pair: Pair, shooter: Guest, victim: Guest) -> None:
    lab = pair.lab
    boots = {node.name: node.boot for node in pair.nodes}
    said_before = lab.now_ms()
    line = f'{STONITH} -t wti_nps -p "{plan.SWITCH} {PASSWORD}" {victim.name}'
    # What was set up a minute ago is on the node's own disk by now, where somebody types the commands of a page.
    victim.run(["sync", "-f", "/"], timeout_s=COMMAND_S)
    step.did(f'{shooter.name}: stonith -t wti_nps -p "{plan.SWITCH} {PASSWORD}" {victim.name}')
    # On a terminal, as the document types it: then the messages are on it and not in syslog.
    told = shooter.run(["script", "-qec", line, "/dev/null"], timeout_s=COMMAND_S, check=False)
    step.check("exit code 0", told.code == 0, seen=f"{told.code}: {brief(told.stdout)}")
    sentences = (
        "Successful login",
        f"Host is being rebooted: {victim.name}",
        f"Power restored to host: {victim.name}",
    )
    lacking = readings.lacking(told.stdout, sentences)
    step.check("login, reboot, power restored: it says each", not lacking, seen=brief(told.stdout))
    victim.wait_ready(BOOT_S)
    step.check(
        f"{victim.name} has booted once more", victim.boot == boots[victim.name] + 1, seen=f"boot {victim.boot}"
    )
    step.check(f"{shooter.name} has not", shooter.boot == boots[shooter.name], seen=f"boot {shooter.boot}")
    events = [event for event in lab.power_events() if event.t_ms >= said_before]
    seen = [(event.guest, event.what, event.by) for event in events]
    wanted = [(victim.name, "ended", "outlet"), (victim.name, "started", "outlet")]
    step.check(f"the outlet of {victim.name}, and no other, went off and on", seen == wanted, seen=str(seen))
    ready = f"LAB-READY {victim.name}"
    line = next((line for line in victim.console(60).splitlines() if ready in line), "")
    step.check("its console shows the boot from its beginning", bool(line), seen=line)
    step.fact(f"{told.ms} ms until {shooter.name} had the answer")


def fence_test(step: Step, pair: Pair) -> None:
    """With the managers running: what every plug reads, and nothing is switched."""
    before = len(pair.lab.power_events())
    for node in pair.nodes:  # one after the other: the switch has one session
        told = pair.ctl(node, "fence", "--test", check=False)
        said = brief(told.stdout + told.stderr, 400)
        step.check(f"failoverctl fence --test on {node.name} finds nothing wrong", told.code == 0, seen=said)
    step.check("nothing was switched by it", len(pair.lab.power_events()) == before)


def _told(node: Guest, *words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(node.run([CTL, *words], timeout_s=COMMAND_S).stdout)
    return answer


def _expect(step: Step, told: dict[str, Any], wanted: dict[str, tuple[str, str]]) -> None:
    """The settings with their value after and how it got there, as the switch's own menus said afterwards."""
    rows = {row["setting"]: (row["after"], row["progress"]) for row in told.get("settings", [])}
    for name, value in wanted.items():
        step.check(f"{name}: {value[0]}, {value[1]}", rows.get(name) == value, seen=str(rows.get(name)))
