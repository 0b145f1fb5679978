#!/usr/bin/python3 -I
"""Render the pages and the manual into a directory: tools/docs.py DIRECTORY.

DIRECTORY/index.html leads to all of it; DIRECTORY/man is a tree for `man -M`. Internal links lead from page to
page, files that pages name by a link are copied beside them, and a link or an anchor that leads nowhere is an
error (exit code 1). Needs cmark-gfm, GitHub's own reader of Markdown, and mandoc for the manual (Debian packages
of these names); exit code 2 says so. Nothing is fetched, and the same source makes the same pages.
"""

from __future__ import annotations

import html
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import docpages
from docpages import TOP, Page

NEEDED = ("cmark-gfm", "mandoc")
CHILD_LIMIT_S = 60.0
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54em; margin: 2em auto; padding: 0 1em; color: #222; }
pre { background: #f5f5f5; padding: .7em 1em; overflow-x: auto; font-size: 14px; line-height: 1.35; }
code { font-size: 90%; } pre code { font-size: 100%; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid #ccc; padding: .3em .6em; text-align: left; vertical-align: top; }
img { max-width: 100%; } nav { font-size: 14px; border-bottom: 1px solid #ccc; margin-bottom: 1.5em; }
"""


def missing() -> list[str]:
    """The programs that are needed and not there."""
    return [name for name in NEEDED if shutil.which(name, path=ENVIRONMENT["PATH"]) is None]


def run(argv: list[str], text: str = "") -> str:
    """A child's standard output; RuntimeError with its words when it fails."""
    done = subprocess.run(
        argv, input=text, capture_output=True, text=True, timeout=CHILD_LIMIT_S, env=ENVIRONMENT, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: exit code {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


def wrapped(title: str, body: str, home: str) -> str:
    """A whole HTML page; ``home`` is the way to index.html."""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n'
        f'<body><nav><a href="{home}">failover-kit: all pages</a></nav>\n{body}</body></html>\n'
    )


def body_of(page: Page) -> str:
    """The page as HTML: headings with GitHub's anchors, links to pages as links to their HTML."""
    argv = ["cmark-gfm", "--to", "html", "--extension", "table", "--extension", "strikethrough", "--unsafe"]
    body = run(argv, page.path.read_text(encoding="utf-8"))
    anchors = iter(page.anchors)
    body, count = re.subn(r"<(h[1-6])>", lambda m: f'<{m[1]} id="{next(anchors, "")}">', body)
    if count != len(page.anchors):
        raise RuntimeError(f"{page.name}: cmark-gfm sees {count} headings, tools/docpages.py {len(page.anchors)}")
    return re.sub(r'(href=")(?![a-z]+:)([^"#]*)\.md(["#])', r"\1\2.html\3", body)


def copy_named_files(page: Page, target: pathlib.Path) -> None:
    """Pictures and other files of the project that the page has links to."""
    for link in page.links:
        name = link.target.partition("#")[0]
        source = (page.path.parent / name).resolve()
        if not name or re.match(r"[a-z]+:", name) or source.suffix == ".md" or not source.is_file():
            continue
        copy = target / source.relative_to(TOP)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)


def manual(target: pathlib.Path) -> list[tuple[str, str]]:
    """The manual as roff and as HTML: (name and section, way from the index), in order."""
    tree = target / "man"
    run([sys.executable, "-IB", str(TOP / "tools" / "manpages.py"), str(tree)])
    found = []
    for source in sorted(tree.glob("man?/*")):
        title = f"{source.stem}({source.suffix[1:]})"
        text = run(["mandoc", "-T", "html", "-O", "fragment", str(source)])
        place = target / "manual" / f"{source.name}.html"
        place.parent.mkdir(exist_ok=True)
        place.write_text(wrapped(title, text, "../index.html"), encoding="utf-8")
        found.append((title, f"manual/{source.name}.html"))
    return found


def render(target: pathlib.Path) -> int:
    """Everything; the number of pages written."""
    found = [docpages.read(path) for path in docpages.pages()]
    for page in found:
        place = target / page.path.relative_to(TOP).with_suffix(".html")
        place.parent.mkdir(parents=True, exist_ok=True)
        home = os.path.relpath(target / "index.html", place.parent)
        title = page.headings[0][1] if page.headings else page.name
        place.write_text(wrapped(title, body_of(page), home), encoding="utf-8")
        copy_named_files(page, target)
    manuals = manual(target)
    index = docpages.read(TOP / "docs" / "README.md")
    body = re.sub(
        r'href="(?!#|[a-z]+:)([^"]*)"', lambda m: f'href="{os.path.normpath("docs/" + m[1])}"', body_of(index)
    )
    rows = "".join(f'<li><a href="{way}">{html.escape(title)}</a></li>\n' for title, way in manuals)
    body += f"<h2>Manual pages</h2>\n<ul>\n{rows}</ul>\n"
    (target / "index.html").write_text(wrapped("failover-kit", body, "index.html"), encoding="utf-8")
    return len(found) + len(manuals) + 1


def main(argv: list[str]) -> int:
    """Render into ``argv[0]``."""
    if len(argv) != 1:
        sys.stderr.write("usage: tools/docs.py DIRECTORY\n")
        return 2
    absent = missing()
    if absent:
        sys.stderr.write(
            f"tools/docs.py: not installed: {', '.join(absent)}; run: apt-get install {' '.join(absent)}\n"
        )
        return 2
    problems = docpages.problems_of_links([docpages.read(path) for path in docpages.pages()])
    if problems:
        sys.stderr.write("\n".join([*problems, ""]))
        return 1
    target = pathlib.Path(argv[0])
    sys.stdout.write(f"{render(target)} pages; begin with {target / 'index.html'}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
