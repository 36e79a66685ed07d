"""docs/results.md as it is written: no cell's verdict contradicts the interval before it."""

import re

from tools.report.results import PAGE

NUMBER = r"[+-]?[\d.,]+(?:e\d+)?"
CELL = re.compile(rf"(x )?{NUMBER} \[({NUMBER}), ({NUMBER})\](?:, adjusted p [\d.< ]+)?: ([^|]+?) *\|")
THIRD = re.compile(r"significant alone, not after Holm \(\d+ comparisons\)")


def test_no_cell_contradicts_its_interval():
    cells = CELL.findall(PAGE.read_text(encoding="utf-8"))
    assert len(cells) > 150
    for ratio, *ends, verdict in cells:
        low, high = (float(end.replace(",", "")) for end in ends)
        none = 1.0 if ratio else 0.0
        assert verdict in ("better", "worse", "not significant") or THIRD.fullmatch(verdict)
        if low > none or high < none:
            assert verdict != "not significant", (low, high, verdict)
        elif low < none < high:
            assert verdict == "not significant", (low, high, verdict)


def test_columns_of_intervals_are_marked_as_unadjusted():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    heads = {line: lines[place - 1] for place, line in enumerate(lines) if re.fullmatch(r"\|[-|]+\|", line)}
    assert heads
    head = ""
    for place, line in enumerate(lines):
        if place + 1 < len(lines) and lines[place + 1] in heads:
            head = line
        elif CELL.search(line):
            assert "[unadjusted 95 %]" in head, head
