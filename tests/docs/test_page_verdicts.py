"""docs/results.md as it is written: the head of each column of intervals says that they are unadjusted."""

import re

from tools.report.results import PAGE

INTERVAL = re.compile(r"[+-]?[\d.,]+(?:e\d+)? \[[^\]]+\](?:, adjusted p [\d.< ]+)?: [^|]+\|")


def test_columns_of_intervals_are_marked_as_unadjusted():
    tables = re.findall(r"^(\|.*)\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE.read_text(encoding="utf-8"), re.M)
    heads = [head for head, rows in tables if INTERVAL.search(rows)]
    assert heads and [head for head in heads if "[unadjusted 95 %]" not in head] == []
