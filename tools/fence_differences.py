#!/usr/bin/python3
"""What differs between our fence agent's metadata and Debian's fence_wti's, each difference explained.

    tools/fence_differences.py            write docs/fence-agent-differences.md and the option table in
                                          docs/fence-agent.md
    tools/fence_differences.py --check    exit 1 when they are out of date or a difference has no explanation

The page needs fence_wti (package fence-agents); the option table needs nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "lib"))

from failover_kit.fence.metadata import metadata_xml  # noqa: E402 - its place is known only now
from failover_kit.fence.options import OPTIONS  # noqa: E402

STOCK = "/usr/sbin/fence_wti"
PAGE = os.path.join(ROOT, "docs", "fence-agent-differences.md")
GUIDE = os.path.join(ROOT, "docs", "fence-agent.md")
TABLE_BEGIN, TABLE_END = "<!-- options: made by tools/fence_differences.py -->", "<!-- end of options -->"

# Why a parameter is only ours. Every one must be here.
ONLY_OURS = {
    "baud": "speed of the serial line",
    "ca_file": "which certificates to trust for REST",
    "delay_random": "a random part of the delay, stated in the log; else only Pacemaker's pcmk_delay_max has one",
    "password_env": "password from a variable of the environment, which other users cannot read",
    "password_file": "password from a file, which no `ps` shows and no CIB holds",
    "rest": "the REST interface of current units",
    "serial": "the console port: works when the network does not",
    "ssl_insecure": "for a unit whose certificate nobody copied; named as other fence agents name it",
    "timeout": "one bound for the whole operation",
}
# Why a parameter both have is described differently: (parameter, what) to words; the last entry counts for all.
EXPLAINED = {
    ("ip", "required"): "not needed with `serial`; without `serial` its absence is an error with fence_wti's words",
    ("ipaddr", "required"): "as for `ip`",
    ("verbose_level", "getopt"): "fence_wti takes a value, too, but does not say so here",
}
BY_KIND = {
    "shortdesc": "ours says what the option does here",
    "getopt": "only the word between the brackets",
}
IN_THE_HEAD = {
    "shortdesc": "names the devices",
    "longdesc": "says what success means and what was never seen on hardware",
    "vendor-url": "https",
}
# What metadata cannot say, for whoever changes from one to the other.
BEHAVIOUR = (
    ("`option=off` on standard input", "is ignored, and the default reboot is done", "is `action=off`"),
    ("a flag given as false (`ssh=0`)", "counts as given; ends in a traceback", "is false"),
    ("several plugs, `on`", "done when one of them is ON", "done when all are ON"),
    ("a plug that is not on the device, in a list", "is hidden by the others", "an error, nothing is switched"),
    ("plug names", "listed, but cannot be fenced", "work everywhere a number does"),
    ("`off` of a plug that reads OFF", "sends nothing", "sends OFF all the same (it may be in a /BOOT)"),
    ("under Pacemaker", "waits without end", "ends; `disable_timeout` changes nothing"),
    ("`power_timeout`", "counts looks", "counts seconds"),
    ("`retry_on=0` and reboot", "never switches on again", "switches on once"),
    ("`list`, groups", "the name twice, the state lost", "the name once, the state in list-status"),
    ("`list`, a plug without a name", "`(undefined)`, about which Pacemaker warns", "an empty alias"),
    ("`verbose`", "writes the password to stderr and syslog", "writes `***`"),
    ("a strange ssh host key", "is accepted, and the password sent", "is an error that names the remedy"),
    ("`command_prompt='IPS>'`", "matches any of its letters; times out", "matches the prompt"),
    ("on any error", "leaves the session open", "leaves with /X,Y"),
    ("an argument without an option", "a warning; the default reboot is done", "an error"),
    ("`password_script`", "runs through a shell", "runs without one; quotes work, pipes do not"),
    ("an old and a new name with different values", "the later one counts", "an error: nobody knows who was meant"),
    ("`ACTION=off`, `action: off` on standard input", "a warning; the default reboot is done", "an error"),
    ("a flag that is neither true nor false (`quiet=maybe`)", "a warning", "an error"),
    ("`monitor` with a plug", "the plug is not looked for", "an error when it is not on the device"),
    ("a plug `01`, `0` or an empty one (`,5`)", "an error only when switching", "an error for every action"),
    ("`-V`", "the version", "name and version"),
    ("`validate-all`", "knows nothing of password sources", "looks at files, programs, variables"),
)  # fmt: skip


class Unexplained(Exception):
    """A difference nobody wrote a reason for."""


def stock_xml() -> str:
    """fence_wti's metadata."""
    done = subprocess.run([STOCK, "-o", "metadata"], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def facts(parameter: ET.Element) -> dict[str, str]:
    """What one parameter's description says, flat."""
    found = {name: value for name, value in parameter.attrib.items() if name != "name"}
    content = parameter.find("content")
    if content is not None:
        found["type"] = content.get("type", "")
        found["default"] = content.get("default", "")
    getopt = parameter.find("getopt")
    found["getopt"] = getopt.get("mixed", "") if getopt is not None else ""
    found["shortdesc"] = parameter.findtext("shortdesc", "")
    return found


def parameters(xml: str) -> dict[str, dict[str, str]]:
    return {node.get("name", ""): facts(node) for node in ET.fromstring(xml).iter("parameter")}  # noqa: S314 - our own and the distribution's


def differences(ours: str, stock: str) -> list[tuple[str, str, str, str, str]]:
    """(parameter, what, theirs, ours, why) for each difference. Raises Unexplained."""
    rows = []
    mine, theirs = parameters(ours), parameters(stock)
    for name in sorted(set(mine) | set(theirs)):
        if name not in mine:
            raise Unexplained(f"{name} is missing here")
        if name not in theirs:
            if name not in ONLY_OURS:
                raise Unexplained(f"{name} is only here and has no reason in ONLY_OURS")
            rows.append((name, "parameter", "", "new", ONLY_OURS[name]))
            continue
        for what in sorted(set(mine[name]) | set(theirs[name])):
            left, right = theirs[name].get(what, ""), mine[name].get(what, "")
            if left == right:
                continue
            why = EXPLAINED.get((name, what)) or BY_KIND.get(what)
            if why is None:
                raise Unexplained(f"{name}: {what} is '{right}' and not '{left}', without a reason in EXPLAINED")
            rows.append((name, what, left, right, why))
    for what in ("shortdesc", "longdesc", "vendor-url"):
        left, right = head(stock, what), head(ours, what)
        if left != right:
            rows.append(("(head)", what, left, right, IN_THE_HEAD[what]))
    return rows


def head(xml: str, what: str) -> str:
    root = ET.fromstring(xml)  # noqa: S314 - our own and the distribution's
    return root.get(what) or root.findtext(what, "")


def actions(xml: str) -> list[tuple[str, ...]]:
    return sorted(tuple(sorted(node.attrib.items())) for node in ET.fromstring(xml).iter("action"))  # type: ignore[misc]  # noqa: S314


def cell(text: str) -> str:
    short = " ".join(text.split()).replace("|", "\\|")
    return short if len(short) <= 70 else short[:67] + "…"


def page(ours: str, stock: str) -> str:
    """The whole page. Raises Unexplained."""
    if actions(ours) != actions(stock):
        raise Unexplained("the actions differ")
    rows = differences(ours, stock)
    big = [row for row in rows if row[1] not in BY_KIND]
    small = [row for row in rows if row[1] in BY_KIND and row[0] != "(head)"]
    lines = [
        "# fence_wti_ips800 beside fence_wti",
        "",
        "Made by `tools/fence_differences.py` from the metadata of both (fence-agents 4.12.1, Debian 12); a test "
        "compares. Everything not named here is the same: names, old names, types, defaults, actions.",
        "",
        "## In the metadata",
        "",
        "| parameter | what | fence_wti | fence_wti_ips800 | why |",
        "| --- | --- | --- | --- | --- |",
        *(f"| {name} | {what} | {cell(left)} | {cell(right)} | {why} |" for name, what, left, right, why in big),
        "",
        "Other words for the same thing:",
        "",
        "| parameter | what | fence_wti | fence_wti_ips800 |",
        "| --- | --- | --- | --- |",
        *(f"| {name} | {what} | {cell(left)} | {cell(right)} |" for name, what, left, right, _ in small),
        "",
        "## In what they do",
        "",
        "| case | fence_wti | fence_wti_ips800 |",
        "| --- | --- | --- |",
        *(f"| {case} | {theirs} | {mine} |" for case, theirs, mine in BEHAVIOUR),
        "",
    ]
    return "\n".join(lines)


def option_table() -> str:
    """The options as a table for the guide, from the declarations."""
    lines = ["| option | stdin | default | meaning |", "| --- | --- | --- | --- |"]
    for option in sorted(OPTIONS, key=lambda option: (option.order, option.name)):
        names = ", ".join(f"`{name}`" for name in (option.name, *option.old)) if option.on_stdin else ""
        default = f"`{option.default}`".replace("|", "\\|") if option.default else ""
        lines.append(f"| `{option.getopt}` | {names} | {default} | {cell_whole(option.shortdesc)} |")
    return "\n".join(lines)


def cell_whole(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def with_table(guide: str) -> str:
    """``guide`` with the option table between its two marks."""
    before, _, rest = guide.partition(TABLE_BEGIN)
    _, _, after = rest.partition(TABLE_END)
    return f"{before}{TABLE_BEGIN}\n{option_table()}\n{TABLE_END}{after}"


def main() -> int:
    check = sys.argv[1:] == ["--check"]
    with open(GUIDE, encoding="utf-8") as file:
        guide = file.read()
    wanted = {GUIDE: with_table(guide)}
    if os.path.exists(STOCK):
        wanted[PAGE] = page(metadata_xml("fence_wti"), stock_xml())
    stale = []
    for path, text in wanted.items():
        known = ""
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                known = file.read()
        if known != text:
            stale.append(os.path.relpath(path, ROOT))
            if not check:
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
    if stale:
        sys.stdout.write(("out of date: " if check else "written: ") + ", ".join(stale) + "\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
