"""Every internal link, anchor and picture of the pages is there; every page can be found from the index."""

from __future__ import annotations

import pathlib

import docpages

import docs

FOUND = [docpages.read(path) for path in docpages.pages()]


def test_links_and_anchors_lead_somewhere() -> None:
    problems = docpages.problems_of_links(FOUND)
    assert not problems, "\n".join(problems)
    assert sum("#" in link.target for page in FOUND for link in page.links) > 2, "are links read at all?"


def test_a_wrong_link_is_found(tmp_path: pathlib.Path) -> None:
    page = docs.TOP / "docs" / "no-page.md"
    text = tmp_path / "page.md"
    text.write_text(
        "# A `page`\n\n[a](b.md) ![p](../x.png)\n[c](#a-page)\n[d](#a-pag)\n\n    [e](f.md)\n\n`[g](h.md)`\n"
    )
    read = docpages.read(text)
    assert read.anchors == ("a-page",)
    here = docpages.Page(page, read.headings, read.anchors, read.links, read.blocks, read.spans)
    assert docpages.problems_of_links([here]) == [
        "docs/no-page.md:3: b.md is not there",
        "docs/no-page.md:3: ../x.png is not there",
        "docs/no-page.md:4: #a-page is not there",
        "docs/no-page.md:5: #a-pag is not there",
    ]


def test_every_page_can_be_found_from_the_index() -> None:
    """docs/README.md leads to each page below docs/, at most by way of others."""
    pages = {page.path.resolve(): page for page in FOUND}
    reached, left = set(), [(docs.TOP / "docs" / "README.md").resolve()]
    while left:
        path = left.pop()
        if path in pages and path not in reached:
            reached.add(path)
            left += [(path.parent / link.target.partition("#")[0]).resolve() for link in pages[path].links]
    lost = sorted(page.name for path, page in pages.items() if path not in reached)
    assert not lost, f"no link from docs/README.md, or from a page that it leads to, leads to {lost}"
