"""The table "Choose": its rows against a plain search over all bundled results, and its advice."""

import math
from collections import defaultdict
from statistics import fmean, median

import pytest

from core.findings.best import choose
from core.findings.best.ranking import OWN_GRID
from core.findings.finding import StoreReader
from core.findings.numbers.differences import differences, over_seeds
from core.findings.numbers.frame import tidy
from core.findings.seeds import averaged
from core.registry import data_requirement, on_own_grid
from core.store.bundled import read_measured
from core.store.samples import read_shipped_samples
from tests.synthetic import result
from tools.report.points import SEEDS, Bundle

MODEL = "smollm2-135m"


@pytest.fixture(scope="module")
def first():
    return measured(list(read_measured().results.values()), read_shipped_samples)


def measured(results, samples):
    rows = tidy(one for one in results if one.variant.model == MODEL)
    return choose.measured(MODEL, rows, StoreReader(Bundle(lambda: results, samples)))


def searched():
    """Return every bundled variant of the model with a perplexity, as a mean over its seeds, in plain Python."""
    of_point = defaultdict(list)
    for one in read_measured().results.values():
        if one.variant.model != MODEL or not one.footprint:
            continue
        values = [
            row.value
            for row in one.measurements
            if (row.metric, row.dataset) == ("perplexity", "wikitext2")
            and (row.protocol.get("window"), row.protocol.get("windows")) == (2048, 16)
            and not row.protocol.get("spread")
        ]
        if values:
            plain = [stage.model_copy(update={"seed": None}) for stage in one.variant.stages]
            of_point[str(plain)].append((one, values[0]))
    return [
        {
            "result": seeds[0][0],
            "twins": [one for one, _ in seeds],
            "perplexity": fmean(value for _, value in seeds),
            "megabytes": seeds[0][0].counted.packed_bytes / 1e6,
            "dense": seeds[0][0].variant.key == seeds[0][0].variant.dense_key,
            "own": on_own_grid(MODEL, seeds[0][0].variant.stages),
            "trained": any(data_requirement(stage) == "training" for stage in seeds[0][0].variant.stages),
        }
        for seeds in of_point.values()
    ]


def _by_stage(result):
    """Return the runs of each stage in all bundled variants that begin with the same stages, whatever their seeds."""

    def begins(one, place):
        stages = [stage.model_copy(update={"seed": None}) for stage in one.variant.stages[: place + 1]]
        return one.variant.model_id, one.variant.dtype, str(stages)

    every = [one for one in read_measured().results.values() if one.variant.model == MODEL]
    for place in range(len(result.variant.stages)):
        same = [one for one in every if begins(one, place) == begins(result, place)]
        yield [one.variant.stage_runs[place] for one in same if place < len(one.variant.stage_runs)]


def best_of(found, most, trained):
    able = [one for one in found if one["megabytes"] <= most * (1 + 1e-9) and one["trained"] == trained]
    able = [one for one in able if not one["own"] and not one["dense"] and math.isfinite(one["perplexity"])]
    return min(able, key=lambda one: (one["perplexity"], one["megabytes"]), default=None)


def test_every_choice_is_that_of_a_search_over_all_rows(first):
    """`docs/choose.md` has the rest of both models' tables: on how many of them a chain holds, and the advice."""
    variants, found = searched(), choose.choose([first], choose.sizes_of(first, first))
    assert len(found.choices) == 2 * len(choose.SIZES)
    base = next(one for one in variants if one["dense"])
    for one in found.choices:
        wanted = best_of(variants, one.most, one.training == choose.TRAINED)
        if wanted is None:
            assert one.best is None
            continue
        stored = wanted["result"]
        assert one.best["key"] == stored.variant.key
        assert one.best["times_dense"] == pytest.approx(wanted["perplexity"] / base["perplexity"])
        twins = wanted["twins"]
        assert one.cost.memory == max(run["peak_memory"] for twin in twins for run in twin.variant.stage_runs)
        alone = [[run for run in runs if run.get("other_load", 1) <= 0.05] for runs in _by_stage(stored)]
        seconds = sum(median(run["seconds"] for run in runs) for runs in alone) if all(alone) else None
        assert one.cost.seconds == (None if seconds is None else pytest.approx(seconds))
        read = over_seeds([twins], read_shipped_samples)
        pairs = differences([stored], base["result"], read, seeds=averaged(SEEDS, [twins]))
        pairs = pairs[(pairs["dataset"] == "wikitext2") & pairs["verdict"].notna()]
        pair = next(row for row in pairs.to_dict("records") if "window 2048" in row["protocol"])
        assert (one.low, one.high) == pytest.approx((pair["ratio_low"], pair["ratio_high"]))
        assert one.low <= one.best["times_dense"] * 1.001 and one.best["times_dense"] <= one.high * 1.001
    compressed = set(first.rows["key"]) - set(first.dense["keys"])
    able, unable = set(first.best(1e9)["key"]), found.left_out
    assert able | set(unable.index) == compressed and not able & set(unable.index) and OWN_GRID in set(unable)


def test_a_model_without_a_usable_chain_or_with_a_pruned_one_gets_advice():
    def of(**more):
        return result("wanda", 20.0 * more.pop("times"), 0.5, **more)

    dense = result("dense", 20.0)
    for times, text in ((9, "no chain of smollm2-135m stays below 5 times dense"), (2, "is quantised at no size")):
        found = choose.choose([measured([dense, of(times=times)], lambda key, number: None)], [1e6])
        assert text in str(found)
    assert "Pruning is part of the best chain at 1000000 MB" in str(found)
    (row,) = choose.table(found).to_dict("records")
    assert row[f"Without training: {choose.LOSS}"] == "2.00"
    assert (row["With training: best chain"], row[f"With training: {choose.LOSS}"]) == (choose.NOTHING, "")
