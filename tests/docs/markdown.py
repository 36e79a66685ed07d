"""Read links, anchors of headings and tables of a Markdown page."""

import re
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

Cell = SyntaxTreeNode


def tree(page: Path) -> SyntaxTreeNode:
    return SyntaxTreeNode(MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")))


def links(node: SyntaxTreeNode) -> list[str]:
    """Return the targets of links and images."""
    found = [part for part in node.walk() if part.type in ("link", "image")]
    return [str(part.attrs["href" if part.type == "link" else "src"]) for part in found]


def anchors(page: Path) -> set[str]:
    """Return the names that GitHub gives the headings, and those of `<a id="...">`."""
    nodes = list(tree(page).walk())
    headings = (text(node).lower() for node in nodes if node.type == "heading")
    html = " ".join(node.content for node in nodes if node.type == "html_inline")
    return set(re.findall(r'id="([^"]+)"', html)) | {
        re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings
    }


def tables(page: Path) -> Iterator[list[list[Cell]]]:
    """Yield each table as rows of cells, its head first."""
    for node in tree(page).walk():
        if node.type == "table":
            yield [row.children for row in node.walk() if row.type == "tr"]


def text(node: SyntaxTreeNode) -> str:
    return "".join(part.content for part in node.walk() if part.type in ("text", "code_inline"))
