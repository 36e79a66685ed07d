"""The answer on Explore against a search through every bundled row, one row after the other."""

import re
from collections import defaultdict
from dataclasses import fields
from functools import cache
from urllib.parse import parse_qs

import numpy as np
import pandas as pd
import pytest

from core.amount import Amount
from core.analysis.differences import differences
from core.analysis.reporting import interval_words, ratio_words
from core.registry import METHODS, STAGES
from core.request.compatibility import on_convolutions
from core.specs import OUTSIDE_BLOCKS
from core.store.bundled import read_measured
from core.store.database import database_url
from core.store.store import Store
from core.training.base import TrainingMethod
from dashboard.charts.elements import figures
from dashboard.charts.frames import choices, points
from dashboard.charts.frames.answer import TRAINED, UNTRAINED
from dashboard.explore.answer import best_at
from dashboard.explore.curve_data import drawn_points
from dashboard.shared.pickers import Chosen
from tests.dashboard.bundled import bundled_rows
from tests.dashboard.explore.test_explore import control
from tests.dashboard.opened import charts, open_app, read

MODELS = ("gemma3-270m", "smollm2-135m")  # that with fewer variants first, as `make test` takes the first
TRAINS = {one.name for one in STAGES if issubclass(one, TrainingMethod)}
AXES = {"pruning ratio": figures.RATIO, "packed size": figures.PACKED, "bits per weight": figures.BITS}
CASES = [
    (model, family, axis)
    for model in MODELS
    for family in dict.fromkeys(one.family for one in METHODS if one.takes_amount and not on_convolutions(one))
    for axis in AXES
]


@cache
def rows_of(model):
    return bundled_rows(model)


@cache
def records_of(model):
    return rows_of(model).to_dict("records")


def has_place(row, axis):
    """Return whether a variant is on an axis."""
    if axis == "pruning ratio":
        return not row["rounded"] and row["ratio_kind"] not in OUTSIDE_BLOCKS
    column = AXES[axis].column
    untouched = row["bits_per_weight"] == 16 and (row["rounded"] or row["ratio_kind"] in OUTSIDE_BLOCKS)
    return row[column] == row[column] and not (axis == "bits per weight" and untouched)


def searched(model, family, axis, text, calibration, training):
    """Return by amount the (perplexity, series, trained) of every variant of a family, the best first."""
    corpus, protocol = text
    values, trained, amounts = defaultdict(dict), {}, {}
    for row in records_of(model):
        if (row["metric"], row["dataset"], row["protocol_id"]) != ("perplexity", corpus, protocol):
            continue
        other = [row["calibration"] not in (None, calibration), row["train"] not in (None, training)]
        if row["family"] != family or any(other) or row["own_grid"] or not has_place(row, axis):
            continue
        if row["layers"] is not None:  # its ratio is that of some layers
            continue
        amount = Amount.from_columns(row["ratio"], row["pattern"])
        if amount is None:
            continue
        point = amount.label, row["series_label"]
        values[point][row["key"]] = row["value"]
        trained[point] = any(name in TRAINS for name in re.findall(r"[a-z][a-z0-9-]*(?=[@,+]|$)", row["chain"]))
        amounts[amount.label] = amount
    found = defaultdict(list)
    for (amount, series), seeds in values.items():
        found[amount].append((sum(seeds.values()) / len(seeds), series, trained[amount, series]))
    return {amount: sorted(variants) for amount, variants in found.items()}


def picked(model, rows):
    """Return the choices of a page that shows these rows."""
    nothing = {field.name: None for field in fields(Chosen)}
    return Chosen(**nothing | {"model": model, "measured": rows})


def computed(model, family, axis, text, calibration, training):
    """Return by amount what the page's functions find."""
    rows = choices.shown(rows_of(model), [method.name for method in METHODS if method.family == family])
    rows = choices.filter_by_text(choices.on_text(choices.curved(rows, AXES[axis]), *text), calibration, training)
    dense, found = points.split_points(rows)
    found = drawn_points(found, [], True, AXES[axis])
    labels = found.set_index("key")["series_label"]
    best = {at: best_at(picked(model, rows), dense, found, at) for at in points.amounts(found)}
    return {
        at: (len(one.kinds), labels[one.overall], {kind: labels[key] for kind, key in one.of_kind.items()})
        for at, one in best.items()
        if one
    }


def pairs_of_data(rows):
    """Return each calibration data with the first training data, and the first with each training data."""
    calibrations, trainings = choices.calibrations(rows) or [None], choices.trainings(rows) or [None]
    return dict.fromkeys(
        [*((one, trainings[0]) for one in calibrations), *((calibrations[0], one) for one in trainings)]
    )


@pytest.mark.matrix(model=None)
@pytest.mark.parametrize("model", MODELS)
def test_the_best_is_that_of_a_search_through_all_rows(model):
    rows, compared = rows_of(model), 0
    for of, family, axis in CASES:
        for text in choices.texts(rows).values() if of == model else ():
            for data in pairs_of_data(rows):
                asked = (model, family, axis, text, *data)
                expected = {}
                for at, variants in searched(*asked).items():
                    of_kind = {}
                    for _, series, trained in variants:
                        of_kind.setdefault(TRAINED if trained else UNTRAINED, series)
                    expected[at] = len(variants), variants[0][1], of_kind
                assert computed(*asked) == expected, asked
                compared += len(expected)
    assert compared > 20


def interval(store, model, series, at, text):
    """Return the interval of a variant's perplexity over the dense model's as the page writes it; None without one."""
    rows = rows_of(model)
    on_text = rows[(rows["metric"] == "perplexity") & (rows["dataset"] == text[0]) & (rows["protocol_id"] == text[1])]
    where = [getattr(Amount.from_columns(*one), "label", None) for one in on_text[["ratio", "pattern"]].to_numpy()]
    keys = on_text.loc[(on_text["series_label"] == series) & np.array([one == at for one in where]), "key"]
    dense = on_text.loc[on_text["chain"] == "dense", "key"].iloc[0]
    known = read_measured().results
    if len(keys) > 1:
        return None  # of several seeds
    found = differences([known[keys.iloc[0]]], known[dense], store.samples)
    found = found[(found["dataset"] == text[0]) & (found["protocol_id"] == text[1]) & found["ratio"].notna()]
    return None if found.empty else interval_words(*found[["ratio_low", "ratio_high"]].iloc[0], ratio_words)


@pytest.mark.matrix(model=None, family=None)
@pytest.mark.parametrize(
    ("model", "family"), [(model, family) for model, family, axis in CASES if axis == "packed size"]
)
def test_the_page_states_the_best_of_all_drawn_variants(fresh, model, family):
    """The sentence has the winners of the search, with their paired intervals, and the chart highlights them."""
    axis = "packed size" if family in ("quantisation", "embedding") else "pruning ratio"
    text = next(iter(choices.texts(rows_of(model)).values()))
    shown = {"explore_model": model, "explore_families": family.capitalize(), "explore_x": axis}
    app = open_app(**shown)
    trainings = choices.trainings(rows_of(model)) or [None]
    training = app.selectbox(key="explore_training").value if "explore_training" in boxes(app) else trainings[0]
    wanted = searched(model, family, axis, text, choices.calibrations(rows_of(model))[0], training)
    assert wanted
    store = Store(database_url(None))
    for at, variants in wanted.items():
        if len(wanted) > 1:
            control(app, "explore_at").set_value(at).run()
        assert not app.exception
        answer = next(one for one in (one.value.replace("\\", "") for one in app.markdown) if one.startswith(model))
        best, count = variants[0], len(variants)
        states = f"has the lowest perplexity of {count} variants" if count > 1 else "is the only variant"
        if "diverged" in answer:
            assert best[0] > 10_000 or best[0] > 500 * dense_value(model, text)
            assert f"**{best[1]}** has the lowest perplexity: " in answer
            continue
        assert f"**{best[1]}** {states}, " in answer, (at, answer)
        if expected := interval(store, model, best[1], at, text):
            assert f" times dense (unadjusted 95 % {expected})" in answer
        second = next((one for one in variants if one[2] != best[2]), None)
        if second:
            assert f"{'With' if second[2] else 'Without'} training: **{second[1]}**, " in answer
            if expected := interval(store, model, second[1], at, text):
                assert f" times dense {expected}" in answer
        elif count > 1:
            assert f"No variant {TRAINED if not best[2] else UNTRAINED} is measured here." in answer
        names = [f'"name":"{one[1]}"' for one in (best, second) if one]
        drawn = charts(app)[0].proto.spec.replace('": "', '":"')
        assert all(name in drawn for name in names) and '"circle-open"' in drawn
        if (named := smaller(store, model, best[1], at, text, training)) is not None:
            assert (f"Smaller and better: **{named}**" in read(app)) == bool(named), (at, read(app))


def dense_value(model, text):
    rows = rows_of(model)
    rows = rows[(rows["dataset"] == text[0]) & (rows["protocol_id"] == text[1]) & (rows["chain"] == "dense")]
    return rows["value"].iloc[0]


def smaller(store, model, series, at, text, training):
    """Return the name of the best variant of another family that is smaller, and better by its paired interval.

    "" without one; None if the winner or this variant has several seeds, whose intervals this search does not know.
    """
    winner, others = [], defaultdict(list)
    for row in records_of(model):
        number = row["metric"], row["dataset"], row["protocol_id"]
        if number != ("perplexity", *text) or row["own_grid"] or row["train"] not in (None, training):
            continue
        amount = Amount.from_columns(row["ratio"], row["pattern"])
        name = f"{row['series_label']}, {amount.label}" if amount else row["series_label"]
        if name == f"{series}, {at}":
            winner.append(row)
        elif row["chain"] != "dense":
            others[name].append(row)
    if len(winner) > 1:
        return None
    (best,), known = winner, read_measured().results
    for name, rows in sorted(others.items(), key=lambda one: sum(row["value"] for row in one[1]) / len(one[1])):
        row = rows[0]
        if row["family"] == best["family"] or row["packed_mb"] >= best["packed_mb"] or row["value"] >= best["value"]:
            continue
        if len(rows) > 1:
            return None
        found = differences([known[row["key"]]], known[best["key"]], store.samples)
        found = found[(found["dataset"] == text[0]) & (found["protocol_id"] == text[1])]
        if len(found) and found["ratio_high"].iloc[0] < 1:
            return name
    return ""


def test_grey_variants_count_and_the_model_is_named(fresh):
    """Fine-tuned SlimLLM is grey among the structured methods, and was left out of the sentence."""
    app = open_app(explore_families="Structured", explore_series=["SlimLLM", "LoRAP"])
    answer = read(app)
    start = (
        "smollm2-135m at a pruning ratio of 50 %, with training: **SlimLLM + White-box distillation** has the lowest"
    )
    assert start in answer and "Without training: **SlimLLM**, 5.62 times dense [" in answer
    assert set(app.dataframe[0].value["Method"]) == {"Dense", "SlimLLM", "LoRAP"}  # the table has the chosen series
    app.toggle(key="explore_others").set_value(False).run()
    assert "without training: **SlimLLM** has the lowest perplexity of 2 variants" in read(app)


def test_another_family_does_not_worsen_the_answer(fresh):
    best = "**SparseGPT + White-box distillation** has the lowest perplexity of"
    for families in (["Unstructured"], ["Unstructured", "Structured"], ["Unstructured", "Structured", "Low rank"]):
        app = open_app(explore_families=families)
        assert best in read(app) and "Without training: **ALPS**" in read(app)


def test_a_better_family_by_size_is_one_click_away(fresh):
    app = open_app()
    better = "GPTQ 4.25 bit (symmetric off, clip on) + White-box distillation + RTN (on embedding)"
    assert f"Smaller and better: **{better}, 8 bit** (quantisation), 90 MB, 1.020 times dense" in read(app)
    (link,) = (one for one in app.get("page_link") if one.proto.label == "Compare by packed size")
    query = parse_qs(link.proto.query_string)
    assert query["explore_families"] == ["Unstructured", "Quantisation"] and query["explore_x"] == ["packed size"]
    app = open_app(**query)
    assert app.selectbox(key="explore_x").value == "packed size" and not app.exception
    assert control(app, "explore_at").value == "50 %"
    assert {better, "SparseGPT + White-box distillation", "ALPS"} == set(control(app, "explore_series").value)
    assert "Smaller and better: " in read(app)
    assert "Compare by packed size" not in {one.proto.label for one in app.get("page_link")}  # it does already


def test_quantisation_is_a_family_and_switches_the_axis(fresh):
    app = open_app()
    families = control(app, "explore_families")
    assert "Quantisation" in families.options and app.selectbox(key="explore_x").value == "pruning ratio"
    families.set_value(["unstructured", "quantisation"]).run()
    assert app.selectbox(key="explore_x").value == "packed size" and not app.exception
    assert {"wanda", "gptq"} < set(app.multiselect(key="explore_methods").value)
    app.selectbox(key="explore_x").set_value("pruning ratio").run()
    assert "Quantisation: no place on this axis." in [one.value for one in app.caption]
    app.button(key="explore_by_size").click().run()
    assert app.selectbox(key="explore_x").value == "packed size"
    assert "gptq" in app.multiselect(key="explore_methods").value


def test_the_series_are_one_list_in_the_sidebar_with_samples_of_their_styles(fresh):
    for shown, key in (({}, "explore_series"), ({"explore_mode": "Several models"}, "explore_multiples_shown")):
        app = open_app(**shown)
        (there,) = (group for group in app.sidebar.get("button_group") if group.key == key)
        (css,) = (one.proto.body for one in app.get("html") if f".st-key-{key}" in one.proto.body)
        assert 5 < css.count("data:image/svg+xml") <= len(there.options)


def test_a_point_has_one_name_and_both_spellings_are_found(fresh):
    names = open_app(explore_point="sparsegpt@2:4")
    assert [one.proto.dialog.title for one in names.get("dialog")] == ["SparseGPT, 2:4"]
    point = names.selectbox(key="explore_point")
    (option,) = (one for one in point.options if one.endswith(" sparsegpt@2:4"))
    assert option == "SparseGPT, 2:4 · sparsegpt@2:4"
    (other,) = (box for box in names.selectbox if box.label == "Compare with")
    assert any(one.startswith("Wanda, 2:4") and one.endswith(" · wanda@2:4") for one in other.options)
    assert open_app(explore_point=option).selectbox(key="explore_point").value == point.value  # a new link, as an old


def test_a_model_restored_to_its_own_grid_never_wins():
    rows = rows_of("smollm2-135m")
    rows = rows[(rows["metric"] == "perplexity") & (rows["window"] == 2048) & (rows["dataset"] == "wikitext2")]
    own, other = rows[rows["own_grid"]].iloc[[0]], rows[rows["chain"] == "gptq@4bit"].iloc[[0]]
    assert own["series_label"].iloc[0].endswith("(the file's own grid)")
    both = pd.concat([own, other])
    chosen = picked("smollm2-135m", both)
    assert best_at(chosen, both[:0], points.collapse(both), "4 bit").keys == [other["key"].iloc[0]]
    assert best_at(chosen, both[:0], points.collapse(own), "4 bit") is None


def boxes(app):
    return {box.key for box in app.selectbox}
