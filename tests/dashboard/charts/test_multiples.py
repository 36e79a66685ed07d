"""Several models, each relative to its own dense perplexity."""

import pandas as pd
import pytest

from core.findings.axes import RATIO
from core.findings.best.answer import on_each
from core.findings.numbers.frame import tidy
from core.store.paper_results import paper_results
from dashboard.charts import multiples
from dashboard.charts.elements.style import LIGHT
from tests.bundled import bundled_rows

MODELS = ("smollm2-135m", "opt-125m", "opt-1.3b")


@pytest.fixture(scope="module")
def frames() -> dict[str, pd.DataFrame]:
    papers = {
        model: tidy(one for one in paper_results().values() if one.variant.model == model) for model in MODELS[1:]
    }
    return {MODELS[0]: bundled_rows(MODELS[0])} | papers


@pytest.fixture(scope="module")
def found(frames) -> pd.DataFrame:
    parts = [
        multiples.multiples(multiples.comparable_rows(frame, "wikitext2", 2048, RATIO)) for frame in frames.values()
    ]
    return pd.concat(parts, ignore_index=True)


def test_perplexities_are_divided_by_their_own_dense(found):
    row = found[(found["series_label"] == "SparseGPT, opt-125m (paper)")].squeeze()
    assert row["value"] == pytest.approx(36.85 / 27.66) and row["perplexity"] == 36.85
    ours = found[(found["model"] == "smollm2-135m") & (found["of"] == "SparseGPT") & (found["amount_label"] == "50 %")]
    assert 1.5 < ours["value"].squeeze() < 3


def test_texts_and_windows_are_not_mixed(frames):
    assert multiples.comparable_rows(frames["opt-125m"], "wikitext2", 128, RATIO).empty
    rows = multiples.comparable_rows(frames["smollm2-135m"], "wikitext2", 2048, RATIO)
    assert rows["protocol_id"].nunique() == 1 and set(rows["calibration"].dropna()) == {"c4-sample:16x2048"}
    assert multiples.comparable_rows(rows[rows["method"] != "dense"], "wikitext2", 2048, RATIO).empty


def test_series_of_most_models_are_shown_by_default(found):
    assert multiples.default_series(found) == ["SparseGPT", "AdaPrune"]
    two = found[found["model"].isin(["smollm2-135m", "opt-125m"]) & found["of"].isin(["SparseGPT", "Wanda"])]
    two = two[(two["of"] == "SparseGPT") | (two["model"] == "smollm2-135m")]
    assert multiples.default_series(two) == ["SparseGPT"]
    assert multiples.default_series(two[two["model"] == "smollm2-135m"]) == ["SparseGPT", "Wanda"]


def test_a_line_has_the_dash_of_its_model_and_the_colour_of_its_method(found):
    shown = found[found["of"].isin(["SparseGPT", "Magnitude"])]
    figure = multiples.by_amount(shown, RATIO, LIGHT, "wikitext2")
    lines = {trace.legendgroup: trace.line for trace in figure.data if trace.legendgroup in set(shown["series_label"])}
    dashes = {series: line.dash for series, line in lines.items() if line.dash}
    assert dashes["Magnitude, smollm2-135m"] == dashes["SparseGPT, smollm2-135m"] == "solid"
    assert dashes["Magnitude, opt-125m (paper)"] == dashes["SparseGPT, opt-125m (paper)"] == "dash"
    colours = {line.color for series, line in lines.items() if series.startswith("SparseGPT")}
    assert len(colours) == 1


def test_accuracies_are_compared_with_their_own_dense(frames, found):
    tasks = multiples.counted_tasks(frames["smollm2-135m"])
    assert tasks == ("piqa", "hellaswag", "arc_easy", "openbookqa")
    means = multiples.minus_dense(frames["smollm2-135m"], tasks)
    table = multiples.table(found, means)
    row = table[(table["Method"] == "SparseGPT") & (table["Amount"] == "50 %") & (table["Model"] == "smollm2-135m")]
    assert -10 < row["Accuracy vs dense"].squeeze() < 0
    assert table.loc[table["Model"] == "opt-125m", "Accuracy vs dense"].isna().all()
    assert multiples.minus_dense(frames["opt-125m"], tasks).empty


def test_packed_sizes_are_divided_by_their_own_dense(frames):
    rows = multiples.comparable_rows(frames["smollm2-135m"], "wikitext2", 2048, multiples.PACKED)
    found = multiples.multiples(rows)
    (gptq,) = found[(found["of"] == "GPTQ") & (found["amount_label"] == "4 bit")].to_dict("records")
    dense = rows.loc[rows["method"] == "dense", "packed_mb"].iloc[0]
    assert gptq["packed_share"] == pytest.approx(gptq["packed_mb"] / dense) and gptq["packed_share"] < 0.8
    figure = multiples.by_amount(found[found["of"] == gptq["of"]], multiples.PACKED, LIGHT, "wikitext2")
    (star,) = (trace for trace in figure.data if trace.name == "Dense")
    assert list(star.x) == [1.0] and list(star.y) == [1.0]


def test_the_answer_names_a_common_best_method_once():
    rows = [("SparseGPT", "a", 2.0), ("Wanda", "a", 2.5), ("SparseGPT", "b", 3.0), ("Wanda", "b", 3.5)]
    found = pd.DataFrame(rows, columns=["of", "model", "value"]).assign(amount_label="50 %")
    same = "**SparseGPT** has the lowest perplexity shown: 2.00 times dense on a and 3.00 times dense on b."
    assert on_each("50 %", found) == f"At a pruning ratio of 50 %, {same}"
    found.loc[3, "value"] = 2.9
    each = "**SparseGPT** on a (2.00 times dense) and **Wanda** on b (2.90 times dense)"
    assert on_each("50 %", found).endswith(f"the lowest perplexities shown are of {each}.")
