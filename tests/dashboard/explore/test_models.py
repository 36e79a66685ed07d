"""Explore with published models, and with several models in one chart."""

import pytest

from core.notation.formatting import format_number
from dashboard import data
from dashboard.charts.frames.points import is_dense
from dashboard.explore.details import POINT
from tests.dashboard.opened import charts, open_app, read


def test_a_published_model_is_shown_like_a_measured_one(fresh):
    app = open_app(explore_model="llama-7b", explore_text="wikitext2, all x 128 tokens")
    assert not app.exception
    captions = " ".join(one.value for one in app.caption)
    assert "This model has published results only" in captions and "Bars:" not in captions
    assert "paper SlimLLM, main table, unknown precision" in captions and len(charts(app)) == 2
    assert "llama-7b at a pruning ratio of 50 %: **SlimLLM + LoRA (published)** has the lowest perplexity" in read(app)
    assert "points relative to dense, without an interval" in read(app)
    assert "of 8 variants, 2.12 times dense, without an interval. " in read(app)
    assert [field.key for field in app.multiselect] == ["explore_compared"]


def test_a_published_point_cites_its_table_and_has_no_command(fresh):
    app = open_app(explore_model="llama-7b", **{POINT: "published@0.5,label=SlimLLM"})
    assert not app.exception
    assert "ublished in [SlimLLM, main table](https://arxiv.org/abs/" in read(app)
    assert "Command to reproduce it" not in read(app)


def test_several_models_are_shown_relative_to_their_dense_model(fresh):
    app = open_app(explore_mode="Several models")
    assert not app.exception
    assert "explore_documents" not in {field.key for field in app.selectbox}  # each model has its own
    assert set(app.dataframe[0].value["Model"]) == {"smollm2-135m", "gemma3-270m"}
    app.pills(key="explore_models_shown").set_value(["gemma3-270m", "opt-125m"]).run()
    table = app.dataframe[0].value
    assert set(table["Model"]) == {"gemma3-270m", "opt-125m"}
    row = table[(table["Model"] == "opt-125m") & (table["Method"] == "SparseGPT")].squeeze()
    assert round(row["Times dense"], 3) == round(36.85 / 27.66, 3)
    app.pills(key="explore_models_shown").set_value(["opt-125m", "opt-175b"]).run()
    app.segmented_control(key="explore_against").set_value("model size").run()
    assert not app.exception and set(app.dataframe[0].value["Amount"]) == {"50 %"}
    app.pills(key="explore_models_shown").set_value([]).run()
    assert "Choose at least one model." in [one.value for one in app.info]


def test_quantised_variants_appear_by_packed_size(fresh):
    shown = {"explore_mode": "Several models", "explore_families": "Quantisation", "explore_multiples_shown": "GPTQ"}
    app = open_app(**shown, explore_against="packed size")
    assert not app.exception
    table = app.dataframe[0].value
    gptq = table[(table["Method"] == "GPTQ") & (table["Amount"] == "4 bit")]
    assert (
        set(gptq["Model"]) == {"smollm2-135m", "gemma3-270m"} and gptq["Packed size vs dense (%)"].between(20, 90).all()
    )
    app.segmented_control(key="explore_against").set_value("pruning ratio").run()
    assert not app.exception and not app.dataframe
    assert "No compressed smollm2-135m fits this chart. Choose other methods" in app.info[0].value


def test_a_missing_model_shows_its_curve_and_the_command_to_fetch_it(fresh, tmp_path, monkeypatch):
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    app = open_app(explore_model="gemma3-270m")
    assert (
        not app.exception
        and len(charts(app)) == 2
        and "**SparseGPT + AdaPrune** has the lowest perplexity" in read(app)
    )
    captions = " ".join(one.value for one in app.caption)
    assert "is not on this machine" in captions and "`slimscope fetch gemma3-270m`" in captions
    assert "is not on this machine" not in " ".join(one.value for one in open_app().caption)


def test_the_trade_off_of_a_published_model_opens(fresh):
    app = open_app(explore_model="opt-125m", explore_mode="Trade-off")
    assert not app.exception


def test_a_point_of_several_models_opens_with_the_dense_model_of_its_own(fresh):
    app = open_app(explore_mode="Several models")
    for model in ("smollm2-135m", "gemma3-270m"):
        wanted = {"model": model, "series_label": "SparseGPT", "ratio": 0.5, "metric": "perplexity"}
        rows = data.frame(model)
        key = rows.loc[(rows[list(wanted)] == list(wanted.values())).all(axis=1) & rows["pattern"].isna(), "key"].iloc[
            0
        ]
        app.selectbox(key=POINT).set_value(key).run()
        assert not app.exception
        dense = rows[is_dense(rows) & (rows["dataset"] == "wikitext2") & (rows["window"] == 2048)]
        assert f"dense {format_number(dense['value'].iloc[0])}" in [one.delta for one in app.metric]


@pytest.mark.parametrize(
    ("one", "other", "text"),
    [
        (
            "SparseGPT, smollm2-135m",
            "Wanda, smollm2-135m",
            "Neither wins: **SparseGPT, smollm2-135m, 50 %** is better in perplexity on WikiText-2",
        ),
        ("SparseGPT, smollm2-135m", "SparseGPT, gemma3-270m", "cannot be paired in any number"),
    ],
)
def test_two_points_of_several_models_are_compared(fresh, one, other, text):
    app = open_app(explore_mode="Several models")
    field = app.multiselect(key="explore_compared")
    field.set_value([next(name for name in field.options if name.startswith(f"{of}, 50 %")) for of in (one, other)])
    field.run()
    assert not app.exception
    assert text in read(app)
