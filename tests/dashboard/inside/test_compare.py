"""The tab that compares several variants, on bundled results."""

import math
from urllib.parse import parse_qs

import pytest

from core.data.texts import called
from core.findings.numbers.frame import build_frame, variant_rows
from core.findings.rows import naming
from core.results import KL
from dashboard import data
from dashboard.charts.compared import OTHER_PROTOCOL, SECONDS, cost_columns, quality_columns
from tests.core.factories import make, perplexity
from tests.dashboard.opened import charts, open_app, read

pytestmark = pytest.mark.usefixtures("bundled")
DENSE, FOUR, THREE = "Dense · dense", "AWQ 4 · awq@4bit", "GPTQ 3 · gptq@3bit"


def page(*variants, **more):
    return open_app("inside/view.py", inside_tab="Compare", inside_compared=list(variants), **more)


def tables(app):
    quality, cost = (one.value for one in app.dataframe)
    return quality, cost


@pytest.fixture(scope="module")
def three(bundled):
    return page(DENSE, FOUR, THREE)


def headings(quality):
    return list(dict.fromkeys(heading for heading, _ in quality))


def test_the_leftmost_variant_is_the_baseline_and_can_be_changed(three):
    assert headings(tables(three)[0]) == ["", "Dense", "AWQ 4", "GPTQ 3"]
    quality, _ = tables(page(DENSE, FOUR, THREE, inside_baseline=THREE))
    assert headings(quality) == ["", "GPTQ 3", "Dense", "AWQ 4"]
    first = quality[quality["", "Number"] == "Perplexity on WikiText-2"].iloc[0]
    assert first["Dense", "Baseline compared"] == first["AWQ 4", "Baseline compared"] == "better"


def test_differences_equal_those_of_the_paired_comparison(three):
    quality, _ = tables(three)
    dense, *others = three.multiselect(key="inside_compared").value
    found = data.paired([(key,) for key in others], dense)
    rows = found[(found["metric"] == "perplexity") & (found["dataset"] == "wikitext2")]
    shown = quality[quality["", "Number"] == "Perplexity on WikiText-2"].iloc[0]
    for name, key in zip(("AWQ 4", "GPTQ 3"), others, strict=True):
        ratio = rows.loc[rows["key"] == key, "ratio"].iloc[0]
        assert shown[name, "Difference, unadjusted 95 %"].startswith(f"x {ratio:.2f} [")


def test_a_number_under_another_protocol_is_marked_and_not_compared():
    one = make(perplexity(20.0), perplexity(21.0, "ptb"), key="a" * 64)
    other = make(perplexity(30.0), perplexity(31.0, "ptb", windows=8), key="b" * 64)
    rows = build_frame([variant_rows(one), variant_rows(other)])
    names = {"a" * 64: "A", "b" * 64: "B"}
    found = data.paired([], None)
    table = quality_columns(rows, found, names).set_index(["Number", "Protocol"])
    alike = table.loc["Perplexity on WikiText-2"].iloc[0]
    assert (alike["A: Value"], alike["B: Value"]) == ("20", "30")
    marked = table.loc[f"Perplexity on {called('ptb')}"]
    assert sorted(map(tuple, marked[["A: Value", "B: Value"]].to_numpy())) == [
        ("21", OTHER_PROTOCOL),
        (OTHER_PROTOCOL, "31"),
    ]
    assert (marked.filter(like="Difference") == "").all(axis=None)


def test_sizes_and_times_are_those_of_the_results():
    one = make(perplexity(20.0), made=({"seconds": 2.0, "other_load": 0.01},))
    table = cost_columns([one], {one.variant.key: "A"}).set_index("Number")["A"]
    assert table["Packed size (MB)"] == 300 / 1e6 and table[SECONDS] == 2.0
    assert table["Block weights removed (%)"] == 50 and not math.isnan(table["Bits per weight"])
    busy = make(perplexity(20.0), made=({"seconds": 2.0, "other_load": 0.5},))
    assert SECONDS not in set(cost_columns([busy], {busy.variant.key: "A"})["Number"])


def test_fidelity_is_among_the_numbers():
    app = page(FOUR, THREE)
    quality, _ = tables(app)
    shown = quality[quality["", "Number"].str.startswith("KL divergence on")].iloc[0]
    key = app.multiselect(key="inside_compared").value[0]
    values = [row.value for row in data.result(key).measurements if row.metric == KL]
    assert any(shown["AWQ 4", "Value"] == f"{value:.3g}" for value in values)
    assert shown["GPTQ 3", "Baseline compared"] == "worse"


def test_each_variant_has_its_command_and_the_sentence_names_the_better_one():
    app = page(DENSE)
    assert len(app.info) == 1 and not charts(app)  # one is not enough
    app.multiselect(key="inside_compared").set_value([*app.multiselect(key="inside_compared").value, key_of(FOUR)])
    app.run()
    assert len(app.code) == 2 and "awq@4bit" in app.code[1].value
    assert "**Dense** is better than AWQ 4 in perplexity on WikiText-2" in read(app)


def key_of(name):
    rows = data.frame("smollm2-135m")
    return next(key for key, its in naming.variant_options(rows).items() if its == name)


def test_a_variant_without_fidelity_or_accuracies_says_so_and_leads_to_a_run():
    app = page(DENSE, "SparseGPT 10 %, c4-sample:16x2048 · sparsegpt@0.1")
    (link,) = [one.proto for one in app.get("page_link") if "measure them" in one.proto.label]
    assert link.label.replace("\\", "") == "SparseGPT 10 % has no fidelity and accuracies: measure them"
    asked = parse_qs(link.query_string)
    assert asked["chain"] == ["sparsegpt@0.1"] and asked["run_fidelity"] == ["true"] and len(asked["run_tasks"]) == 7
    form = open_app("run/view.py", **asked)
    assert form.toggle(key="run_fidelity").value and not form.exception
