"""The variance between seeds: pooled over the chains of a method, and part of the intervals of differences."""

from itertools import combinations
from math import exp, log

import pandas as pd
import pytest

from core.analysis.differences import CONTAINED, SEEDS, TWO_MODELS, differences, over_seeds
from core.analysis.reporting import seeds_words
from core.findings.seeds import Seeds, averaged
from core.specs import Stage
from core.store.bundled import read_measured
from core.store.samples import read_shipped_samples
from tests.core.factories import make, perplexity

WINDOWS = 16
PLAIN = [3 + 0.1 * (place % 5) for place in range(WINDOWS)]  # losses of the dense model


def stored(*variants):
    """Return results of (stages, additions to the loss of each window), and the function that reads their samples."""
    results, kept = [], {}
    for place, (stages, added) in enumerate(variants):
        losses = [one + more for one, more in zip(PLAIN, added, strict=True)]
        number = perplexity(exp(sum(losses) / WINDOWS))
        results.append(make(number, key=f"{place:064x}", stages=stages))
        kept[results[-1].variant.key] = pd.DataFrame({"doc_id": range(WINDOWS), "perplexity": [-one for one in losses]})
    return results, lambda key, _: kept.get(key)


def wanda(seed, ratio=0.5):
    return (Stage(method="wanda", ratio=ratio, seed=seed),)


def constant(loss):
    return [loss] * WINDOWS


def test_two_bundled_seeds_of_one_method_seldom_differ():
    results = [one for one in read_measured().results.values() if one.variant.model == "smollm2-135m"]
    seeds, found = Seeds(lambda _: results, read_shipped_samples), []
    for method in ("wanda", "slimllm", "lorap"):
        twins = [one for one in results if len(one.variant.stages) == 1 and _at_half(one.variant.stages[0], method)]
        assert len(twins) == 3
        for first, second in combinations(twins, 2):
            pair = [
                differences([second], first, read_shipped_samples, seeds=of)
                for of in (Seeds(lambda _: (), read_shipped_samples), seeds)
            ]
            found.append([_significant(one) for one in pair])
    alone, contained = (sum(column) for column in zip(*found, strict=True))
    assert (len(found), alone) == (9, 5) and contained <= 1


def _at_half(stage, method):
    return (
        stage.method == method
        and stage.ratio == 0.5
        and stage.layers is None
        and not stage.parameters
        and str(stage.calibration) == "c4-sample:16x2048"
    )


def _significant(pairs):
    (row,) = [
        one
        for one in pairs.to_dict("records")
        if one["protocol"].startswith("WikiText-2") or one["dataset"] == "wikitext2"
    ]
    return row["low"] > 0 or row["high"] < 0


def test_the_variance_is_pooled_over_the_chains_of_a_method():
    half, fifth = (0.0, 0.2, 0.4), (0.1, 0.3)  # variances 0.04 and 0.02, with two degrees of freedom and one
    other = ((Stage(method="sparsegpt", ratio=0.5, seed=0),), constant(0.5))
    results, read = stored(
        *((wanda(seed), constant(loss)) for seed, loss in enumerate(half)),
        *((wanda(seed, 0.2), constant(loss)) for seed, loss in enumerate(fifth)),
        other,
    )
    seeds, number = Seeds(lambda _: results, read), results[0].measurements[0]
    found = seeds(results[3], number)
    assert found.freedom == 3 and found.variance == pytest.approx((2 * 0.04 + 0.02) / 3)
    assert seeds(results[-1], number) is None
    assert seeds(make(stages=(Stage(method="magnitude", ratio=0.5),)), number).variance == 0
    assert averaged(seeds, [results[:3]])(results[0], number).variance == pytest.approx(found.variance / 3)


def test_what_paired_windows_have_already_is_subtracted():
    """Two seeds that differ by chance on the windows only have no variance between them."""
    noise = [0.1 if place % 2 else -0.1 for place in range(WINDOWS)]
    results, read = stored((wanda(0), noise), (wanda(1), [-one + 0.02 for one in noise]))
    assert Seeds(lambda _: results, read)(results[0], results[0].measurements[0]).variance == 0
    assert log(results[1].measurements[0].value / results[0].measurements[0].value) == pytest.approx(0.02)


def test_intervals_contain_the_variance_and_say_so():
    dense = ((Stage(method="dense"),), constant(0.0))
    varied = [0.01 * (place % 3) for place in range(WINDOWS)]
    results, read = stored(dense, *((wanda(seed), [0.3 + 0.1 * seed + one for one in varied]) for seed in range(3)))
    base, twins = results[0], results[1:]
    (alone,) = differences(twins[:1], base, read).to_dict("records")
    found = differences(twins[:1], base, read, seeds=(seeds := Seeds(lambda _: results, read)))
    (row,) = found.to_dict("records")
    assert (alone[SEEDS], row[SEEDS]) == (TWO_MODELS, CONTAINED)
    assert row["difference"] == alone["difference"] and row["p"] > alone["p"]
    assert row["high"] - row["low"] > 5 * (alone["high"] - alone["low"])
    assert seeds_words(found) == "Intervals with the variance between seeds: 1 of 1."
    mean = differences(twins[:1], base, over_seeds([twins], read), seeds=averaged(seeds, [twins]))
    assert mean["high"].item() - mean["low"].item() < row["high"] - row["low"]


def test_methods_without_a_seed_need_none():
    plain = (Stage(method="magnitude", ratio=0.5),)
    results, read = stored(((Stage(method="dense"),), constant(0.0)), (plain, constant(0.1)))
    found = differences(results[1:], results[0], read)
    assert found[SEEDS].isna().all() and seeds_words(found) == ""
