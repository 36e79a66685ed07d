"""What fits a budget, and what lies on the Pareto front."""

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as draw
from pydantic import ValidationError

from core.findings.best.budget import ACCURACY, PERPLEXITY, Budget, answers, budget_words, fits, pareto, ranked, winner
from core.results import AGREEMENT, KL

NAN, INF = math.nan, math.inf
few = draw.sampled_from([1.0, 2.0, 3.0, 4.0, 5.0, NAN, INF])  # few values, so that many are equal
shares = draw.sampled_from([0.1, 0.2, 0.3, 0.4, NAN])


def table(points) -> pd.DataFrame:
    rows = pd.DataFrame(points, columns=["packed_mb", PERPLEXITY, ACCURACY], dtype=float)
    keys = [f"{place:02d}" for place in range(len(rows))]
    rows.index = pd.Index([10 * place + 7 for place in range(len(rows))])  # not 0, 1, 2, as after filters
    fidelity = {KL: rows[PERPLEXITY], AGREEMENT: rows[ACCURACY]}
    return rows.assign(times_dense=rows[PERPLEXITY], decode_ms=NAN, own_grid=False, key=keys, **fidelity)


tables = draw.lists(draw.tuples(few, few, shares), max_size=12).map(table)
qualities = draw.sampled_from([PERPLEXITY, ACCURACY, KL, AGREEMENT])


def loss(row, quality):
    return row[quality] if quality in (PERPLEXITY, KL) else -row[quality]


def is_known(row, quality):
    return math.isfinite(row["packed_mb"]) and math.isfinite(row[quality])


def dominates(one, other, quality):
    first, second = ((row["packed_mb"], loss(row, quality)) for row in (one, other))
    return first[0] <= second[0] and first[1] <= second[1] and first != second


@given(tables, qualities)
def test_front_has_exactly_the_points_that_no_other_dominates(rows, quality):
    on = pareto(rows, "packed_mb", quality)
    assert list(on.index) == list(rows.index)
    every = [row for _, row in rows.iterrows() if is_known(row, quality)]
    for (_, row), front in zip(rows.iterrows(), on, strict=True):
        if not is_known(row, quality):
            assert not front
        else:
            assert front != any(dominates(other, row, quality) for other in every)


@pytest.mark.parametrize(
    ("perplexity", "times", "front"),
    [(9999.0, 499.0, True), (10001.0, 499.0, False), (9999.0, 501.0, False), (9999.0, NAN, True)],
)
def test_perplexity_front_excludes_diverged_variants(perplexity, times, front):
    rows = table([(100, 20, 0.5), (10, perplexity, 0.3)]).assign(times_dense=[1.0, times])
    assert list(pareto(rows, "packed_mb", PERPLEXITY)) == [True, front]
    assert list(pareto(rows, "packed_mb", ACCURACY)) == [True, True]


budgets = draw.builds(
    Budget,
    packed_mb=draw.sampled_from([None, 2.0, 3.5]),
    times_dense=draw.sampled_from([None, 1.0, 3.0]),
    above_chance=draw.sampled_from([None, 0.2, 0.35]),
)


@given(tables, budgets, qualities)
def test_fitting_variants_come_first_sorted_by_quality(rows, budget, quality):
    found = ranked(rows, budget, "packed_mb", quality)
    assert sorted(found.index) == sorted(rows.index)
    for _, row in found.iterrows():
        kept = (
            (budget.packed_mb is None or row["packed_mb"] <= budget.packed_mb)
            and (budget.times_dense is None or row["times_dense"] <= budget.times_dense)
            and (budget.above_chance is None or row[ACCURACY] >= budget.above_chance)
        )
        assert row["fits"] == kept == (row["misses"] == "")
        assert not row["front"] or row["fits"]
        assert row["scored"] == (not math.isnan(row[quality]))
    assert list(found["fits"]) == sorted(found["fits"], reverse=True)
    losses = [loss(row, quality) for _, row in found[found["fits"] & found["scored"]].iterrows()]
    assert losses == sorted(losses)
    assert list(found.loc[found["fits"], "scored"]) == sorted(found.loc[found["fits"], "scored"], reverse=True)
    misses = list(found.loc[~found["fits"], "excess"].dropna())
    assert misses == sorted(misses) and all(miss > 0 for miss in misses)
    assert found.loc[~found["fits"], "excess"].isna().is_monotonic_increasing  # what is not known comes last
    best, able = winner(found), [row for _, row in found.iterrows() if row["fits"] and math.isfinite(row[quality])]
    assert (best is None) == (not able)
    assert best is None or loss(best, quality) == min(loss(row, quality) for row in able)


def test_a_point_at_its_limit_fits_and_misses_name_their_excess():
    rows = table([(180, 2, 0.4), (196.1, 2, 0.379), (180, 2.5, 0.5), (180, 246.6, 0.5)])
    found = fits(rows, Budget(packed_mb=180, times_dense=2, above_chance=0.4))
    assert list(found["fits"]) == [True, False, False, False]
    assert list(found["misses"]) == [
        "",
        "16.1 MB packed over (8.9 %), 2.1 points under (5.3 %)",
        "0.5 times dense over (25 %)",
        "245 times dense over (1.2e4 %)",
    ]
    assert list(found["excess"]) == pytest.approx([0, 16.1 / 180, 0.25, 122.3])
    rows = table([(100, 2, sum([0.1] * 3) / 3 - 1e-17)]).assign(above_chance=0.4 - 1e-16)
    assert fits(rows, Budget(above_chance=0.4))["fits"].all()


def test_unknown_values_do_not_fit_but_leave_a_variant_undecided():
    rows = table([(150, 1.5, 0.4), (150, 1.5, NAN)]).assign(decode_ms=[NAN, 30.0])
    found = fits(rows, Budget(packed_mb=100, decode_ms=35, above_chance=0.3))
    assert list(found["misses"]) == [
        "50 MB packed over (50 %), latency not measured",
        "50 MB packed over (50 %), mean above chance not measured",
    ]
    assert not found["fits"].any() and found["excess"].isna().all()
    assert list(fits(rows, Budget(packed_mb=150))["fits"]) == [True, True]
    rows = table([(90, 2, NAN), (110, 2, NAN), (90, 2, 0.3), (90, 2, 0.5)])
    found = fits(rows, Budget(packed_mb=100, above_chance=0.4))
    assert list(found["undecided"]) == [True, False, False, False] and list(found["fits"]) == [False] * 3 + [True]


def test_misses_are_sorted_by_their_largest_excess():
    rows = table([(110, 4, NAN), (130, 2.2, NAN), (500, 2, NAN), (100, INF, NAN), (NAN, 2, NAN)])
    found = ranked(rows, Budget(packed_mb=100, times_dense=2), "packed_mb", PERPLEXITY)
    assert list(found["key"]) == ["01", "00", "02", "03", "04"]
    assert list(found["excess"].round(6))[:4] == [0.3, 1.0, 4.0, INF]
    assert found["misses"].iloc[3] == "diverged" and found["misses"].iloc[4] == "unknown packed size"
    assert not found["front"].any() and winner(found) is None


def test_unchanged_checkpoints_follow_the_scored_variants_and_never_win():
    rows = table([(100, 1, 0.6), (100, 2, 0.5), (90, 4, 0.3), (95, NAN, 0.4)])
    rows = rows.assign(own_grid=[True, False, False, False])
    found = ranked(rows, Budget(packed_mb=110), "packed_mb", PERPLEXITY)
    assert list(found["key"]) == ["01", "02", "00", "03"] and found["fits"].all()
    assert list(found["front"]) == [True, True, False, False] and winner(found)["key"] == "01"
    assert winner(ranked(rows.iloc[[0, 3]], Budget(packed_mb=110), "packed_mb", PERPLEXITY)) is None
    missing = ranked(rows, Budget(packed_mb=80), "packed_mb", PERPLEXITY)
    assert list(missing["key"]) == ["02", "03", "01", "00"]  # not even among the nearest misses


def test_diverged_models_are_sorted_by_their_perplexity_and_unscored_ones_are_last():
    rows = table([(50, INF, NAN), (60, 3e4, NAN), (70, NAN, NAN), (80, 2e4, NAN), (90, 3, NAN)])
    found = ranked(rows, Budget(packed_mb=100), "packed_mb", PERPLEXITY)
    assert list(found["key"]) == ["04", "03", "01", "00", "02"] and list(answers(found)["key"]) == list(found["key"])
    assert list(found["front"]) == [True, False, False, False, False]
    assert winner(ranked(rows.iloc[:4], Budget(packed_mb=100), "packed_mb", PERPLEXITY))["key"] == "03"
    assert winner(ranked(rows.iloc[[0, 2]], Budget(packed_mb=100), "packed_mb", PERPLEXITY)) is None


def test_a_budget_in_words():
    assert budget_words(Budget()) == ""
    assert budget_words(Budget(packed_mb=180, times_dense=2)) == "at most 180 MB packed and 2 times dense"
    every = Budget(
        packed_mb=1800.5,
        bits_per_weight=8,
        parameters=90,
        prefill_ms=1.2,
        decode_ms=40,
        memory_mb=500,
        times_dense=1.5,
        above_chance=0.425,
    )
    assert budget_words(every) == (
        "at most 1,800.5 MB packed, 8 bits per weight, 90 M parameters, 1.2 ms per prompt token, "
        "40 ms per generated token, 500 MB of peak memory and 1.5 times dense, at least 42.5 points above chance"
    )


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        *(("packed_mb", 0), ("times_dense", INF), ("above_chance", 1.2), ("size", 3)),
        *(("kl", 0), ("kl", INF), ("agreement", 1.2), ("kl_p99", 1)),
    ],
)
def test_invalid_limits_are_rejected(name, limit):
    with pytest.raises(ValidationError):
        Budget(**{name: limit})
