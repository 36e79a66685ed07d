"""Estimated chains: their sizes, which of them are shown, and the additive rule of their perplexities."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import stdtrit

from core.findings.best.budget import PERPLEXITY, USABLE_TIMES_DENSE, Budget, ranked, winner
from core.findings.best.candidates import candidates
from core.findings.estimates import combinations as estimates
from core.findings.estimates import words as estimate_words
from core.findings.estimates.rule import FEWEST, RuleError, rule_error
from core.findings.numbers.frame import tidy
from core.findings.rows import choices, points
from core.findings.rows.zeroshot import first_documents, scored_on
from core.request.combining import WrittenChain, ends_on_tables, split
from core.store.bundled import read_measured
from tests.bundled import bundled_rows
from tests.synthetic import chained

MODELS = ("smollm2-135m", "gemma3-270m")
NO_ERROR = RuleError()
BUDGETS = [Budget(), *(Budget(packed_mb=most) for most in (60, 75, 90, 110, 130, 200))]


def on_main_text(rows):
    """Return the perplexities on the default text, the candidates and the dense model's row."""
    measured = choices.on_text(rows, *next(iter(choices.texts(rows).values())))
    every = candidates(measured, first_documents(scored_on(rows)))
    return measured, every, every[points.is_dense(every)]


@pytest.fixture(scope="module", params=MODELS)
def bundled(request):
    return on_main_text(bundled_rows(request.param))


def shown(measured, every, dense, budget=BUDGETS[0], error=NO_ERROR, cost="packed_mb"):
    found = ranked(every, budget, cost, PERPLEXITY)
    return estimates.select(estimates.combinations(measured, dense), found, budget, cost, error)


def made(*chains, **more):
    """Return the rows of synthetic chains, given with their perplexities, on one text."""
    return tidy(chained(chain, value, scored=False, **more) for chain, value in chains)


def test_the_size_of_every_measured_combination_is_that_of_its_estimate(bundled):
    measured, _, dense = bundled
    there, checked = set(measured["chain"]), 0
    for _, row in measured[measured["series_chain"].map(ends_on_tables)].drop_duplicates("chain").iterrows():
        seed = None if pd.isna(row["seed"]) else int(row["seed"])
        texts = [row[name] if isinstance(row[name], str) else None for name in ("calibration", "train")]
        if not {part.chain for part in split(WrittenChain(row["chain"], *texts, seed))} <= there:
            continue
        without = measured[measured["chain"] != row["chain"]]
        found = estimates.combinations(without, dense)
        (same,) = found[found["chain"] == row["chain"]].to_dict("records")
        for name in estimates.ADDED:
            # Machines differ in the last digits of GPTQ, and so in the zeros that the smallest layout omits.
            assert same[name] == pytest.approx(row[name], rel=1e-6)
        for name in ("calibration", "train", "seed", "dtype", "method", "family"):
            assert same[name] == row[name] or (pd.isna(same[name]) and pd.isna(row[name])), name
        checked += 1
    assert checked or "gemma3-270m" not in set(measured["model"])


def searched(measured, base):
    """Return size and predicted perplexity of every combination by chain and data, in plain Python."""
    first = measured[~measured["own_grid"].astype(bool)].sort_values("seed")
    first = first.drop_duplicates(["chain", "calibration", "train", "dtype"])
    parts = first.astype(object).where(first.notna(), None).to_dict("records")
    there = {(part["chain"], part["calibration"], part["train"]) for part in parts}
    able = {}
    for tables in (one for one in parts if "+" not in one["chain"] and re.search("tensor|embedding", one["chain"])):
        for blocks in (one for one in parts if not re.search("tensor|embedding|slicegpt|dense", one["chain"])):
            chain = f"{blocks['chain']}+{tables['chain']}", blocks["calibration"], blocks["train"]
            value = blocks["value"] * tables["value"] / base[PERPLEXITY]
            if chain not in there and value < USABLE_TIMES_DENSE * base[PERPLEXITY]:
                able[chain] = blocks["packed_mb"] + tables["packed_mb"] - base["packed_mb"], value
    return able


def test_estimates_within_each_budget_are_those_of_a_plain_search(bundled):
    measured, every, dense = bundled
    able = searched(measured, dense.iloc[0])
    for budget in BUDGETS:
        found, most = ranked(every, budget, "packed_mb", PERPLEXITY), budget.packed_mb or math.inf
        fitting = {chain: one for chain, one in able.items() if one[0] <= most}
        rivals = found.loc[found["fits"] & found["ranked"], ["packed_mb", PERPLEXITY]].to_numpy().tolist()
        wanted = {
            chain
            for chain, (mb, value) in fitting.items()
            if all(value < other for size, other in rivals if size <= mb)
            and all(value <= estimates.NEAR * other for size, other in fitting.values() if size <= mb)
        }
        drawn = shown(measured, every, dense, budget)
        assert {chain for chain, *_ in wanted} == set(drawn.get("chain", [])) and len(wanted) == len(drawn), budget
        best = winner(found)
        likely = estimate_words.likely_better(drawn, best)
        lowest = min((fitting[chain][1] for chain in wanted), default=math.inf)
        assert (likely is not None) == (lowest < (math.inf if best is None else best[PERPLEXITY])), budget
        assert likely is None or likely[PERPLEXITY] == pytest.approx(lowest)


PARTS = [("dense", 20.0), ("gptq@4bit", 24.0), ("rtn@8bit,on=embedding", 20.2), ("gptq@3bit", 40.0)]


def test_estimates_disappear_when_measured_and_restore_no_grid_of_the_file():
    drawn = shown(*on_main_text(made(*PARTS)))
    assert list(drawn["chain"]) == ["gptq@4bit+rtn@8bit,on=embedding", "gptq@3bit+rtn@8bit,on=embedding"]
    assert list(drawn[PERPLEXITY]) == pytest.approx([24 * 20.2 / 20, 40 * 20.2 / 20])
    found = estimates.combinations(*on_main_text(made(*PARTS, ("gptq@4bit+rtn@8bit,on=embedding", 24.4)))[::2])
    assert list(found["chain"]) == ["gptq@3bit+rtn@8bit,on=embedding"]
    measured, _, dense = on_main_text(made(*PARTS, ("hqq@4bit,group_size=32", 20.1)))
    assert measured["own_grid"].any()
    assert not estimates.combinations(measured, dense)["chain"].str.contains("hqq").any()


def test_the_lowest_seed_stands_for_several_and_other_data_are_not_mixed():
    rows = [made(*PARTS), made(("gptq@4bit", 30.0), seed=1), made(("gptq@4bit", 26.0), calibration="c4-sample:16x2048")]
    measured, _, dense = on_main_text(pd.concat(rows, ignore_index=True))
    found = estimates.combinations(measured, dense)
    of_gptq = found[found["chain"] == "gptq@4bit+rtn@8bit,on=embedding"].set_index("calibration")
    assert of_gptq[PERPLEXITY].to_dict() == pytest.approx(
        {"passages-calibration:16x2048": 24 * 20.2 / 20, "c4-sample:16x2048": 26 * 20.2 / 20}
    )
    assert list(of_gptq["seed"]) == [0, 0]


def test_the_rule_is_checked_on_the_chains_whose_parts_are_measured():
    whole = ("gptq@4bit+rtn@8bit,on=embedding", 24.0), ("wanda@0.6+rtn@8bit,on=embedding", 50.0)  # no wanda@0.6
    rows = made(*PARTS, *whole)
    ((tables, error),) = rule_error(rows, 2048).errors
    assert (tables, error) == ("rtn@8bit,on=embedding", pytest.approx(math.log(24 / (24 * 20.2 / 20))))
    assert rule_error(rows, 128).errors == ()
    other = made(*PARTS, whole[0], model="gemma3-270m")
    more = made(("gptq@4bit", 24.0), ("gptq@4bit+rtn@8bit,on=embedding", 26.0), seed=1)
    assert len(rule_error(pd.concat([rows, more, other], ignore_index=True), 2048).errors) == 2
    hopeless = made(("dense", 20.0), ("gptq@2bit", 4e4), PARTS[2], ("gptq@2bit+rtn@8bit,on=embedding", 1e6))
    assert rule_error(hopeless, 2048).errors == ()


def test_the_sentence_claims_no_more_than_the_interval():
    measured, every, dense = on_main_text(made(*PARTS, ("awq@4bit", 24.5)))
    budget = Budget()
    found = ranked(every, budget, "packed_mb", PERPLEXITY)
    best = found[found["chain"] == "awq@4bit"].iloc[0]

    def sentence(*errors):
        error = RuleError(tuple(("rtn@8bit,on=embedding", one) for one in errors))
        return estimate_words.sentence(shown(measured, every, dense, error=error), best)

    assert sentence().startswith("Not measured, perhaps better: **GPTQ 4, emb 8, passages**, ")
    assert "about 1.21 times dense (no interval, as too few measured chains check the rule)." in sentence()
    small, large = ([step, -step] * 3 for step in (0.001, 0.1))
    assert "likely better" in sentence(*small) and "(95 % prediction interval [1.21, 1.22])" in sentence(*small)
    assert "perhaps better" in sentence(*large)
    biased = [0.005 + one for one in small]
    assert "about 1.22 times dense (95 % prediction interval [1.21, 1.22])" in sentence(*biased)
    assert sentence(*(0.02 + one for one in small)) == ""  # the corrected estimate is no better
    assert estimate_words.sentence(shown(measured, every, dense), dense.iloc[0]) == ""
    without = estimate_words.sentence(shown(measured, every, dense), None)
    assert without.startswith("Not measured, likely within the budget: **GPTQ 4, emb 8, passages**")


ERRORS = (0.01, -0.02, 0.03, 0.0, 0.015, 0.02)
STAGE, OTHER = "rtn@4bit,on=embedding", "rtn@8bit,on=embedding"
PAGE = Path(__file__).parents[4] / "docs" / "protocols.md"


def of_stage(errors, stage=STAGE):
    return tuple((stage, float(error)) for error in errors)


def half(low, high):
    return (math.log(high) - math.log(low)) / 2


def test_a_stage_with_enough_chains_has_its_own_mean_and_interval():
    error = RuleError(of_stage(ERRORS) + of_stage([0.5], OTHER))
    assert error.factor(STAGE) == pytest.approx(math.exp(np.mean(ERRORS)))
    n = len(ERRORS)
    width = stdtrit(n - 1, 0.975) * np.std(ERRORS, ddof=1) * np.sqrt(1 + 1 / n)
    assert error.interval(1.3, STAGE) == pytest.approx((1.3 * math.exp(-width), 1.3 * math.exp(width)))


def test_other_stages_have_the_error_of_all_and_the_freedom_of_the_stages():
    every = [*ERRORS, 0.05, -0.04]
    error = RuleError(of_stage(ERRORS) + of_stage([0.05, -0.04], OTHER))
    width = stdtrit(1, 0.975) * np.sqrt(np.mean(np.square(every)))
    assert error.factor(OTHER) == 1.0 and half(*error.interval(1.3, OTHER)) == pytest.approx(width)
    assert RuleError(of_stage(ERRORS)).interval(1.3, OTHER) == (None, None)  # one stage shows nothing of another
    assert RuleError(of_stage(ERRORS[: FEWEST - 1])).interval(1.3, STAGE) == (None, None)


def test_each_bundled_chain_lies_in_the_interval_of_the_others_and_the_page_states_the_errors():
    rows = tidy(read_measured().results.values())
    errors = rule_error(rows[(rows["metric"] == "perplexity") & (rows["dataset"] == "wikitext2")], 2048).errors
    inside, widths = {}, []
    for left, (stage, new) in enumerate(errors):
        others = RuleError(errors[:left] + errors[left + 1 :])
        low, high = others.interval(others.factor(stage), stage)
        inside.setdefault(stage, []).append(low <= math.exp(new) <= high)
        widths.append(half(low, high))
    assert all(len(each) - sum(each) <= 1 for each in inside.values())
    assert len(errors) == 26 and sum(map(sum, inside.values())) >= 24 and np.median(widths) <= 0.021
    whole, page = RuleError(errors), PAGE.read_text(encoding="utf-8")
    for stage, each in inside.items():
        error, width = whole.of(stage), half(*whole.interval(1.0, stage))
        assert f"| `{stage}` | {len(each)} | {100 * error.mean:+.2f} | {100 * width:.2f} | {sum(each)} |" in page
    width = half(*whole.interval(1.0, "another"))
    assert f"| others | {len(errors)} | 0 | {100 * width:.2f} | |" in page
