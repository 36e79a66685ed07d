"""The table "Choose": its rows against a plain search over all bundled results, and its advice."""

import math
from collections import defaultdict
from statistics import fmean

import pytest

from core.analysis.differences import differences
from core.analysis.verdicts import SIGNIFICANT
from core.registry import data_requirement, get_stage, on_own_grid, quantises
from core.store.bundled import read_measured
from core.store.samples import read_shipped_samples
from dashboard.charts.frames import choose
from tests.dashboard.synthetic import result
from tools.report.choose import measured

MODELS = {"smollm2-135m": 16, "gemma3-270m": 8}  # windows


def searched(model):
    """Return every bundled variant of a model with a perplexity, as a mean over its seeds, in plain Python."""
    of_point = defaultdict(list)
    for one in read_measured().results.values():
        if one.variant.model != model or not one.footprint:
            continue
        values = [
            row.value
            for row in one.measurements
            if (row.metric, row.dataset) == ("perplexity", "wikitext2")
            and (row.protocol.get("window"), row.protocol.get("windows")) == (2048, MODELS[model])
            and not row.protocol.get("spread")
        ]
        if values:
            plain = [stage.model_copy(update={"seed": None}) for stage in one.variant.stages]
            of_point[str(plain)].append((one, values[0]))
    return [
        {
            "result": seeds[0][0],
            "perplexity": fmean(value for _, value in seeds),
            "megabytes": seeds[0][0].counted.packed_bytes / 1e6,
            "dense": seeds[0][0].variant.key == seeds[0][0].variant.dense_key,
            "own": on_own_grid(model, seeds[0][0].variant.stages),
            "trained": any(data_requirement(stage) == "training" for stage in seeds[0][0].variant.stages),
        }
        for seeds in of_point.values()
    ]


@pytest.fixture(scope="module")
def variants():
    return {model: searched(model) for model in MODELS}


@pytest.fixture(scope="module")
def models():
    shipped = list(read_measured().results.values())
    return {model: measured(shipped, read_shipped_samples, model) for model in MODELS}


def best_of(found, most, trained):
    able = [one for one in found if one["megabytes"] <= most * (1 + 1e-9) and one["trained"] == trained]
    able = [one for one in able if not one["own"] and not one["dense"] and math.isfinite(one["perplexity"])]
    return min(able, key=lambda one: (one["perplexity"], one["megabytes"]), default=None)


def dense_of(found):
    return next(one for one in found if one["dense"])


@pytest.mark.matrix(model=None)
@pytest.mark.parametrize("model", MODELS)
def test_every_choice_is_that_of_a_search_over_all_rows(model, variants, models):
    first = models[model]
    others = [one for name, one in models.items() if name != model]
    sizes = choose.sizes_of(first, models["smollm2-135m"])
    found = choose.choose([first, *others], sizes)
    assert len(found) == 2 * len(choose.SIZES)
    base = dense_of(variants[model])
    for one in found:
        wanted = best_of(variants[model], one.most, one.training == choose.TRAINED)
        if wanted is None:
            assert one.best is None
            continue
        stored = wanted["result"]
        assert one.best["key"] == stored.variant.key
        assert one.best["times_dense"] == pytest.approx(wanted["perplexity"] / base["perplexity"])
        assert one.seconds == pytest.approx(sum(run["seconds"] for run in stored.variant.stage_runs))
        assert one.memory == max(run["peak_memory"] for run in stored.variant.stage_runs)
        pairs = differences([stored], base["result"], read_shipped_samples)
        pairs = pairs[(pairs["dataset"] == "wikitext2") & pairs["verdict"].notna()]
        pair = next(row for row in pairs.to_dict("records") if "window 2048" in row["protocol"])
        assert (one.low, one.high) == pytest.approx((pair["ratio_low"], pair["ratio_high"]))
        assert one.low <= one.best["times_dense"] * 1.001 and one.best["times_dense"] <= one.high * 1.001
        check_models(one, model, variants)


def check_models(one, model, variants):
    """Count the models on which the chain is the best, or not significantly different from it."""
    holds = compared = 1
    for other in (name for name in MODELS if name != model):
        stages = [(stage.method, str(stage.amount), stage.parameters) for stage in of(one, variants[model])]
        same = [
            each
            for each in variants[other]
            if [(stage.method, str(stage.amount), stage.parameters) for stage in each["result"].variant.stages]
            == stages
        ]
        if not same:
            continue
        compared += 1
        most = one.most / dense_of(variants[model])["megabytes"] * dense_of(variants[other])["megabytes"]
        best = best_of(variants[other], most, same[0]["trained"])
        if same[0]["megabytes"] > most or best is None:
            continue
        pairs = differences([same[0]["result"]], best["result"], read_shipped_samples)
        read = (pairs["dataset"] == "wikitext2") & pairs["protocol"].str.contains("window 2048")
        worse = pairs.loc[read, "verdict"].isin(SIGNIFICANT).any()
        holds += best is same[0] or not worse
    assert (one.holds, one.compared) == (holds, compared)


def of(one, found):
    return next(each["result"].variant.stages for each in found if each["result"].variant.key == one.best["key"])


@pytest.mark.parametrize("model", MODELS)
def test_the_advice_counts_quantised_and_pruned_winners(model, variants, models):
    sizes = choose.sizes_of(models[model], models["smollm2-135m"])
    text = choose.advice(models[model], sizes)
    base = dense_of(variants[model])["perplexity"]
    usable, poor = {}, []
    for size in sizes:
        both = [best for trained in (True, False) if (best := best_of(variants[model], size, trained))]
        best = min(both, key=lambda one: one["perplexity"], default=None)
        if best and best["perplexity"] < 5 * base:
            usable[size] = best["result"].variant.stages
        else:
            poor.append(size)
    quantised = [size for size, stages in usable.items() if any(map(quantises, stages))]
    families = ("unstructured", "structured", "low rank")
    pruned = [
        size for size, stages in usable.items() if any(get_stage(one.method).family in families for one in stages)
    ]
    assert text.startswith("**Quantise first**") == (len(quantised) == len(usable) > 0)
    for size in quantised:
        assert f"{size:.0f}" in text.partition("is quantised at ")[2].partition(";")[0]
    if usable:
        assert ("pruning is part of none" in text) == (not pruned)
        assert ("**Prune only on top**" in text) == (bool(pruned) and set(pruned) <= set(quantised))
    assert ("stays below 5 times dense" in text) == bool(poor)


def test_own_grids_never_win(models):
    rows = models["smollm2-135m"].rows
    assert rows["own_grid"].any()
    keys = set(rows.loc[rows["own_grid"], "key"])
    assert not keys & set(models["smollm2-135m"].best(1e9)["key"])


def test_a_model_without_a_usable_chain_or_with_a_pruned_one_gets_advice():
    def of(**more):
        return result("wanda", 20.0 * more.pop("times"), 0.5, **more)

    dense = result("dense", 20.0)
    for times, text in ((9, "no chain of smollm2-135m stays below 5 times dense"), (2, "is quantised at no size")):
        model = measured([dense, of(times=times)], lambda key, number: None, "smollm2-135m")
        assert text in choose.advice(model, [1e6]), choose.advice(model, [1e6])
    assert "Pruning is part of the best chain at 1000000 MB" in choose.advice(model, [1e6])
    (row,) = choose.table(choose.choose([model], [1e6])).to_dict("records")
    assert row[f"Without training: {choose.LOSS}"] == "2.00"
    assert (row["With training: best chain"], row[f"With training: {choose.LOSS}"]) == (choose.NOTHING, "")
