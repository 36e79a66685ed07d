"""The additive rule: its prediction, its error by the stage on the embedding, and its interval."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.special import stdtrit

from core.findings.estimates.rule import FEWEST, RuleError, rule_error
from core.findings.numbers.frame import tidy
from core.store.bundled import read_measured

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
