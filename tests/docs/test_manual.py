"""The manual: every directive is on the page of ha.cf, its examples load, roff has no objections."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess

import pytest

from docs import TOP
from failover_kit.cli import filemanuals
from failover_kit.manager import authkeys, hacf, haresources
from failover_kit.manager.configtext import time_ms
from failover_kit.stonith import arguments as stonith

OPTIONS = [(option.spelling, option.text) for option in stonith.OPTIONS]
PAGES = filemanuals.pages("2026-11-26", OPTIONS)


def _rows(manual: filemanuals.FileManual, title: str) -> dict[str, str]:
    return dict(dict(manual.tables)[title])


def test_every_directive_is_on_the_page() -> None:
    written = {spelling.split()[0] for spelling in _rows(filemanuals.HA_CF, "DIRECTIVES")}
    assert written == {*hacf._SINGLE, *hacf._SEVERAL, *hacf._WHOLE_LINE}
    assert set(_rows(filemanuals.HA_CF, "DIRECTIVES WITHOUT MEANING")) == set(hacf.WITHOUT_MEANING)


def test_the_defaults_on_the_page_are_those_of_the_parser() -> None:
    """What a file that leaves them out is read as."""
    config = hacf.parse("node pete mclaws\nserial /dev/ttyS0\n").value
    assert config is not None
    said = {spelling.split()[0]: re.search(r"Default (\w+)( s| min)?\.", text)
            for spelling, text in _rows(filemanuals.HA_CF, "DIRECTIVES").items()}  # fmt: skip
    values = {name: found[1] for name, found in said.items() if found is not None}
    assert values["keepalive"] == str(config.timing.keepalive_ms // 1000)
    assert values["deadtime"] == str(config.timing.deadtime_ms // 1000)
    assert values["monitor_interval"] == str(config.monitor_interval_ms // 1000)
    assert values["op_timeout"] == str(config.op_timeout_ms // 1000)
    assert values["monitor_failures"] == str(config.monitor_failures)
    assert values["fence_action"] == config.fence_action.value
    assert values["baud"] == str(config.links[0].baud)
    assert values["fence_prove_timeout"] == str(hacf.DEFAULT_PROVE_TIMEOUT_MS // 60_000)
    assert (values["boot_alone"], values["ping_failover"], values["auto_failback"]) == ("no", "off", "off")
    assert time_ms("60") == hacf.FAILBACK_DELAY_MS and values["auto_failback_delay"] == "60"


def test_the_examples_load() -> None:
    assert not hacf.parse("\n".join(filemanuals.HA_CF.examples[0].lines) + "\n").problems
    assert not haresources.parse(
        "\n".join(filemanuals.HARESOURCES.examples[0].lines) + "\n", ("pete", "mclaws")
    ).problems


def test_the_lines_of_authkeys_are_accepted() -> None:
    lines = list(_rows(filemanuals.AUTHKEYS, "LINES"))
    assert [line.split()[0] for line in lines] == ["auth", "N", "N", "N", "N"]
    assert {line.split()[1] for line in lines[1:]} == set(authkeys._METHODS)


def test_the_commands_of_the_compat_page_are_there() -> None:
    named = {spelling.split()[0] for spelling in _rows(filemanuals.COMPAT, "COMMANDS")}
    assert named - {"stonith", "fence_wti"} == {p.name for p in (TOP / "compat").iterdir() if p.is_file()}


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="no mandoc")
@pytest.mark.parametrize("name", PAGES)
def test_mandoc_lint(name: str) -> None:
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning"], input=PAGES[name], text=True,
                          capture_output=True, timeout=60, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_pages_named_by_pages_are_ours_or_known(tmp_path: pathlib.Path) -> None:
    """SEE ALSO leads to pages that are written, or to those of programs that Debian has."""
    subprocess.run(
        ["/usr/bin/python3", "-IB", str(TOP / "tools" / "manpages.py"), str(tmp_path)], timeout=120, check=True
    )
    written = {f"{p.stem}({p.suffix[1:]})" for p in tmp_path.glob("man?/*")}
    others = {"fence_wti(8)", "pacemaker-fenced(7)", "stonith_admin(8)", "systemctl(1)", "crm_resource(8)"}
    for path in tmp_path.glob("man?/*"):
        text = path.read_text().partition(".SH SEE ALSO\n")[2].partition("\n.SH")[0]
        for name, section in re.findall(r"\\fB([^\\]*(?:\\-[^\\]*)*)\\fR\((\d)\)", text):
            page = f"{name}({section})".replace("\\-", "-")
            assert page in written | others or (page[0].islower() and "failover" not in page), (
                f"{path.name}: {page}"
            )
