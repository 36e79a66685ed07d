"""The answer on Explore against a search through every bundled row, one row after the other."""

import re
from collections import defaultdict
from dataclasses import fields
from functools import cache

import numpy as np
import pandas as pd
import pytest

from core.amount import Amount
from core.data.corpora import default_corpora
from core.findings import axes
from core.findings.best.answer import TRAINED, UNTRAINED
from core.findings.curve import best_at, curve, smaller_at
from core.findings.finding import StoreReader
from core.findings.numbers.differences import differences
from core.findings.numbers.reporting import interval_words, ratio_words
from core.findings.rows import choices, points
from core.findings.seeds import Seeds
from core.registry import METHODS, STAGES
from core.specs import OUTSIDE_BLOCKS
from core.store.bundled import read_measured
from core.training.base import TrainingMethod
from dashboard import data
from dashboard.shared.literal import literal
from dashboard.shared.pickers import Chosen
from tests.bundled import bundled_rows
from tests.dashboard.explore.given import answer_at, best_of, shown

MODELS = ("gemma3-270m", "smollm2-135m")  # that with fewer variants first, as `make test` takes the first
TRAINS = {one.name for one in STAGES if issubclass(one, TrainingMethod)}
AXES = {"pruning ratio": axes.RATIO, "packed size": axes.PACKED, "bits per weight": axes.BITS}
CASES = [
    (model, family, axis)
    for model in MODELS
    for family in dict.fromkeys(one.family for one in METHODS if one.takes_amount)
    for axis in AXES
]


rows_of = cache(bundled_rows)


@cache
def perplexities_of(model):
    rows = rows_of(model)
    return rows[rows["metric"] == "perplexity"].to_dict("records")


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
    for row in perplexities_of(model):
        if (row["dataset"], row["protocol_id"]) != (corpus, protocol):
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
    found = differences([known[keys.iloc[0]]], known[dense], store.samples, seeds=Seeds(store))
    found = found[(found["dataset"] == text[0]) & (found["protocol_id"] == text[1]) & found["ratio"].notna()]
    return None if found.empty else interval_words(*found[["ratio_low", "ratio_high"]].iloc[0], ratio_words)


@pytest.mark.matrix(model=None, family=None)
@pytest.mark.parametrize(
    ("model", "family"), [(model, family) for model, family, axis in CASES if axis == "packed size"]
)
def test_the_answer_states_the_best_of_all_drawn_variants(bundled, model, family):
    """The sentences have the winners of the search, with their paired intervals."""
    axis = "packed size" if family in ("quantisation", "embedding") else "pruning ratio"
    text = next(iter(choices.texts(rows_of(model)).values()))
    view = shown(model=model, families=family.capitalize(), x=axis)
    training = view.chosen.training or next(iter(choices.trainings(rows_of(model))), None)
    wanted = searched(model, family, axis, text, choices.calibrations(rows_of(model))[0], training)
    assert wanted
    rows, reader = data.frame(model), StoreReader(bundled)
    for at, variants in wanted.items():
        written = answer_at(view, at)
        assert str(curve(model, rows, default_corpora()[0], reader, family, at=at)) == written.replace(
            "**", ""
        ).replace("  \n", "\n")
        assert written.startswith(model)
        best, count = variants[0], len(variants)
        states = f"has the lowest perplexity of {count} variants" if count > 1 else "is the only variant"
        if "diverged" in written:
            assert best[0] > 10_000 or best[0] > 500 * view.dense["value"].iloc[0]
            assert f"**{best[1]}** has the lowest perplexity: " in written
            continue
        assert f"**{best[1]}** {states}, " in written, (at, written)
        if expected := interval(bundled, model, best[1], at, text):
            assert f" times dense (unadjusted 95 % {expected})" in written
        second = next((one for one in variants if one[2] != best[2]), None)
        if second:
            assert f"{'With' if second[2] else 'Without'} training: **{second[1]}**, " in written
            if expected := interval(bundled, model, second[1], at, text):
                assert f" times dense {expected}" in written
        elif count > 1:
            assert f"No variant {TRAINED if not best[2] else UNTRAINED} is measured here." in written
        if (named := smaller(bundled, model, best[1], at, text, training)) is not None:
            found = smaller_at(view.chosen, view.dense, data.frame(model), best_of(view, at)[1], data, literal)
            words = found.sentence.replace("\\", "") if found else ""
            assert words.startswith(f"Smaller and better: **{named}**") if named else not words, (at, words)


def smaller(store, model, series, at, text, training):
    """Return the name of the best variant of another family that is smaller, and better by its paired interval.

    "" without one; None if the winner or this variant has several seeds, whose intervals this search does not know.
    """
    winner, others = [], defaultdict(list)
    for row in perplexities_of(model):
        if (row["dataset"], row["protocol_id"]) != text or row["own_grid"] or row["train"] not in (None, training):
            continue
        amount = Amount.from_columns(row["ratio"], row["pattern"])
        name = row["series_label"], amount.label if amount else ""
        if name == (series, at):
            winner.append(row)
        elif row["chain"] != "dense":
            others[name].append(row)
    if len(winner) > 1:
        return None
    (best,), known = winner, read_measured().results
    for rows in sorted(others.values(), key=lambda one: sum(row["value"] for row in one) / len(one)):
        row = rows[0]
        if row["family"] == best["family"] or row["packed_mb"] >= best["packed_mb"] or row["value"] >= best["value"]:
            continue
        if len(rows) > 1:
            return None
        found = differences([known[row["key"]]], known[best["key"]], store.samples, seeds=Seeds(store))
        found = found[(found["dataset"] == text[0]) & (found["protocol_id"] == text[1])]
        if len(found) and found["ratio_high"].iloc[0] < 1:
            return row["name"]
    return ""


def test_grey_variants_count_and_the_model_is_named(bundled):
    """Fine-tuned SlimLLM is grey among the structured methods, and was left out of the sentence."""
    written = answer_at(shown(("SlimLLM", "LoRAP"), families="Structured"), "50 %")
    start = "smollm2-135m at a pruning ratio of 50 %, with training: **SlimLLM + distill #415b** has the"
    assert start in written and "Without training: **SlimLLM**, 5.62 times dense [" in written
    without = answer_at(shown(("SlimLLM", "LoRAP"), others=False, families="Structured"), "50 %")
    assert "without training: **SlimLLM** has the lowest perplexity of 2 variants" in without
    for families in (["Unstructured"], ["Unstructured", "Structured", "Low rank"]):
        written = answer_at(shown(families=families), "50 %")
        assert "**SparseGPT + distill #1ea9** has the lowest perplexity of" in written
        assert "Without training: **ALPS**" in written


def test_a_model_restored_to_its_own_grid_never_wins():
    rows = rows_of("smollm2-135m")
    rows = rows[(rows["metric"] == "perplexity") & (rows["window"] == 2048) & (rows["dataset"] == "wikitext2")]
    own, other = rows[rows["own_grid"]].iloc[[0]], rows[rows["chain"] == "gptq@4bit"].iloc[[0]]
    assert own["series_label"].iloc[0].endswith(",own grid")
    both = pd.concat([own, other])
    chosen = picked("smollm2-135m", both)
    assert best_at(chosen, both[:0], points.collapse(both), "4 bit").keys == [other["key"].iloc[0]]
    assert best_at(chosen, both[:0], points.collapse(own), "4 bit") is None
