"""docs/README.md lists every page."""

from __future__ import annotations

from tests.support.doc_blocks import DOCS, links, pages


def test_every_page_is_listed_once() -> None:
    index = DOCS / "README.md"
    listed = [link for link in links(index) if "/" not in link]

    assert sorted(listed) == sorted({*listed} | {page.name for page in pages() if page != index})
