"""The trade-off on Explore: its list, compared with one computed from `results --csv`, its offers and its links."""

import io
from functools import partial
from types import SimpleNamespace

import pandas as pd
import plotly.graph_objects as go
import pytest

from core.amount import Amount
from core.analysis.budget import DIVERGED
from core.analysis.reporting import ratio_words
from core.cli.app import main
from core.notation.formatting import format_amount
from core.request.stages import DEFAULT_MODEL
from dashboard import data
from dashboard.charts.elements.style import LIGHT
from dashboard.charts.frames import ranking
from dashboard.charts.frames.estimate_words import MEASURED, YES
from dashboard.charts.frames.paired import INTERVAL
from dashboard.explore import missing
from dashboard.explore.budget import pairs
from dashboard.explore.budget.chart import CHART
from dashboard.explore.budget.table import TABLE
from dashboard.explore.comparison.field import COMPARED
from dashboard.explore.details import POINT, open_points
from dashboard.shared import widgets
from tests.dashboard.opened import charts, open_app, read
from tests.dashboard.synthetic import chained, curve, result

SEVEN = {  # as the pruning papers take them
    "boolq": "acc",
    "piqa": "acc",
    "hellaswag": "acc_norm",
    "winogrande": "acc",
    "arc_easy": "acc",
    "arc_challenge": "acc_norm",
    "openbookqa": "acc_norm",
}


def open_tradeoff(**query):
    return open_app(explore_mode="Trade-off", **{f"explore_{name}": str(value) for name, value in query.items()})


def table(app) -> pd.DataFrame:
    """Return the list of variants without estimated chains."""
    shown = app.dataframe[0].value
    return shown[shown[MEASURED] == YES].reset_index(drop=True) if MEASURED in shown else shown


@pytest.fixture
def variants(fresh, capsys):
    """Bundled variants of the default model from `results --csv`, one row each, with the mean over seeds."""
    assert main(["results", "--csv"]) == 0
    rows = pd.read_csv(io.StringIO(capsys.readouterr().out))
    rows = rows[rows["model"] == DEFAULT_MODEL]
    read_on = (rows["metric"] == "perplexity") & (rows["dataset"] == "wikitext2") & (rows["window"] == 2048)
    found = rows[read_on & (rows["n"] == 16)].sort_values("seed", kind="stable").set_index("key")
    found["value"] = found.groupby(["chain", "calibration", "train"], dropna=False)["value"].transform("mean")
    found = found[~found.duplicated(["chain", "calibration", "train"])]
    dense = found.loc[found["method"] == "dense", "value"].item()
    scored = rows[(rows["limit"] == 100) & (rows["fewshot"] == 0)]
    counted = [
        scored[(scored["dataset"] == task) & (scored["metric"] == metric)].set_index("key")["value"]
        for task, metric in SEVEN.items()
    ]
    accuracy = pd.concat(counted, axis=1).mean(axis=1, skipna=False)
    return found.assign(times=found["value"] / dense, accuracy=100 * accuracy.reindex(found.index))


def test_the_page_ranks_variants_as_computed_from_the_csv(variants):
    mb, times, accuracy, ms = (variants[name] for name in ("packed_mb", "times", "accuracy", "decode_ms"))

    # A variant on the grid of its model's file measures no method, so it never wins.
    by_hand = variants[(mb <= 180) & (times <= 2)].sort_values(["own_grid", "value"])
    assert by_hand["own_grid"].iloc[-1] and not by_hand["own_grid"].iloc[0]
    by_page = open_tradeoff(limit_packed_mb=180, limit_times_dense=2)
    assert by_hand["chain"].iloc[0] == table(by_page)["Chain"].iloc[0]
    assert set(by_hand["chain"]) == set(table(by_page)["Chain"])
    first = by_hand.iloc[0]
    removed = format_amount(Amount.from_columns(first["ratio"], first["pattern"]))
    start = f"Of {len(by_hand) - 1} variants of {DEFAULT_MODEL} with at most 180 MB packed and 2 times dense, "
    best = f"**{first['series_label']}, {removed}** has the lowest perplexity: {first['times']:.3f} times dense "
    interval = f"(unadjusted 95 % [{first['perplexity_ratio_low']:.3f}, {first['perplexity_ratio_high']:.3f}])"
    assert f"{start}{best}{interval}, {first['packed_mb']:.3g} MB packed" in read(by_page)
    assert "1 more variant only restores the grid of the model's own file." in read(by_page)
    shown = table(by_page)
    assert list(shown["Times dense"])[:-1] == sorted(by_hand["times"][:-1])
    assert list(shown[ranking.ON_FRONT] == ranking.OWN_GRID) == list(by_hand["own_grid"])
    intervals = by_hand.set_index("chain")[["perplexity_ratio_low", "perplexity_ratio_high"]]
    for chain, text in shown.set_index("Chain")[INTERVAL].items():
        ends = intervals.loc[chain]
        assert pd.isna(text) if pd.isna(ends.iloc[0]) else text.startswith(f"[{ratio_words(ends.iloc[0])},"), chain

    fitting = variants[(mb <= 230) & (accuracy >= 42)]
    by_hand = fitting.sort_values("accuracy", ascending=False)
    documents = "First 100 documents of each task, float32"
    asked = {"limit_packed_mb": 230, "limit_mean_accuracy": 42, "documents": documents}
    by_page = open_tradeoff(quality="Mean accuracy", **asked)
    assert by_hand["chain"].iloc[0] == table(by_page)["Chain"].iloc[0]
    assert table(by_page)["Mean accuracy (%)"].iloc[0] == pytest.approx(by_hand["accuracy"].iloc[0])
    assert set(by_hand["chain"]) == set(table(by_page)["Chain"])
    assert table(by_page)["Mean accuracy (%)"].is_monotonic_decreasing

    least = int(mb.min()) - 10
    over = pd.concat([mb / least - 1, times / 1.5 - 1], axis=1).max(axis=1)
    by_hand = variants.assign(over=over).sort_values(["own_grid", "over", "value"]).head(10)
    by_page = open_tradeoff(limit_packed_mb=least, limit_times_dense=1.5)
    assert list(by_hand["chain"]) == list(table(by_page)["Chain"])
    assert (
        f"No variant of {DEFAULT_MODEL} fits the budget: at most {least} MB packed and 1.5 times dense. Nearest:"
        in read(by_page)
    )
    first = by_hand.iloc[0]
    excess = f"{first['packed_mb'] - least:.3g} MB packed over ({100 * (first['packed_mb'] / least - 1):.2g} %)"
    assert table(by_page)["Misses by"].iloc[0].startswith(excess)

    by_hand = variants[(ms <= 40) & (times <= 2)].sort_values("value")
    by_page = open_tradeoff(limit_decode_ms=40, limit_times_dense=2)
    assert by_hand["chain"].iloc[0] == table(by_page)["Chain"].iloc[0]
    assert set(by_hand["chain"]) == set(table(by_page)["Chain"])


def test_fitting_variants_have_paired_tests_against_the_best(fresh):
    by_page = open_tradeoff(limit_packed_mb=180, quality="Mean accuracy")
    verdicts = table(by_page)["Compared with the first"]
    compared = verdicts.iloc[1 : pairs.COMPARED]
    assert pd.isna(verdicts.iloc[0]) and compared.notna().all() and compared.eq("worse").any()
    assert verdicts.iloc[pairs.COMPARED :].isna().all()
    assert "Holm's correction over the first 20" in " ".join(one.value for one in by_page.caption)
    assert "Compared with the first" not in table(open_tradeoff(limit_packed_mb=1))


def test_the_page_has_the_pareto_front_computed_from_the_csv(variants):
    better = DIVERGED  # diverged variants are on no front
    by_hand = []
    rows = variants[~variants["own_grid"]].sort_values(["packed_mb", "value"])
    for chain, value in rows[["chain", "value"]].itertuples(index=False):
        if value < better:
            better = value
            by_hand.append(chain)
    shown = table(open_tradeoff())
    assert set(by_hand) == set(shown.loc[shown[ranking.ON_FRONT] == "yes", "Chain"])


def test_the_table_lists_checkpoint_sizes_by_precision(filled):
    shown = table(open_tradeoff(limit_packed_mb=200)).set_index("Chain")
    row = shown.loc["sparsegpt@0.5"]
    assert row["fp32 MB"] == pytest.approx((4 * 134_500_000 + 106_000_000 // 8) / 1e6)
    assert row["fp16 MB"] == pytest.approx((2 * 134_500_000 + 106_000_000 // 8) / 1e6)


def test_invalid_values_in_a_link_fall_back_to_defaults(filled):
    app = open_tradeoff(limit_packed_mb="much", limit_times_dense=-3, limit_mean_accuracy=200, quality="x", cost="y")
    assert [field.value for field in app.number_input] == [None] * len(app.number_input)
    assert app.selectbox(key="explore_cost").value == "packed size"
    assert len(table(app)) == len(curve())
    assert "Set a limit to find the best variant within it." in read(app)
    app = open_tradeoff(limit_packed_mb="nan", limit_memory_mb="inf", only_family="nonsense", only_method="Wanda")
    assert set(table(app)["Method"]) == {"Wanda"} and not app.exception


def test_an_unknown_mode_shows_the_curve(filled):
    app = open_app(explore_mode="nonsense")
    assert {"explore_at", "explore_series"} < {group.key for group in app.get("button_group")} and len(charts(app)) == 2


def test_unmeasured_variants_miss_the_limit_and_are_counted(filled):
    app = open_tradeoff(limit_decode_ms=40)
    assert set(table(app)["Misses by"]) == {"latency not measured"}
    app = open_tradeoff(cost="decode latency")
    assert f"Not drawn: {len(curve())} (latency not measured)." in " ".join(one.value for one in app.caption)
    assert not app.exception


@pytest.fixture
def mixed(filled):
    filled.put(result("sparsegpt", 25.0, 0.5, recovery="lora"))
    filled.put(result("slimllm", 60.0, 0.5))
    filled.put(result("wanda", 43.0, 0.5, calibration="c4-sample:16x2048"))
    return filled


@pytest.mark.parametrize(
    ("field", "choice", "left"),
    [
        ("family", ["structured"], {"slimllm@0.5"}),
        ("training", ["trained"], {"sparsegpt@0.5+lora"}),
        ("calibrated", ["c4-sample:16x2048"], {"wanda@0.5"}),
        ("method", ["slimllm", "dense"], {"slimllm@0.5", "dense"}),
    ],
)
def test_filters_keep_matching_variants(mixed, field, choice, left):
    app = open_tradeoff()
    app.multiselect(key=f"explore_only_{field}").set_value(choice).run()
    assert set(table(app)["Chain"]) == left and not app.exception
    assert '"Dense"' in charts(app)[0].proto.spec  # the baseline is always drawn


def test_filters_without_matches_show_a_message(mixed):
    app = open_tradeoff(only_family="Structured", only_training="Trained")
    assert [info.value for info in app.info] == ["No variant passes the filters. Remove a filter."]


def test_labels_distinguish_variants_by_calibration_data(mixed):
    shown = table(open_tradeoff(only_method="Wanda"))
    twins = shown[shown["Chain"] == "wanda@0.5"].set_index("Method")
    assert set(twins.index) == {"Wanda, passages-calibration:16x2048", "Wanda, c4-sample:16x2048"}
    assert sorted(twins["Perplexity"]) == [43.0, 44.0]


def test_seeds_are_averaged_to_one_point(filled):
    filled.put(result("wanda", 46.0, 0.5, seed=1))
    shown = table(open_tradeoff(only_method="Wanda")).set_index("Amount")
    assert shown.loc["50 %", "Perplexity"] == 45.0


def test_selected_rows_and_markers_open_their_point_and_two_a_comparison(monkeypatch):
    state = {}
    monkeypatch.setattr(widgets.st, "session_state", state)
    monkeypatch.setattr(widgets, "_underneath", lambda *_: None)
    monkeypatch.setattr(widgets, "page_theme", lambda: LIGHT)
    monkeypatch.setattr(widgets.st, "plotly_chart", lambda *_, on_select, **__: on_select())
    state[CHART] = SimpleNamespace(selection=SimpleNamespace(points=[{"customdata": ["third", "text"]}]))
    shown = {"file": "x", "alt": "", "on_select": partial(open_points, CHART)}
    widgets.show_chart(CHART, lambda _: go.Figure(), "caption", pd.DataFrame(), **shown)
    assert state[POINT] == "third" and state[COMPARED] == []
    both = [{"customdata": ["third", "text"]}, {"customdata": ["first", "text"]}]
    state[CHART] = SimpleNamespace(selection=SimpleNamespace(points=both))
    widgets.show_chart(CHART, lambda _: go.Figure(), "caption", pd.DataFrame(), **shown)
    assert state[POINT] is None and state[COMPARED] == ["third", "first"]
    opened = []
    monkeypatch.setattr(widgets.st, "dataframe", lambda *_, on_select, **__: on_select())
    state[TABLE] = SimpleNamespace(selection=SimpleNamespace(rows=[1]))
    widgets.show_table(TABLE, pd.DataFrame(), "caption", {}, file="x", on_select=opened.append)
    assert opened == [[1]]


def test_an_open_point_shows_its_command_and_can_be_saved(filled):
    app = open_tradeoff(limit_packed_mb=200, point="sparsegpt@0.5")
    assert "run smollm2-135m sparsegpt@0.5" in app.code[0].value
    assert any(button.key == "explore_save" for button in app.button) and not app.exception


def test_a_model_without_perplexities_shows_a_message(filled):
    one = result("wanda", 43.0, 0.5, model="other")
    filled.put(one.model_copy(update={"measurements": one.measurements[1:]}))
    app = open_tradeoff(model="other")
    assert "This model has no perplexity yet" in app.info[0].value and not app.exception


def test_without_dense_results_the_ratio_to_dense_is_unknown(store):
    store.put(result("wanda", float("inf"), 0.5, scored=False))
    store.put(result("magnitude", float("nan"), 0.7, scored=False))
    app = open_tradeoff()
    assert len(table(app)) == 2 and len(charts(app)) == 1
    app = open_tradeoff(limit_times_dense=2)
    assert set(table(app)["Misses by"]) == {"unknown ratio to dense"} and not app.exception
    app = open_tradeoff(limit_packed_mb=250)
    start = "2 variants of smollm2-135m with at most 250 MB packed fit, but none can be ranked."
    assert f"{start} 2 variants fit: perplexity diverged." in read(app)
    app = open_tradeoff(quality="Mean accuracy")
    assert "Not drawn: 2 (mean accuracy not measured)." in " ".join(one.value for one in app.caption)
    assert not app.exception


def test_settings_of_the_curve_are_hidden_elsewhere_and_kept(filled):
    filled.put(result("slimllm", 60.0, 0.5))  # another family
    app = open_app(explore_methods="Wanda", explore_x="packed size")

    def asked() -> set[str]:
        return {field.key for kind in ("multiselect", "selectbox", "button_group") for field in app.get(kind)}

    def turn(to: str) -> None:
        next(group for group in app.get("button_group") if group.key == "explore_mode").set_value(to).run()

    of_curve = {"explore_families", "explore_methods", "explore_x"}
    assert of_curve <= asked()
    turn("Trade-off")
    assert of_curve.isdisjoint(asked()) and len(table(app)) > len(curve())  # the curve's methods do not filter it
    turn("Curve")
    assert app.multiselect(key="explore_methods").value == ["wanda"]
    assert app.selectbox(key="explore_x").value == "packed size" and not app.exception


def test_the_budget_is_asked_first_and_answered_below(fresh):
    app = open_tradeoff(limit_packed_mb=100)
    fields = [field.key for field in app.number_input]
    assert fields[0] == "explore_limit_packed_mb" and app.number_input[0].label == "I have (MB)"
    assert f"variants of {DEFAULT_MODEL} with at most 100 MB packed, **" in read(app)
    assert "#" not in table(app)
    assert table(app)["Times dense"].is_monotonic_increasing


def test_variants_without_the_accuracy_are_counted_listed_last_and_offered(filled):
    app = open_tradeoff(quality="Mean accuracy", limit_packed_mb=200)
    shown = table(app)
    lacking = shown["Mean accuracy (%)"].isna()
    assert lacking.any() and not lacking.all() and list(lacking) == sorted(lacking)
    count = int(lacking.sum())
    assert "mean accuracy not measured." in read(app)
    titles = [box.label for box in app.expander]
    assert any(title.endswith("not ranked: mean accuracy not measured") for title in titles)
    assert "explore_run_unscored" not in {button.key for button in app.button}  # nothing is estimated before
    app.session_state[missing.UNSCORED] = True
    app.run()
    assert len(app.multiselect(key="explore_unscored_mean_accuracy").options) == count
    known = data.frame(DEFAULT_MODEL).drop_duplicates("chain").set_index("chain")["key"]
    app.multiselect(key="explore_unscored_mean_accuracy").set_value([known[shown["Chain"].iloc[-1]]]).run()
    app.button(key="explore_run_unscored").click().run()
    (job,) = data.queue().jobs()
    assert job.spec.variant.key == known[shown["Chain"].iloc[-1]]
    assert {task.task for task in job.spec.tasks} == set(SEVEN) and not app.exception


def test_variants_without_a_perplexity_on_the_text_are_listed_last_and_offered(filled):
    filled.put(chained("wanda@0.45", 21.0, corpus="passages-calibration"))
    app = open_tradeoff(text="BoolQ passages, 16 x 2048 tokens", limit_packed_mb=200)
    shown = table(app)
    assert shown["Chain"].iloc[-1] == "wanda@0.45" and pd.isna(shown["Perplexity"].iloc[-1])
    assert "1 more variant fits: perplexity on this text not measured." in read(app)
    app.session_state[missing.UNSCORED] = True
    app.run()
    app.button(key="explore_run_unscored").click().run()
    (job,) = data.queue().jobs()
    assert [text.corpus for text in job.spec.perplexity] == ["passages-eval"] and not job.spec.tasks


def test_the_details_of_a_point_of_several_seeds_open(filled):
    filled.put(result("wanda", 46.0, 0.5, seed=1))
    app = open_tradeoff(point="wanda@0.5")
    assert "Means of 2 seeds" in " ".join(one.value for one in app.caption) and not app.exception
