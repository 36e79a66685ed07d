"""Paired differences to the dense model and fidelity on Explore, on stores of made-up outcomes."""

import re

import pandas as pd
import pytest
import streamlit as st

from core.base import paths
from core.findings.numbers.differences import tidy_with_differences
from core.findings.numbers.seven import ABOVE_CHANCE
from core.findings.pairs.paired import CANNOT, FLIPS
from core.metrics import metric
from core.request.stages import DEFAULT_LIMIT
from core.results import KL
from dashboard import data
from dashboard.explore.comparison import newly_ticked
from dashboard.exports.files import Chart
from dashboard.shared import widgets
from tests import synthetic
from tests.dashboard.explore.given import chosen, panels, ranked
from tests.dashboard.opened import captions, charts, control, open_app
from tests.synthetic import curve, put_answered, result

DIFFERENCES, ACCURACIES = "zero-shot minus dense, points", "zero-shot, points (higher is better)"
NOT_KEPT = "per-document answers were not stored"
# Columns of points, which `results --csv` has no equal of: bars, counts and baselines.
OF_POINTS = {"amount_label", "low", "high", "seeds", "chance", "majority"}
MAGNITUDE = "Magnitude 50 % · magnitude@0.5"
WANDA, SPARSEGPT = (f"{name} 50 %, passages · {name.lower()}@0.5" for name in ("Wanda", "SparseGPT"))


@pytest.fixture(scope="module")
def answers(example):
    """The curve; dense and two methods have outcomes at 50 %, and the others have none."""
    results = [result("dense", 20.0), result("magnitude", 400.0, 0.5), result("wanda", 44.0, 0.5)]
    for seed, one in enumerate(results):
        put_answered(example, one, seed)
    data.show_now()
    return example


@pytest.fixture
def exported(monkeypatch):
    """What the page exports."""
    items = []
    monkeypatch.setattr(widgets, "export_page", lambda name, page: items.extend(page()))
    return items


def titles(app) -> str:
    return " ".join(one.proto.spec for one in charts(app))


def comparison(app):
    (table,) = (one.value for one in app.dataframe if "First is" in one.value)
    return table


def test_explore_shows_paired_differences_or_accuracies(answers):
    app = open_app()
    assert ACCURACIES not in titles(app) and "Bars: unadjusted 95 % intervals" in captions(app)
    (chart,) = [one.proto.spec for one in charts(app) if DIFFERENCES in one.proto.spec]
    assert "Wanda" in chart and "Magnitude" in chart and "SparseGPT" not in chart
    assert f"Not compared with dense: SparseGPT ({NOT_KEPT})." in captions(app)
    control(app, "explore_as").set_value("Accuracy").run()
    assert ACCURACIES in titles(app) and DIFFERENCES not in titles(app)
    assert "majority class" in titles(app)
    assert "Chance: a random choice" in captions(app) and "Majority class: always" in captions(app)
    assert not app.exception


def test_the_table_and_its_exports_contain_verdicts(answers, exported):
    app = open_app()
    table = app.dataframe[0].value
    verdicts = table.set_index("Variant")["Accuracy is"]
    assert (verdicts["Magnitude 50 %"], verdicts["SparseGPT 50 %, passages"]) == ("worse", CANNOT)
    (points,) = [item for item in exported if item.name.endswith("-points")]
    assert list(points.table.columns) == list(table.columns)
    (differences,) = [item for item in exported if item.name.endswith("-minus-dense")]
    assert {"dataset", "difference", "difference_low", "difference_high"} <= set(differences.table)
    assert {"p", "p_adjusted", "comparisons", "verdict"} <= set(differences.table)
    assert {"Magnitude", "Wanda"} == set(differences.table["series_label"])
    keys = {series: cell.key for (series, _), cell in differences.pivots[0].cells.items()}
    others = differences.pivots[0].is_distinguishable("Mean above chance", keys["Wanda"], [keys["Magnitude"]])
    assert list(others) == [keys["Magnitude"]]
    assert points.pivots[0].is_distinguishable("50 %", keys["Wanda"], list(others)) == {keys["Magnitude"]: True}


@pytest.mark.parametrize("how", ["Accuracy", "Difference to dense"])
def test_exports_of_charts_have_the_columns_and_numbers_of_results(how, answers, exported):
    rows = tidy_with_differences(list(answers.results()), answers.samples)

    def numbers(table, column):
        """Return a column by variant and dataset, without the means, which `results` does not list."""
        table = table[(table["dataset"] != ABOVE_CHANCE) & table["chain"].isin(["magnitude@0.5", "wanda@0.5"])]
        return {(row["chain"], row["dataset"]): row[column] for row in table.to_dict("records")}

    open_app(explore_as=how)
    tables = {item.name: item.table for item in exported if isinstance(item, Chart)}
    assert len(tables) == 2
    for table in tables.values():
        assert set(table) <= {*rows, *OF_POINTS} and {"series_label", "chain", "ratio"} <= set(table)
    (table,) = [one for name, one in tables.items() if "accuracy" in name]
    column = "value" if "value" in table else "difference"
    every, found = numbers(rows[rows["metric"] != "perplexity"], column), numbers(table, column)
    assert len(found) == 14 and found == pytest.approx({place: every[place] for place in found})


def test_a_point_is_compared_with_dense_or_another_variant(answers):
    app = open_app(explore_point="magnitude@0.5")
    picker = next(field for field in app.selectbox if field.label == "Compare with")
    assert {"Dense · dense", WANDA, SPARSEGPT} < set(picker.options) and MAGNITUDE not in picker.options
    table = comparison(app)
    assert list(table["Metric"])[:2] == ["Perplexity on passages-eval", "Mean above chance"]
    assert {verdict.partition(",")[0] for verdict in table["First is"]} <= {"worse", "better", "not significant"}
    assert table["First is"][0] == "worse" and table["Adjusted p"][0] == "< 0.001"
    pattern = r"\d+ \[\d+, \d+\], \d+ \[\d+, \d+\]"
    assert pd.isna(table[FLIPS][0]) and all(re.fullmatch(pattern, flips) for flips in table[FLIPS][1:])
    assert "compared with dense." in captions(app) and "paired test of each number" in captions(app)
    picker.set_value(result("wanda", 44.0, 0.5).variant.key).run()
    assert panels(app.run()) == ["Magnitude 50 % and Wanda 50 %, passages"]
    wanda = comparison(app)
    assert list(wanda["First"]) == list(table["First"]) and list(wanda["Second"]) != list(table["Second"])


def test_a_comparison_names_the_better_point_and_is_in_the_address(answers):
    app = open_app(explore_compared=[MAGNITUDE, WANDA])
    assert panels(app) == ["Magnitude 50 % and Wanda 50 %, passages"]
    assert "Magnitude 50 % relative to Wanda 50 %, passages" in titles(app)
    (verdict,) = (text for text in (one.value.replace("\\", "") for one in app.markdown) if "is better than" in text)
    assert verdict.startswith("**Wanda 50 %, passages** is better than Magnitude 50 % in perplexity on passages-eval (")
    assert verdict.replace("**", "") in captions(app) and comparison(app)["First is"][0] == "worse"
    assert app.query_params["explore_compared"] == [MAGNITUDE, WANDA]
    field = app.multiselect(key="explore_compared")
    keys = {name: key for name, key in zip((MAGNITUDE, WANDA), field.value, strict=True)}
    field.set_value([keys[WANDA], result("sparsegpt", 37.0, 0.5).variant.key]).run()
    assert set(comparison(app)["First is"]) == {CANNOT}
    assert f"Cannot be paired: {NOT_KEPT}." in captions(app) and not app.exception
    app.multiselect(key="explore_compared").set_value([keys[WANDA]]).run()
    assert panels(app) == []


@pytest.mark.parametrize(
    ("before", "keys", "chosen"),
    [([], "a", "a"), ("a", "ab", "ab"), ("b", "ab", "ba"), ("ab", "abc", "bc"), ("ab", "b", ""), ("ab", "", "")],
)
def test_the_last_two_ticks_are_compared_and_an_untick_opens_nothing(before, keys, chosen, monkeypatch):
    monkeypatch.setattr(st, "session_state", {"explore_ticked_table": list(before)})
    assert newly_ticked("table", list(keys)) == list(chosen)


def scored(one, n=100, **protocol):
    """Return the result with accuracies on `n` documents under another protocol."""
    numbers = [
        row if row.of_text else row.model_copy(update={"n": n, "protocol": row.protocol | protocol})
        for row in one.measurements
    ]
    return one.model_copy(update={"measurements": tuple(numbers)})


def test_the_largest_document_limit_is_shown_and_limits_are_never_mixed(filled):
    for seed, one in enumerate(one for one in curve() if one.variant.method in ("dense", "wanda")):
        put_answered(filled, scored(one, 200, limit=200), seed)
    app = open_app()
    limits = app.selectbox(key="explore_documents")
    assert limits.value == "First 200 documents of each task, float32"
    assert "first 200 documents of each task" in captions(app)
    assert "No zero-shot accuracy at 50 % yet of Magnitude, SparseGPT on the first 200" in app.info[0].value
    (chart,) = [one.proto.spec for one in charts(app) if DIFFERENCES in one.proto.spec]
    assert "Wanda" in chart and "SparseGPT" not in chart
    table = app.dataframe[0].value
    assert set(table.loc[table["Above chance (points)"].notna(), "Variant"]) == {
        "Dense",
        *(f"Wanda {at}, passages" for at in ("30 %", "50 %", "70 %", "2:4", "4:8")),
    }
    app.button(key="explore_run_tasks").click().run()
    assert {task.limit for job in data.queue().jobs() for task in job.spec.tasks} == {200}
    limits.set_value("First 100 documents of each task, float32").run()
    assert "SparseGPT" in titles(app) and "first 100 documents of each task" in captions(app) and not app.exception


def test_accuracies_in_two_precisions_are_never_mixed(store):
    dense, wanda, magnitude = result("dense", 20.0), result("wanda", 44.0, 0.5), result("magnitude", 400.0, 0.5)
    half = [scored(one, dtype="bfloat16") for one in (dense, wanda)]
    for seed, one in enumerate((dense, wanda, *half, magnitude)):
        put_answered(store, one, seed)
    for dtype, series in (("float32", {"Dense", "Wanda", "Magnitude"}), ("bfloat16", {"Dense", "Wanda"})):
        documents = f"First 100 documents of each task, {dtype}"
        one = chosen(documents=documents)
        assert set(one.scores["series_label"]) == series and set(one.scores["scoring"]) == {dtype}
        assert str(one.documents) == documents.lower()
    assert str(chosen().documents).endswith("float32")
    app = open_app(explore_documents="First 100 documents of each task, bfloat16")
    app.button(key="explore_run_tasks").click().run()
    assert {job.spec.scoring for job in data.queue().jobs()} == {"bfloat16"}


def test_unscored_models_are_offered_the_default_document_limit(store):
    store.put(result("dense", 20.0, scored=False))
    store.put(result("wanda", 44.0, 0.5, scored=False))
    app = open_app()
    app.button(key="explore_run_tasks").click().run()
    (job,) = data.queue().jobs()
    assert {task.limit for task in job.spec.tasks} == {DEFAULT_LIMIT}


def test_explore_opens_with_damaged_samples_and_names_the_file(filled):
    for seed, one in enumerate([result("dense", 20.0), result("wanda", 44.0, 0.5), result("magnitude", 420, 0.5)]):
        put_answered(filled, one, seed)
    (file, *_) = sorted((paths.local_results_dir() / "samples").glob(f"{result('wanda', 44.0, 0.5).variant.key}/*"))
    for damaged in file.parent.iterdir():
        damaged.write_bytes(damaged.read_bytes()[:-9])
    app = open_app()
    assert not app.exception and "SparseGPT" in captions(app)
    (message,) = (text.value for text in app.text)
    assert f"The samples in {file} are skipped (" in message
    put_answered(filled, result("wanda", 44.0, 0.5), 2)
    assert not open_app().text


VALUES = {"wanda": (0.4, 2.5, 0.72), "sparsegpt": (0.2, 1.5, 0.81)}  # FIDELITY at 50 %


@pytest.fixture(scope="module")
def compared(example):
    for method, values in VALUES.items():
        one = next(one for one in curve() if one.variant.method == method and one.variant.ratio == 0.5)
        example.put(synthetic.compared(one, *values))
    data.show_now()


def test_the_table_of_points_and_its_exports_have_fidelity_where_it_is_measured(compared, monkeypatch):
    items = []
    monkeypatch.setattr(widgets, "export_page", lambda name, page: items.extend(page()))
    app = open_app()
    table = next(one.value for one in app.dataframe if "Times dense" in one.value)
    at_half = table[table["Amount"] == "50 %"].set_index("Variant")
    for method, (kl, _, agreement) in zip(("Wanda", "SparseGPT"), VALUES.values(), strict=True):
        assert at_half.loc[f"{method} 50 %, passages", metric("kl").title] == kl
        assert at_half.loc[f"{method} 50 %, passages", metric("agreement").title] == pytest.approx(100 * agreement)
    assert table.loc[table["Amount"] != "50 %", metric("kl").title].isna().all()
    (points,) = [item for item in items if item.name.endswith("-points")]
    found = {pivot.title: pivot for pivot in points.pivots}
    for title, place, times in ((metric("kl").title, 0, 1), (metric("agreement").title, 2, 100)):
        cells = {series: cell.value for (series, amount), cell in found[title].cells.items() if amount == "50 %"}
        assert cells == {
            name: pytest.approx(times * VALUES[method][place])
            for name, method in (("Wanda", "wanda"), ("SparseGPT", "sparsegpt"))
        }
    assert found[metric("kl").title].lower_is_better and not found[metric("agreement").title].lower_is_better


@pytest.mark.parametrize(
    ("limit", "sentence", "fact"),
    [
        ({"agreement": 0.8}, "at least 80 % top-1 agreement", "81 % top-1 agreement"),
        ({"kl": 0.3}, " and 0.3 nats of KL divergence", "0.2 nats of KL divergence"),
    ],
)
def test_fidelity_limits_a_budget(compared, limit, sentence, fact):
    _, shown, answer, _ = ranked(packed_mb=200, **limit)
    assert sentence in answer and "**SparseGPT 50 %, passages**" in answer and fact in answer
    assert [*shown["Variant"]] == ["SparseGPT 50 %, passages"]
    column, value = (metric("kl").title, 0.2) if KL in limit else (metric("agreement").title, 81)
    assert shown[column].tolist() == [pytest.approx(value)]
    dense = ranked(kl=0.001, agreement=1).table  # which satisfies every limit
    assert dense[["Variant", metric("kl").title, metric("agreement").title]].to_numpy().tolist() == [["Dense", 0, 100]]
