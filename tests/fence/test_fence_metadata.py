"""The metadata before its consumers: fence-agents' schema, fence_wti's own metadata, Pacemaker."""

from __future__ import annotations

import os
import runpy
import subprocess

import pytest
from lxml import etree

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
AGENT = os.path.join(ROOT, "stonith", "fence_wti_ips800")
SCHEMA = "/usr/share/cluster/relaxng/metadata.rng"
STOCK = "/usr/sbin/fence_wti"

TOOL = os.path.join(ROOT, "tools", "fence_differences.py")
needs_stock = pytest.mark.skipif(not os.path.exists(STOCK), reason="fence-agents is not installed")


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


@pytest.mark.parametrize(
    "lines", ["action=metadata\n", "action=meta-data\n", "option=metadata\nip=h\n", "action=manpage\n"]
)
def test_stdin_gives_the_same_as_argv(lines: str) -> None:
    assert run(AGENT, stdin=lines) == run(AGENT, "--action=metadata")


def test_the_pages_made_from_the_declarations_are_up_to_date() -> None:
    """Without fence-agents only the table of options is compared."""
    done = subprocess.run(["/usr/bin/python3", TOOL, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr + "; run tools/fence_differences.py and commit the pages"


@needs_stock
def test_every_difference_to_fence_wti_has_a_reason() -> None:
    with open(os.path.join(ROOT, "docs", "fence-agent-differences.md"), encoding="utf-8") as file:
        page = file.read()
    ours, stock = parameters(run(AGENT, "-o", "metadata")), parameters(run(STOCK, "-o", "metadata"))
    assert set(stock) <= set(ours), "a parameter of fence_wti is missing"
    for name in set(ours) - set(stock):
        assert f"| {name} | parameter |" in page
    for name in set(stock):
        for attribute in ("unique", "required", "deprecated", "obsoletes"):
            if ours[name].get(attribute) != stock[name].get(attribute):
                assert f"| {name} | {attribute} |" in page
        mine, theirs = ours[name].find("content"), stock[name].find("content")
        assert mine is not None
        assert theirs is not None
        assert (mine.get("type"), mine.get("default")) == (theirs.get("type"), theirs.get("default")), name


@needs_stock
@pytest.mark.parametrize(
    "damage",
    [
        ('name="retry_on"', 'name="nobody_explained_this"'),
        ('content type="second" default="20"', 'content type="second" default="21"'),
        ('action name="manpage"', 'action name="diag"'),
    ],
)
def test_an_unexplained_difference_is_noticed(damage: tuple[str, str]) -> None:
    tool = runpy.run_path(TOOL, run_name="tool")
    ours = run(AGENT, "-o", "metadata")
    assert damage[0] in ours
    with pytest.raises(tool["Unexplained"]):
        tool["page"](ours.replace(*damage), run(STOCK, "-o", "metadata"))


@needs_stock
def test_the_actions_are_fence_wtis() -> None:
    def actions(program: str) -> dict[str, dict[str, str]]:
        tree = etree.fromstring(run(program, "-o", "metadata").encode())
        return {str(node.get("name")): dict(node.attrib) for node in tree.iter("action")}

    assert actions(AGENT) == actions(STOCK)


def test_it_says_what_is_unproven_for_each_way_and_dialect() -> None:
    text = etree.fromstring(run(AGENT, "-o", "metadata").encode()).findtext("longdesc") or ""
    unproven = text.partition("Unproven on hardware")[2]
    for word in ("telnet", "serial", "ssh", "REST", "IPS", "NPS", "TPS", "MPC", "VMR", "RSM"):
        assert word in unproven, word


def test_metadata_and_a_status_over_tcp_need_no_optional_library() -> None:
    """They are not imported: neither the missing nor the slow ones."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "sys.argv = f'fence_wti -o {sys.argv[2]} -a 127.0.0.1 -u 1 -n 1 --login-timeout=0.1'.split()\n"
        "from failover_kit.fence.agent import main\n"
        "main(sys.argv)\n"
        "print('IMPORTED', sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    for action in ("metadata", "status"):
        done = subprocess.run(
            ["/usr/bin/python3", "-I", "-c", script, os.path.join(ROOT, "lib"), action],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        imported = done.stdout.partition("IMPORTED")[2]
        for name in ("pexpect", "ptyprocess", "serial", "ssl", "http", "json", "lxml", "argparse", "logging"):
            assert f"'{name}'" not in imported, (action, name)


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
    assert "IPS-800" in shown
    assert 'name="plug"' in shown
