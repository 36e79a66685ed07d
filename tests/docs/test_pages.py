"""README and other pages: links have targets, and tables match the registry and the catalogue."""

import re

import pytest

from core.base.paths import PROJECT
from core.data.cards import TASKS
from core.data.texts import CORPORA
from core.imports.sheet import COLUMNS
from core.registry import METHODS, PREPARATIONS, RECONSTRUCTIONS, RECOVERIES, STAGES
from tests.docs.markdown import anchors, links, tables, text, tree

README, CONTRIBUTING, CHANGELOG = (PROJECT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG"))
METHODS_PAGE = PROJECT / "docs" / "methods.md"
DOCS = sorted((PROJECT / "docs").glob("*.md"))
RECORDS = sorted((PROJECT / "docs" / "adr").glob("*.md"))
INDEX, RESULTS = PROJECT / "docs" / "results.md", sorted((PROJECT / "docs" / "results").glob("*.md"))
PAGES = [README, CONTRIBUTING, CHANGELOG, *DOCS, *RECORDS, *RESULTS]
# Anchors of the former single page of results, to which links lead from elsewhere.
FORMER = {
    "which-method-should-i-use",
    "zeros-in-the-weights",
    "reconstruction",
    "allocation-and-alps",
    "exact-reconstruction",
    "heads-channels-ranks-or-blocks-removed",
    "few-bits-per-weight",
    "the-embedding-made-smaller",
    "quantised-blocks-and-a-quantised-embedding",
    "latency-and-memory-at-20-",
    "recovery",
    "low-rank",
    "few-shot-accuracy",
    "compression-laws",
    "a-second-model",
    "does-kl-divergence-predict-changed-answers",
    "comparisons",
    "how-to-reproduce-these-rows",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_internal_link_has_a_target(page):
    for link in links(tree(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_readme_is_short_and_links_every_page():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 120
    pages = {f"docs/{page.name}" for page in DOCS}
    others = {CONTRIBUTING.name, CHANGELOG.name, "docs/adr/README.md"}
    assert len(pages) >= 5 and pages | others <= set(links(tree(README)))


def test_the_index_of_results_leads_from_each_former_anchor_to_its_page():
    assert len(RESULTS) <= 16
    leads = set(links(tree(INDEX)))
    assert {f"results/{page.name}" for page in RESULTS} <= leads
    assert anchors(INDEX) >= FORMER


def declared(kind):
    """Return the rows of methods or recoveries, a list per table, as (name, links of the last cell)."""
    found = [rows for rows in tables(METHODS_PAGE) if text(rows[0][0]) == kind]
    return [[(text(cells[0]), links(cells[-1])) for cells in rows[1:]] for rows in found]


@pytest.mark.parametrize(
    ("kind", "known"),
    [("method", METHODS), ("preparation", PREPARATIONS), ("reconstruction", RECONSTRUCTIONS), ("recovery", RECOVERIES)],
)
def test_the_methods_page_lists_the_registry_with_papers(kind, known):
    rows = [row for table in declared(kind) for row in table]
    expected = [(entry.name, [entry.citation.url] if entry.citation else []) for entry in known]
    assert sorted(rows) == sorted(expected)


def test_a_table_of_methods_has_one_family():
    families = {method.name: method.family for method in METHODS}
    found = [{families[name] for name, _ in table} - {"dense"} for table in declared("method")]
    assert [len(family) for family in found] == [1] * len(found)
    assert len(set.union(*found)) == len(found)


def test_the_methods_page_lists_the_data_requirements():
    words = {"-": "nothing", "calibration data": "calibration", "gradients": "calibration", "training data": "training"}
    shown = {}
    for rows in tables(METHODS_PAGE):
        if text(rows[0][0]) in ("method", "preparation", "reconstruction"):
            assert text(rows[0][1]) == "reads"
            shown |= {text(name): words[text(reads)] for name, reads, *_ in rows[1:]}
    assert shown == {method.name: method().data_requirement for method in (*METHODS, *PREPARATIONS, *RECONSTRUCTIONS)}


def memory_of(method):
    if not method.streams:
        return "the whole model"
    return "the embedding" if {"tables"} == method.modifies else "one block"


def test_the_methods_page_lists_which_methods_stream():
    (rows,) = (rows for rows in tables(METHODS_PAGE) if text(rows[0][0]) == "memory")
    shown = {name: text(memory) for memory, names in rows[1:] for name in text(names).split(", ")}
    assert shown == {method.name: memory_of(method) for method in STAGES}


def test_the_imports_page_lists_every_column():
    *_, rows = tables(PROJECT / "docs" / "import.md")
    shown = [(text(name), text(needed), text(description)) for name, needed, description in rows[1:]]
    assert shown == [(name, "yes" if column.needed else "", column.description) for name, column in COLUMNS.items()]


def test_the_licences_page_matches_the_catalogue():
    (rows,) = tables(PROJECT / "docs" / "licences.md")
    shown = [(text(name), text(licence)) for name, licence, _ in rows[1:]]
    assert shown == [(card.label, card.licence) for card in (*TASKS.values(), *CORPORA)]
