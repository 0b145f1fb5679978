"""The manual pages: everything declared is in them, roff has nothing to object, and the examples are right."""

import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from failover_kit.agents.haresources import agents, parameters_for
from failover_kit.ocf.manpage import crm_example, haresources_word, page, page_name, pcs_example
from failover_kit.spec.parameter import check_all, wrong_parameters
from failover_kit.spec.roff import prose

TOP = Path(__file__).resolve().parents[2]
AGENTS = agents()
each = pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)


def example_of(agent):
    return import_module(agent.text_module).EXAMPLE


def test_there_are_five():
    assert [page_name(agent) for agent in AGENTS] == [
        f"ocf_failover-kit_{name}" for name in ("IPaddr", "Filesystem", "exportfs", "killnfsd", "nfsserver")
    ]


@each
def test_the_sections_are_those_of_man_pages(agent):
    titles = [line.removeprefix(".SH ") for line in page(agent).splitlines() if line.startswith(".SH ")]
    assert titles == [
        "NAME", "SYNOPSIS", "DESCRIPTION", "PARAMETERS", "ACTIONS", "EXIT STATUS", "EXAMPLES", "FILES", "SEE ALSO",
    ]  # fmt: skip


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff: groff-base")
@each
def test_groff_warns_of_nothing_and_shows_everything(agent):
    argv = ["groff", "-man", "-ww", "-K", "ascii", "-T", "ascii", "-rLL=100n", "-P-c"]
    result = subprocess.run(argv, input=page(agent), text=True, capture_output=True, check=False, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    text = " ".join(re.sub(".\x08", "", result.stdout).split())
    for parameter in agent.parameters:
        assert parameter.name in text
        assert not parameter.default or f"default {parameter.default}" in text
    long = import_module(agent.text_module).PARAMETERS
    for words in (import_module(agent.text_module).LONGDESC, *long.values()):
        first = " ".join(words.split())[:50]
        assert first in text
    for action in agent.actions:
        assert f"timeout {action.timeout_s} s" in text
    for line in pcs_example(agent, example_of(agent)) + crm_example(agent, example_of(agent)):
        assert " ".join(line.split()) in text


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="no mandoc")
@each
def test_mandoc_lint(agent):
    argv = ["mandoc", "-T", "lint", "-W", "warning"]
    text = page(agent, "2026-11-26")
    result = subprocess.run(argv, input=text, text=True, capture_output=True, check=False, timeout=60)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr


def test_text_is_never_a_request_or_an_escape():
    assert prose(".so /etc/passwd") == "\\&.so /etc/passwd"
    assert prose("'x \\n ü") == "\\(aqx \\en \\[u00FC]"
    assert prose("with --dry-run (-n), a well-known /a-b") == "with \\-\\-dry\\-run (\\-n), a well-known /a\\-b"
    lines = prose("word " * 15 + "abc .TH " * 30).splitlines()
    assert not [line for line in lines if line.startswith(".")]
    assert max(map(len, lines)) <= 80


@each
def test_examples_are_right(agent):
    """What the page tells people to type passes the agent's own checks."""
    values, problems = check_all(agent.parameters, example_of(agent))
    assert wrong_parameters(values, problems, agent.consistency) == []
    script, *args = haresources_word(agent, example_of(agent)).split("::")
    assert parameters_for(script, args) == example_of(agent)


def test_the_tool_writes_one_file_for_each(tmp_path):
    argv = [sys.executable, "-I", TOP / "tools/manpages.py", tmp_path]
    subprocess.run(argv, check=True, env={**os.environ, "SOURCE_DATE_EPOCH": "86400"}, timeout=60)
    assert {file.name for file in tmp_path.iterdir()} == {"man1", "man5", "man7", "man8"}
    assert {file.name for file in (tmp_path / "man7").iterdir()} == {f"{page_name(agent)}.7" for agent in AGENTS}
    commands = {"failoverctl.8", "failoverd.8", "fence_wti_ips800.8", "failover-kit-compat.8"}
    assert {file.name for file in (tmp_path / "man8").iterdir()} == commands
    for file in tmp_path.glob("man?/*"):
        assert f'"{file.suffix[1:]}" "1970-01-02" "failover-kit ' in file.read_text()
