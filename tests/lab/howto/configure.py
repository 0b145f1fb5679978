"""Steps 10 to 14: the three files, and what must be refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import plan
from lab.howto import files, readings
from lab.howto.pair import COMMAND_S, Pair, both, brief
from lab.report import Step, Table

if TYPE_CHECKING:
    from lab.guest import Guest, Result

FOLDER = "/etc/ha.d"
TRIAL = "/run/trial.ha.d"
ORDER = ("IPaddr:", "Filesystem:", "killnfsd", "nfs-common", "nfs-kernel-server")
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
        loaded = pair.on_both(["failoverd", "--check"], check=False)
        for node, told in zip(pair.nodes, loaded, strict=True):
            _loads(step, node, told)
    with table.step("14", "the order of the document is taken as written: the address first") as step:
        for node, told in zip(pair.nodes, loaded, strict=True):
            line = next((line for line in told.stdout.splitlines() if line.startswith("group ")), "")
            order = [line.find(name) for name in ORDER]
            step.check(f"{node.name}: from left to right", -1 not in order and order == sorted(order), seen=line)
    refused(table, pair)


def _show(step: Step, text: str) -> None:
    for line in text.splitlines():
        step.did(f"both: {line}")


def _loads(step: Step, node: Guest, told: Result) -> None:
    text = told.stdout + told.stderr
    step.check(f"{node.name}: the configuration loads", told.code == 0, seen=_first(told))
    wanted = ["the configuration loads on " + node.name, f"fenced by {plan.SWITCH} plug"]
    fenced = next((line for line in text.splitlines() if " is fenced by " in line), "")
    step.check("it says who is fenced by what", not readings.lacking(text, wanted), seen=fenced or brief(text))


def _first(told: Result) -> str:
    """The first line says what was loaded; when nothing was, the last ones say why."""
    text = told.stdout + told.stderr
    return text.splitlines()[0] if told.code == 0 and text else f"exit {told.code}: {brief(text)}"


def refused(table: Table, pair: Pair) -> None:
    """Variants that must not load; each is tried in a folder of its own."""
    with table.step("13", "a blank after the backslash is refused, with line and column") as step:
        refusal = _try(pair.pete, haresources=files.BLANK_AFTER_BACKSLASH)
        place = f"haresources:{files.BLANK_LINE}:{files.BLANK_COLUMN}: blank after the backslash"
        _is_refused(step, refusal, place)
    with table.step("10", "authkeys that others can read are refused") as step:
        _is_refused(step, _try(pair.mclaws, authkeys_mode=0o644), "is open to others (mode 0644)")
    with table.step("12", "ucast eth1 without an address, in place of the serial cable") as step:
        step.did("eth1 has no address, as in the document")
        refusal = _try(pair.pete, ha_cf=files.WITHOUT_SERIAL)
        _is_refused(step, refusal, f"ha.cf:{files.UCAST_LINE}", "write ucast eth1 ADDRESS")
        step.did("192.168.1.1 and 192.168.1.2 on eth1, and in /etc/hosts as the nodes' names, too")
        hosts = [node.get("/etc/hosts") for node in pair.nodes]
        tried = both(pair.nodes, _derived)
        for node, own in zip(pair.nodes, hosts, strict=True):
            node.put("/etc/hosts", own)
        for node, told in zip(pair.nodes, tried, strict=True):
            text = told.stdout + told.stderr
            good = told.code == 0 and " over eth1" in text
            step.check(f"{node.name}: the peer's address is derived, and it loads", good, seen=_first(told))


def _derived(node: Guest) -> Result:
    own = node.plan.nic("eth1")
    node.run(["ip", "addr", "add", f"{own.address}/{own.prefix}", "dev", "eth1"])
    node.put("/etc/hosts", node.get("/etc/hosts").decode() + HEART_NAMES)
    told = _check(node, ha_cf=files.WITHOUT_SERIAL)
    node.run(["ip", "addr", "del", f"{own.address}/{own.prefix}", "dev", "eth1"])
    return told


def _try(
    node: Guest, *, ha_cf: str = files.HA_CF, haresources: str = files.HARESOURCES, authkeys_mode: int = 0o600
) -> tuple[int, str]:
    """``failoverd --check`` with these files: exit code, and all it says."""
    told = _check(node, ha_cf=ha_cf, haresources=haresources, authkeys_mode=authkeys_mode)
    return told.code, (told.stdout + told.stderr).strip()


def _check(
    node: Guest, *, ha_cf: str = files.HA_CF, haresources: str = files.HARESOURCES, authkeys_mode: int = 0o600
) -> Result:
    node.sh(f"rm -rf {TRIAL}; mkdir {TRIAL}\n")
    node.put(f"{TRIAL}/ha.cf", ha_cf, 0o600)
    node.put(f"{TRIAL}/haresources", haresources)
    node.put(f"{TRIAL}/authkeys", files.AUTHKEYS, authkeys_mode)
    return node.run(["failoverd", "--check", "--config-dir", TRIAL], timeout_s=COMMAND_S, check=False)


def _is_refused(step: Step, told: tuple[int, str], *words: str) -> None:
    code, text = told
    step.check("it is refused with exit code 6", code == 6, seen=f"exit {code}")
    names = " and ".join(repr(word) for word in words)
    step.check(f"the message has {names}", not readings.lacking(text, words), seen=brief(text))
