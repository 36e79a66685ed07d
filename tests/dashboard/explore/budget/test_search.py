"""The answer and the list of every budget, compared with a plain search over all bundled results."""

import math
import re
from collections import defaultdict
from functools import cache
from statistics import fmean

import pandas as pd
import pytest

from core.findings.best import ranking
from core.findings.best.budget import ACCURACY, PERPLEXITY, Budget, answers, winner
from core.findings.best.candidates import candidates, without_perplexity
from core.findings.best.qualities import quality_of
from core.findings.rows import choices, points
from core.findings.rows.zeroshot import Documents, on_documents, scored_on
from core.findings.sharing import SharedTable
from core.findings.within import COMPARED, BudgetQuery, rank
from dashboard import data
from tests.bundled import bundled_rows
from tests.dashboard.explore.given import open_tradeoff, ranked, table
from tests.dashboard.opened import read

COUNTED = ("packed_mb", "bits_per_weight", "parameters", "prefill_ms", "decode_ms", "memory_mb")
CHANCE = {
    ("piqa", "acc"): 0.5,
    ("hellaswag", "acc_norm"): 0.25,
    ("arc_easy", "acc"): 0.25,
    ("openbookqa", "acc_norm"): 0.25,
}
STEPS = {  # limits of each kind
    "packed_mb": [*range(60, 305, 5), 113.1, 1000],
    "times_dense": [0.5, 0.9, *(1 + place / 10 for place in range(0, 41, 2)), 10, 50, 1000, 1e6],
    "decode_ms": [1, 10, *range(20, 60, 4), 500],
    "prefill_ms": [0.1, 1, 2, 3, 5, 50],
    "memory_mb": [100, 500, 1000, 2000, 1e5],
    "bits_per_weight": [1, 2, 2.5, 3, 3.5, 4, 4.13, 4.25, 4.5, 6, 8, 12, 16, 32],
    "parameters": [1, 60, 80, 100, 120, 134, 134.6, 400],
    ACCURACY: [0.01, 0.02, *(place / 100 for place in range(4, 22)), 0.3, 0.99],
}
PAIRS = [{"packed_mb": mb, "times_dense": times} for mb in (90, 115, 150, 220, 290) for times in (1.01, 1.2, 2, 4, 8)]
PAIRS += [{"packed_mb": mb, ACCURACY: share} for mb in (100, 120, 180, 250) for share in (0.08, 0.12, 0.15)]
BUDGETS = [{}, *({kind: step} for kind, steps in STEPS.items() for step in steps), *PAIRS]
MODELS = {"smollm2-135m": ("wikitext2", 2048, 16, 500), "gemma3-270m": ("wikitext2", 2048, 8, 200)}


@cache
def searched(model):
    """Return every bundled variant of a model, as a mean over its seeds, in plain Python."""
    corpus, window, windows, documents = MODELS[model]
    seeds, of_point = defaultdict(lambda: {"times": [], "tasks": {}, "own": False}), defaultdict(dict)
    dense = None
    for row in bundled_rows(model).to_dict("records"):
        if row["origin"] != "measured":
            continue
        one = seeds[row["key"]]
        one |= {name: row[name] for name in COUNTED} | {"chain": row["chain"], "own": bool(row["own_grid"])}
        one["name"] = row["name"]
        texts = [row[name] if isinstance(row[name], str) else None for name in ("calibration", "train")]
        of_point[row["series_label"], row["chain"], *texts][row["key"]] = one
        read = row["metric"], row["dataset"], row["window"], row["windows"], row["spread_windows"]
        if read == ("perplexity", corpus, window, windows, False):
            one["perplexity"] = row["value"]
            dense = row["value"] if row["chain"] == "dense" else dense
        zero_shot = row["limit"] == documents and not row["prompts"] and row["fewshot"] == 0
        if zero_shot and row["scoring"] == "float32" and (number := (row["dataset"], row["metric"])) in CHANCE:
            one["tasks"][row["dataset"]] = row["value"] - CHANCE[number]
    found = []
    for of_seed in of_point.values():
        measured = [one for one in of_seed.values() if "perplexity" in one]
        some = measured or [*of_seed.values()]
        if not measured and some[0]["chain"] == "dense":
            continue
        variant = {name: _mean_of_known([one[name] for one in some]) for name in COUNTED}
        values = [one["perplexity"] for one in measured]
        variant["times_dense"] = fmean(values) / dense if values else math.nan
        means = [fmean(one["tasks"].values()) for one in some if len(one["tasks"]) == len(CHANCE)]
        variant[ACCURACY] = fmean(means) if means else math.nan
        found.append(variant | {name: some[0][name] for name in ("chain", "name", "own")})
    return found


def _mean_of_known(values):
    known = [value for value in values if not math.isnan(value)]  # seeds may lack latencies
    return fmean(known) if known else math.nan


def excess(variant, limits):
    """Return the largest excess as a share of its limit: 0 within the budget, NaN if a quantity is unknown."""
    over = [
        (limit - variant[kind]) / limit if kind == ACCURACY else variant[kind] / limit - 1
        for kind, limit in limits.items()
    ]
    return math.nan if any(map(math.isnan, over)) else max([0.0, *over])


def worse(variant, quality):
    """Return a number that is lower for a better variant."""
    return variant["times_dense"] if quality == PERPLEXITY else -variant[ACCURACY]


@pytest.mark.matrix(model=None, quality=None)
@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.full)])
@pytest.mark.parametrize(("model", "quality"), [(model, of) for model in MODELS for of in (PERPLEXITY, ACCURACY)])
def test_every_budget_is_answered_as_by_a_search_over_all_rows(model, quality, step, bundled):
    rows = SharedTable(bundled_rows(model))
    corpus, window, windows, documents = MODELS[model]
    text = choices.texts(rows)[choices.text_name(corpus, window, windows)]
    measured, scored = choices.on_text(rows, *text), on_documents(scored_on(rows), Documents(documents, "float32"))
    every = SharedTable(candidates(measured, scored, (), without_perplexity(rows, measured)))
    dense, numbers = SharedTable(every[points.is_dense(every)]), scored if quality == ACCURACY else measured
    assert len(every) == len(searched(model))
    shown = quality_of(quality, corpus)
    for limits in BUDGETS[::step]:
        asked = BudgetQuery(shown, Budget(**limits))
        found = rank(every, dense, SharedTable(numbers), asked, data)
        answer = ranking.answer(found, asked.budget, shown, model)
        listed = ranking.ranking(answers(found), asked.budget, "packed_mb", shown, [None] * len(answers(found)))
        fitting = [one for one in searched(model) if excess(one, limits) <= 1e-9]
        able = [one for one in fitting if not one["own"] and math.isfinite(worse(one, quality))]
        if not fitting:
            misses = {one["chain"]: excess(one, limits) for one in searched(model) if not one["own"]}
            least = min((miss for miss in misses.values() if not math.isnan(miss)), default=None)
            assert answer.startswith(f"No variant of {model} fits the budget: "), limits
            assert least is None or misses[listed["Chain"].iloc[0]] == pytest.approx(least), limits
            continue
        assert sorted(listed["Chain"]) == sorted(one["chain"] for one in fitting), limits
        check_order(listed, fitting, able, quality)
        if not able:
            assert "but none can be ranked." in answer and "**" not in answer, limits
            continue
        best = min(able, key=lambda one: (worse(one, quality), one["packed_mb"]))
        name = re.search(r"\*\*(.+?)\*\*", answer)[1]
        assert name == best["name"] and listed["Chain"].iloc[0] == best["chain"], limits
        assert winner(found)["chain"] == best["chain"]
        counted = re.search(r"Of (\d+) variants|The best of (\d+) is|(only ranked)", answer)
        assert int(counted[1] or counted[2] or 1) == len(able)
        size = float(re.search(r"([\d.,]+) MB packed", answer.partition(": ")[2])[1])
        assert size == pytest.approx(best["packed_mb"], rel=0.006)
        lacking = re.search(r"(\d+) more variants? fits?: ", answer)
        assert int(lacking[1] if lacking else 0) == sum(math.isnan(worse(one, quality)) for one in fitting)


def test_the_page_lists_the_ranked_variants_with_tests_against_the_best(bundled):
    by_page = open_tradeoff(limit_packed_mb=180, limit_times_dense=2)
    expected = ranked(packed_mb=180, times_dense=2)
    for column in ("Chain", "Times dense", ranking.ON_FRONT):
        assert table(by_page)[column].astype(str).tolist() == expected.table[column].astype(str).tolist()
    assert expected.answer.replace("\\", "").partition(": ")[0] in read(by_page)
    assert "1 more variant only restores the grid of the model's own file." in read(by_page)
    assert by_page.number_input[0].label == "I have (MB)"
    by_page = open_tradeoff(limit_packed_mb=180, quality="Accuracy above chance")
    verdicts = table(by_page)["Compared with the first"]
    compared = verdicts.iloc[1:COMPARED]
    assert pd.isna(verdicts.iloc[0]) and compared.notna().all() and compared.eq("worse").any()
    assert verdicts.iloc[COMPARED:].isna().all()
    assert "Holm's correction over the first 20" in " ".join(one.value for one in by_page.caption)
    assert "Compared with the first" not in ranked(packed_mb=1).table
    by_page.selectbox(key="explore_model").set_value("opt-125m").run()  # a published one
    assert not by_page.exception


def check_order(listed, fitting, able, quality):
    """The list is sorted by the quality; then come unchanged checkpoints and last unscored variants."""
    column, times = ("Times dense", 1) if quality == PERPLEXITY else ("Above chance (points)", -100)
    best_first = sorted(worse(one, quality) for one in able)
    assert [value / times for value in listed[column][: len(able)]] == pytest.approx(best_first)
    own = [one for one in fitting if one["own"] and math.isfinite(worse(one, quality))]
    marked = listed[ranking.ON_FRONT] == ranking.OWN_GRID
    assert list(marked[len(able) : len(able) + len(own)]) == [True] * len(own)
    assert listed[column][len(able) + len(own) :].isna().all()
