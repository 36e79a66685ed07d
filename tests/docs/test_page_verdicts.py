"""The pages of results as they are written: the head of each column of intervals says that they are unadjusted."""

import re

from tools.report.results import DOCS, TEMPLATES

INTERVAL = re.compile(r"[+-]?[\d.,]+(?:e\d+)? \[[^\]]+\](?:, adjusted p [\d.< ]+)?: [^|]+\|")


def test_columns_of_intervals_are_marked_as_unadjusted():
    pages = [DOCS / template.relative_to(TEMPLATES) for template in TEMPLATES.rglob("*.md")]
    texts = [page.read_text(encoding="utf-8") for page in pages if page.name != "choose.md"]  # as on Explore
    tables = [found for text in texts for found in re.findall(r"^(\|.*)\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.M)]
    heads = [head for head, rows in tables if INTERVAL.search(rows)]
    assert heads and [head for head in heads if "[unadjusted 95 %]" not in head] == []
