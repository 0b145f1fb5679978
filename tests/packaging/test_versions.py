"""One version number: lib/failover_kit/__init__.py has it, and everything else says the same."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

from failover_kit import VERSION
from failover_kit.agents.haresources import agents
from failover_kit.cli import manuals
from failover_kit.ocf.manpage import page
from failover_kit.rehearsal import manuals as rehearsed

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import emulator_page

TOP = pathlib.Path(__file__).resolve().parents[2]


def test_the_newest_entry_of_the_debian_changelog_has_the_version() -> None:
    first = (TOP / "debian" / "changelog").read_text().splitlines()[0]
    assert first.startswith(f"failover-kit ({VERSION}) ")


def test_the_spec_has_the_version_in_its_tag_and_its_newest_entry() -> None:
    spec = (TOP / "rpm" / "failover-kit.spec").read_text()
    assert re.findall(r"^Version: *(\S+)$", spec, re.M) == [VERSION]
    release = re.findall(r"^Release: *(\S+)$", spec, re.M)[0]
    newest = spec.partition("%changelog\n")[2].splitlines()[0]
    assert newest.endswith(f" - {VERSION}-{release}")


def test_pip_takes_it_from_the_library() -> None:
    assert "version = attr: failover_kit.VERSION" in (TOP / "setup.cfg").read_text()


def test_every_manual_page_has_it_in_its_first_line() -> None:
    commands = manuals.pages() | rehearsed.pages() | emulator_page.pages()
    texts = [*commands.values(), *(page(agent) for agent in agents())]
    assert len(texts) >= 10
    for text in texts:
        assert f'"failover-kit {VERSION}"' in text.splitlines()[0]


@pytest.mark.parametrize("program", ["bin/failoverd", "bin/failoverctl", "stonith/fence_wti_ips800"])
def test_the_programs_say_it(program: str) -> None:
    done = subprocess.run([str(TOP / program), "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split()[-1] == VERSION


def test_the_changelog_for_users_has_a_heading_for_it_or_for_what_becomes_it() -> None:
    heading = re.findall(r"^## (.*)$", (TOP / "CHANGELOG.md").read_text(), re.M)[0]
    assert heading == "Unreleased" or heading.split()[0] == VERSION


def test_the_maintainer_is_the_same_in_all_packages() -> None:
    """One address, so that who publishes the packages has one thing to replace (docs/design/0050)."""
    debian = TOP / "debian"
    (control,) = re.findall(r"^Maintainer: (.*)$", (debian / "control").read_text(), re.M)
    newest = re.findall(r"^ -- (.*>)  ", (debian / "changelog").read_text(), re.M)[0]
    spec = (TOP / "rpm" / "failover-kit.spec").read_text().partition("%changelog\n")[2].splitlines()[0]
    assert newest == control
    assert f" {control} - " in spec
