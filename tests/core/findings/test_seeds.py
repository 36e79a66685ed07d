"""The variance between seeds: pooled over the chains of a method, and part of the intervals of differences."""

from math import exp, log
from types import SimpleNamespace

import pandas as pd
import pytest

from core.findings.numbers.differences import differences, over_seeds
from core.findings.numbers.reporting import seeds_words
from core.findings.numbers.verdicts import CONTAINED, SEEDS, TWO_MODELS
from core.findings.seeds import Seeds, averaged
from core.specs import Stage
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


def seeds_in(results, read):
    return Seeds(SimpleNamespace(each=lambda _: results, samples=read))


def test_the_variance_is_pooled_over_the_chains_of_a_method():
    half, fifth = (0.0, 0.2, 0.4), (0.1, 0.3)  # variances 0.04 and 0.02, with two degrees of freedom and one
    other = ((Stage(method="sparsegpt", ratio=0.5, seed=0),), constant(0.5))
    results, read = stored(
        *((wanda(seed), constant(loss)) for seed, loss in enumerate(half)),
        *((wanda(seed, 0.2), constant(loss)) for seed, loss in enumerate(fifth)),
        other,
    )
    seeds, number = seeds_in(results, read), results[0].measurements[0]
    found = seeds(results[3], number)
    assert found.freedom == 3 and found.variance == pytest.approx((2 * 0.04 + 0.02) / 3)
    assert seeds(results[-1], number) is None
    assert seeds(make(stages=(Stage(method="magnitude", ratio=0.5),)), number).variance == 0
    assert averaged(seeds, [results[:3]])(results[0], number).variance == pytest.approx(found.variance / 3)


def test_what_paired_windows_have_already_is_subtracted():
    """Two seeds that differ by chance on the windows only have no variance between them."""
    noise = [0.1 if place % 2 else -0.1 for place in range(WINDOWS)]
    results, read = stored((wanda(0), noise), (wanda(1), [-one + 0.02 for one in noise]))
    assert seeds_in(results, read)(results[0], results[0].measurements[0]).variance == 0
    assert log(results[1].measurements[0].value / results[0].measurements[0].value) == pytest.approx(0.02)


def test_intervals_contain_the_variance_and_say_so():
    dense = ((Stage(method="dense"),), constant(0.0))
    varied = [0.01 * (place % 3) for place in range(WINDOWS)]
    results, read = stored(dense, *((wanda(seed), [0.3 + 0.1 * seed + one for one in varied]) for seed in range(3)))
    base, twins = results[0], results[1:]
    (alone,) = differences(twins[:1], base, read).to_dict("records")
    found = differences(twins[:1], base, read, seeds=(seeds := seeds_in(results, read)))
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
