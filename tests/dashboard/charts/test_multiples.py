"""Several models as multiples of their own dense perplexity."""

import pandas as pd
import pytest

from core.analysis.frame import tidy
from core.store.printed import printed
from core.store.shipped import read_measured
from dashboard.charts import multiples
from dashboard.charts.style import LIGHT

MODELS = ("smollm2-135m", "opt-125m", "opt-1.3b")


@pytest.fixture(scope="module")
def frames() -> dict[str, pd.DataFrame]:
    results = [*read_measured().results.values(), *printed().values()]
    return {model: tidy(one for one in results if one.variant.model == model) for model in MODELS}


@pytest.fixture(scope="module")
def found(frames) -> pd.DataFrame:
    parts = [multiples.multiples(multiples.alike(frame, "wikitext2", 2048)) for frame in frames.values()]
    return pd.concat(parts, ignore_index=True)


def test_each_is_divided_by_its_own_dense(found):
    row = found[(found["series"] == "SparseGPT, opt-125m (published)")].squeeze()
    assert row["value"] == pytest.approx(36.85 / 27.66) and row["perplexity"] == 36.85
    ours = found[(found["model"] == "smollm2-135m") & (found["of"] == "SparseGPT") & (found["where"] == "50 %")]
    assert 1.5 < ours["value"].squeeze() < 3


def test_texts_and_windows_are_not_mixed(frames):
    assert multiples.alike(frames["opt-125m"], "wikitext2", 128).empty
    rows = multiples.alike(frames["smollm2-135m"], "wikitext2", 2048)
    assert rows["protocol_id"].nunique() == 1 and set(rows["calibration"].dropna()) == {"c4-sample:16x2048"}
    assert multiples.alike(rows[rows["method"] != "dense"], "wikitext2", 2048).empty


def test_those_of_most_models_are_shown_at_first(found):
    assert multiples.lit_at_first(found) == ["SparseGPT", "AdaPrune"]


def test_a_line_has_its_models_dash_and_its_methods_colour(found):
    shown = found[found["of"].isin(["SparseGPT", "Magnitude"])]
    figure = multiples.by_amount(shown, LIGHT, "wikitext2")
    lines = {trace.legendgroup: trace.line for trace in figure.data if trace.legendgroup in set(shown["series"])}
    dashes = {series: line.dash for series, line in lines.items() if line.dash}
    assert dashes["Magnitude, smollm2-135m"] == dashes["SparseGPT, smollm2-135m"] == "solid"
    assert dashes["Magnitude, opt-125m (published)"] == dashes["SparseGPT, opt-125m (published)"] == "dash"
    colours = {line.color for series, line in lines.items() if series.startswith("SparseGPT")}
    assert len(colours) == 1


def test_sizes_are_named_once_where_they_are_close(found):
    figure = multiples.by_size(found[found["where"] == "50 %"], LIGHT, "wikitext2")
    assert list(figure.layout.xaxis.ticktext) == ["125M", "1.3B"]
    names = {trace.name for trace in figure.data if trace.name}
    assert "SparseGPT, opt" in names and "SparseGPT, smollm2" in names


def test_accuracies_are_beside_their_own_dense(frames, found):
    means = multiples.minus_dense(frames["smollm2-135m"])
    table = multiples.table(found, means)
    row = table[(table["Method"] == "SparseGPT") & (table["Removed"] == "50 %") & (table["Model"] == "smollm2-135m")]
    assert -10 < row["Accuracy vs dense"].squeeze() < 0
    assert table.loc[table["Model"] == "opt-125m", "Accuracy vs dense"].isna().all()
    assert multiples.minus_dense(frames["opt-125m"]).empty
