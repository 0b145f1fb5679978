"""The metadata before its consumers: fence-agents' schema, fence_wti's own metadata, Pacemaker."""

from __future__ import annotations

import os
import subprocess

import pytest
from lxml import etree

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
AGENT = os.path.join(ROOT, "stonith", "fence_wti_ips800")
SCHEMA = "/usr/share/cluster/relaxng/metadata.rng"
STOCK = "/usr/sbin/fence_wti"

# Parameters of fence_wti that this agent does not have (yet), and why.
NOT_HERE = {
    "cmd_prompt": "prompts are recognised by their form",
    "command_prompt": "prompts are recognised by their form",
    "identity_file": "no ssh transport yet",
    "ssh_options": "no ssh transport yet",
    "ssh_path": "no ssh transport yet",
    "telnet_path": "no telnet program is used",
}
ONLY_HERE = {"password_file", "timeout"}


def run(*argv: str, stdin: str = "") -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def parameters(xml: str) -> dict[str, etree._Element]:
    return {str(node.get("name")): node for node in etree.fromstring(xml.encode()).iter("parameter")}


@pytest.mark.parametrize("name", ["fence_wti_ips800", "fence_wti"])
def test_the_schema_of_fence_agents_accepts_it(name: str, tmp_path: object) -> None:
    program = os.path.join(str(tmp_path), name)
    os.symlink(AGENT, program)
    xml = run(program, "-o", "metadata")
    done = subprocess.run(
        ["xmllint", "--noout", "--relaxng", SCHEMA, "-"], input=xml, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert etree.fromstring(xml.encode()).get("name") == name


@pytest.mark.parametrize("lines", ["action=metadata\n", "action=meta-data\n", "option=metadata\nip=h\n"])
def test_stdin_gives_the_same_as_argv(lines: str) -> None:
    assert run(AGENT, stdin=lines) == run(AGENT, "--action=metadata")


def test_it_has_what_fence_wti_has() -> None:
    ours, stock = parameters(run(AGENT, "-o", "metadata")), parameters(run(STOCK, "-o", "metadata"))
    assert set(stock) - set(ours) == {name for name in NOT_HERE if name in stock}
    assert set(ours) - set(stock) == ONLY_HERE
    for name in set(ours) & set(stock):
        for attribute in ("unique", "required", "deprecated", "obsoletes"):
            assert ours[name].get(attribute) == stock[name].get(attribute), (name, attribute)
        mine, theirs = ours[name].find("content"), stock[name].find("content")
        assert mine is not None
        assert theirs is not None
        assert (mine.get("type"), mine.get("default")) == (theirs.get("type"), theirs.get("default")), name


def test_the_actions_are_fence_wtis() -> None:
    def actions(program: str) -> dict[str, dict[str, str]]:
        tree = etree.fromstring(run(program, "-o", "metadata").encode())
        return {str(node.get("name")): dict(node.attrib) for node in tree.iter("action")}

    stock = actions(STOCK)
    del stock["manpage"]
    assert actions(AGENT) == stock


def test_the_document_transforms_of_fence_agents_read_it(tmp_path: object) -> None:
    source = os.path.join(str(tmp_path), "metadata.xml")
    with open(source, "w", encoding="utf-8") as file:
        file.write(run(AGENT, "-o", "metadata"))
    page = run("xsltproc", os.path.join(os.path.dirname(SCHEMA), "fence2man.xsl"), source)
    assert "password_file" in page
    assert "nproven on hardware" in page


@pytest.mark.root
def test_pacemaker_shows_it(tmp_path: object) -> None:
    """In a private mount namespace our agent stands where Pacemaker looks for fence_wti."""
    wrapper = os.path.join(str(tmp_path), "fence_wti")
    with open(wrapper, "w", encoding="ascii") as file:
        file.write(f'#!/bin/sh\nexec "{AGENT}" "$@"\n')
    os.chmod(wrapper, 0o755)
    script = f'mount --bind "$1" {STOCK} && exec crm_resource --show-metadata stonith:fence_wti'
    shown = run("unshare", "-m", "sh", "-c", script, "sh", wrapper)
    assert "WTI IPS-800" in shown
    assert 'name="plug"' in shown
