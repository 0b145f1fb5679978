"""Configuration in the pages is read by the real parsers, and what is marked to be run is run."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess

import docpages
import pytest

from docs import TOP, commands
from failover_kit.manager import hacf, haresources

FOUND = [docpages.read(path) for path in docpages.pages() if path.name != "CHANGELOG.md"]
DIRECTIVES = {*hacf._SINGLE, *hacf._SEVERAL, *hacf._WHOLE_LINE} - {"stonith"}  # which is a command, too
BASE = {
    "node": "node pete mclaws",
    "serial": "serial /dev/ttyS0",
    "fence_device": "fence_device b fence_wti_ips800 ip=192.0.2.9 password_file=x plug.pete=1 plug.mclaws=5",
}


def _kind(block: docpages.Block) -> str:
    """ "ha.cf" or "haresources" for a block that is one, by its mark or by what its lines begin with."""
    if block.comment.startswith("config:"):
        return block.comment.partition(":")[2].strip()
    if block.language == "text" or block.comment.startswith("not ours"):
        return ""
    lines = [line for line in block.lines if line.strip() and not line.startswith((" ", "#"))]
    if lines and all((line.split()[0] in DIRECTIVES and len(line.split()) > 1) for line in lines):
        return "ha.cf"
    if lines and all(
        re.match(r"(pete|mclaws) +[\w.:/-]+::|(pete|mclaws) +(IPaddr|Filesystem|\d+\.)", line) for line in lines
    ):
        return "haresources"
    return ""


def _examples(kind: str) -> list[tuple[str, str]]:
    return [(f"{page.name}:{block.line}", "\n".join(block.lines)) for page in FOUND for block in page.blocks
            if _kind(block) == kind]  # fmt: skip


def _whole(text: str) -> str:
    """A fragment of ha.cf with what it leaves out: two nodes, a link, a device for each of them."""
    given = {line.split()[0] for line in text.split("\n") if line.strip()}
    devices = {"fence_device", "stonith_host", "fence_level", "fence_trust"}
    wanted = [
        line
        for name, line in BASE.items()
        if name not in given and not (name == "fence_device" and given & devices)
    ]
    return "\n".join([*wanted, text, ""])


@pytest.mark.parametrize(
    ("place", "text"), _examples("ha.cf"), ids=lambda v: v if ":" in v and "\n" not in v else ""
)
def test_fragments_of_ha_cf_are_read(place: str, text: str) -> None:
    assert not hacf.parse(_whole(text)).problems, place


@pytest.mark.parametrize(
    ("place", "text"), _examples("haresources"), ids=lambda v: v if ":" in v and "\n" not in v else ""
)
def test_lines_of_haresources_are_read(place: str, text: str) -> None:
    for line in re.sub(r"\\\n\s*", " ", text).split("\n"):  # one at a time: pages show several ways to write one
        assert not haresources.parse(line + "\n", ("pete", "mclaws")).problems or not line.strip(), place


def test_examples_are_found_at_all() -> None:
    assert len(_examples("ha.cf")) >= 3
    assert len(_examples("haresources")) >= 2


def test_a_wrong_example_is_found() -> None:
    assert hacf.parse(_whole("deadtime 10 seconds")).problems
    assert hacf.parse(_whole("deathtime 10")).problems


def _run(words: list[str], folder: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """A command of a page, from the checkout, on files of its own."""
    words = [str(TOP / "bin" / words[0]), *words[1:], "--config-dir", str(folder)]
    if words[0].endswith("failoverd") or words[1] == "budget":
        words += ["--node", "pete"]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(folder)}
    return subprocess.run(words, capture_output=True, text=True, timeout=120, env=environment, check=False,
                          stdin=subprocess.DEVNULL)  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="failoverd --check reads files of root")
def test_the_story_makes_files_that_failoverd_loads(tmp_path: pathlib.Path) -> None:
    """Its marked blocks in their order: first no files, then init, then the checks of what init wrote."""
    page = next(page for page in FOUND if page.name == "docs/howto/the-story.md")
    bare = _run(["failoverd", "--check"], tmp_path)
    assert bare.returncode == 6
    text = page.path.read_text()
    for line in bare.stderr.replace(str(tmp_path), "/etc/ha.d").strip().split("\n"):
        assert f"    {line}\n" in text
    marked = [block for block in page.blocks if block.comment.startswith("run:")]
    assert [block.comment for block in marked] == ["run: init", "run: check"]
    done = []
    for block in marked:
        only = docpages.Page(page.path, (), (), (), (block,), ())
        for _, line in commands.shown(only):
            for call in commands.calls(line):
                if call[0] in ("failoverd", "failoverctl"):
                    result = _run(call, tmp_path)
                    assert result.returncode == 0, f"{call}: {result.stdout}{result.stderr}"
                    done.append(" ".join(call[:2]))
    assert done == ["failoverctl init", "failoverd --check", "failoverctl budget"]
