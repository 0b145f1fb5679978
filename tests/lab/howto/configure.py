"""Steps 10 to 14: the three files, and what must be refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import plan
from lab.howto import files, readings
from lab.howto.pair import COMMAND_S, Pair
from lab.report import Step, Table

if TYPE_CHECKING:
    from lab.guest import Guest

FOLDER = "/etc/ha.d"
TRIAL = "/run/trial.ha.d"
HEART_NAMES = "192.168.1.1 pete\n192.168.1.2 mclaws\n"


def three_files(table: Table, pair: Pair, haresources: str) -> None:
    """The files onto both nodes, each checked, and what the document warns of tried out."""
    with table.step("10", "authkeys: the same on both, mode 600") as step:
        pair.put_on_both(f"{FOLDER}/authkeys", files.AUTHKEYS, 0o600)
        for node in pair.nodes:
            seen = node.run(["stat", "-c", "%a %U", f"{FOLDER}/authkeys"]).stdout.strip()
            step.check(f"{node.name}: mode and owner", seen == "600 root", seen=seen)
    with table.step("11", "ha.cf as in the document") as step:
        pair.put_on_both(f"{FOLDER}/ha.cf", files.HA_CF, 0o600)
        _show(step, files.HA_CF)
    with table.step("13", "haresources as in the document, continued with backslashes") as step:
        pair.put_on_both(f"{FOLDER}/haresources", haresources)
        _show(step, haresources)
        for node in pair.nodes:
            _loads(step, node)
    refused(table, pair)
    with table.step("14", "the order of the document is taken as written: the address first") as step:
        for node in pair.nodes:
            told = node.run(["failoverd", "--check"], timeout_s=COMMAND_S)
            line = next((line for line in told.stdout.splitlines() if line.startswith("group ")), "")
            order = [line.find(name) for name in ("IPaddr:", "Filesystem:", "killnfsd", "nfs-common", "nfs-kernel-server")]
            step.check(f"{node.name}: from left to right", -1 not in order and order == sorted(order), seen=line)


def _show(step: Step, text: str) -> None:
    for line in text.splitlines():
        step.did(f"both: {line}")


def _loads(step: Step, node: Guest) -> None:
    told = node.run(["failoverd", "--check"], timeout_s=COMMAND_S, check=False)
    text = told.stdout + told.stderr
    step.check(f"{node.name}: the configuration loads", told.code == 0, seen=f"exit {told.code}: {text.strip()[-400:]}")
    wanted = ["the configuration loads on " + node.name, f"fenced by {plan.SWITCH} plug"]
    step.check("it says who is fenced by what", not readings.lacking(text, wanted), seen=text.strip()[:400])


def refused(table: Table, pair: Pair) -> None:
    """Variants that must not load; each is tried in a folder of its own, on pete."""
    node = pair.pete
    with table.step("13", "a blank after the backslash is refused, with line and column") as step:
        told = _try(node, haresources=files.BLANK_AFTER_BACKSLASH)
        place = f"haresources:{files.BLANK_LINE}:{files.BLANK_COLUMN}: blank after the backslash"
        _is_refused(step, told, place)
    with table.step("10", "authkeys that others can read are refused") as step:
        _is_refused(step, _try(node, authkeys_mode=0o644), "is open to others (mode 0644)")
    with table.step("12", "ucast eth1 without an address, in place of the serial cable") as step:
        _is_refused(step, _try(node, ha_cf=files.WITHOUT_SERIAL), f"ha.cf:{files.UCAST_LINE}", "ucast eth1")
        for one in pair.nodes:
            own = one.plan.nic("eth1")
            one.run(["ip", "addr", "add", f"{own.address}/{own.prefix}", "dev", "eth1"])
            hosts = one.get("/etc/hosts").decode()
            one.put("/etc/hosts", hosts + HEART_NAMES)
            told_code, told_text = _try(one, ha_cf=files.WITHOUT_SERIAL)
            good = told_code == 0 and "over eth1" in told_text
            step.check(f"{one.name}: with 192.168.1.x on eth1, known by the peer's name, it loads", good, seen=told_text[-300:])
            one.put("/etc/hosts", hosts)
            one.run(["ip", "addr", "del", f"{own.address}/{own.prefix}", "dev", "eth1"])


def _try(
    node: Guest,
    *,
    ha_cf: str = files.HA_CF,
    haresources: str = files.HARESOURCES,
    authkeys_mode: int = 0o600,
) -> tuple[int, str]:
    """``failoverd --check`` with these files: exit code, and all it says."""
    node.sh(f"rm -rf {TRIAL}; mkdir {TRIAL}\n")
    node.put(f"{TRIAL}/ha.cf", ha_cf, 0o600)
    node.put(f"{TRIAL}/haresources", haresources)
    node.put(f"{TRIAL}/authkeys", files.AUTHKEYS, authkeys_mode)
    told = node.run(["failoverd", "--check", "--config-dir", TRIAL], timeout_s=COMMAND_S, check=False)
    return told.code, (told.stdout + told.stderr).strip()


def _is_refused(step: Step, told: tuple[int, str], *words: str) -> None:
    code, text = told
    step.check("it is refused with exit code 6", code == 6, seen=f"exit {code}: {text[-300:]}")
    step.check(f"the message has {' and '.join(repr(word) for word in words)}", not readings.lacking(text, words), seen=text[-300:])
