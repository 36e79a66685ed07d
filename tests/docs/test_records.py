"""The architecture decision records: one index that lists all of them, and one form."""

import pytest

from core.base.paths import PROJECT
from tests.docs.markdown import links, tables, text, tree

FOLDER = PROJECT / "docs" / "adr"
INDEX = FOLDER / "README.md"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
HEADINGS = ["Status", "Context", "Decision", "Consequences", "Alternatives considered"]
LONGEST = 60  # lines


def headings(page, level):
    return [text(node) for node in tree(page).walk() if node.type == "heading" and node.tag == f"h{level}"]


def test_the_index_lists_each_record_once_by_its_title():
    (rows,) = tables(INDEX)
    listed = [(links(cells[0]), text(cells[0])) for cells in rows[1:]]
    assert len(RECORDS) >= 10
    assert listed == [([record.name], *headings(record, 1)) for record in RECORDS]
    assert {record.name for record in FOLDER.iterdir()} == {INDEX.name, *(record.name for record in RECORDS)}


def test_records_have_consecutive_numbers():
    assert [record.name[:4] for record in RECORDS] == [f"{number:04}" for number in range(1, len(RECORDS) + 1)]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_a_record_has_the_five_headings_and_fits_on_a_page(record):
    assert headings(record, 2) == HEADINGS
    assert headings(record, 1)[0].startswith(f"{record.name[:4]} ")
    assert len(record.read_text(encoding="utf-8").splitlines()) <= LONGEST
