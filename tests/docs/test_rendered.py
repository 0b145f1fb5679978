"""The pages as cmark-gfm reads them: headings, code and links as in our own reading; and all of it rendered."""

from __future__ import annotations

import html
import pathlib
import re
import subprocess
import urllib.parse

import docpages
import pytest

from docs import TOP

pytestmark = pytest.mark.release
TOOL = TOP / "tools" / "docs.py"


def _html(path: pathlib.Path) -> str:
    done = subprocess.run(["cmark-gfm", "--to", "html", "--extension", "table", str(path)], capture_output=True,
                          text=True, timeout=60, check=True)  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("path", docpages.pages(), ids=lambda p: str(p.relative_to(TOP)))
def test_our_reading_is_the_one_of_cmark_gfm(path: pathlib.Path) -> None:
    page, text = docpages.read(path), _html(path)
    headings = [
        html.unescape(re.sub("<[^>]+>", "", words)) for words in re.findall(r"<h[1-6]>(.*?)</h[1-6]>", text, re.S)
    ]
    assert docpages.anchors_of(headings) == page.anchors
    code = re.findall(r"<pre[^>]*><code[^>]*>(.*?)</code></pre>", text, re.S)
    theirs = [[line.strip() for line in html.unescape(block).split("\n") if line.strip()] for block in code]
    assert theirs == [[line.strip() for line in block.lines if line.strip()] for block in page.blocks]
    links = [html.unescape(urllib.parse.unquote(link)) for link in re.findall(r'(?:href|src)="([^"]*)"', text)]
    assert sorted(links) == sorted(link.target for link in page.links)


def test_everything_is_rendered_and_every_link_of_it_leads_somewhere(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "docs"
    done = subprocess.run([str(TOOL), str(target)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    rendered = list(target.rglob("*.html"))
    assert len(rendered) > len(docpages.pages())
    anchors = {path: set(re.findall(r'\bid="([^"]*)"', path.read_text())) for path in rendered}
    problems = []
    for path in rendered:
        for link in re.findall(r'(?:href|src)="([^"]*)"', path.read_text()):
            name, _, anchor = html.unescape(urllib.parse.unquote(link)).partition("#")
            if re.match(r"[a-z]+:", name):
                continue
            to = (path.parent / name).resolve() if name else path
            if not to.exists() or (anchor and to in anchors and anchor not in anchors[to]):
                problems.append(f"{path.relative_to(target)}: {link}")
    assert not problems, "\n".join(problems)
    index = (target / "index.html").read_text()
    assert "failoverctl(8)" in index and "runbooks/fencing.html" in index


def test_what_is_missing_is_said_with_the_command_that_installs_it(tmp_path: pathlib.Path) -> None:
    code = "import sys, docs; docs.ENVIRONMENT['PATH'] = '/nowhere'; sys.exit(docs.main(['x']))"
    done = subprocess.run(["/usr/bin/python3", "-B", "-c", code], cwd=TOP / "tools", capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "apt-get install cmark-gfm mandoc" in done.stderr
