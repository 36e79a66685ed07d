"""The table of flips: whether the KL divergence or the perplexity of a variant predicts its changed answers better."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import bootstrap, pearsonr, rankdata

from core.cli.printing.tables import column
from core.findings.numbers.differences import Samples, differences
from core.findings.numbers.reporting import UNADJUSTED
from core.findings.numbers.seven import MEAN
from core.notation.chain import format_chain
from core.results import KL, Result
from tools.report.points import DENSE, MODEL, SECOND, TEXTS, point
from tools.report.significance import compared

RANGES = {"all": math.inf, "at most 1.5 times dense": 1.5}  # of the perplexity
LEAST = 8  # variants of a row
RESAMPLES = 4000


class Predicted(NamedTuple):
    """A variant's numbers: its flips, and what may predict them."""

    chain: str
    flips: float  # share of the documents of seven tasks
    kl: float  # nats
    ratio: float  # of the perplexity to dense


def flips(results: Sequence[Result], samples: Samples) -> pd.DataFrame:
    """Tabulate Spearman's rank correlation of flips with the KL divergence and with the perplexity.

    Intervals are those of a bootstrap over variants.
    """
    rows = []
    for model in (MODEL, SECOND):
        found = predicted(results, samples, model)
        for name, most in RANGES.items():
            part = [one for one in found if one.ratio <= most]
            if len(part) >= LEAST:
                rows.append({"model": f"`{model}`", "perplexity": name, "variants": str(len(part)), **_compared(part)})
    return pd.DataFrame(rows)


def predicted(results: Sequence[Result], samples: Samples, model: str) -> list[Predicted]:
    """Return the numbers of the variants of a model that have a divergence on its text and all seven tasks."""
    mine = [one for one in results if one.variant.model == model]
    dense = next((compared(one) for one in mine if point(one.variant) == DENSE), None)
    divergences = {one.variant.key: kl for one in mine if (kl := _divergence(one)) is not None}
    chains = {one.variant.key: format_chain(one.variant.stages) for one in mine}
    if dense is None or not divergences:
        return []
    paired = differences([compared(one) for one in mine if one.variant.key in divergences], dense, samples)
    paired = paired[paired["unpaired_reason"].isna()].sort_values("n")  # the last row of a key has the most documents
    answers = {row["key"]: row for row in paired[paired["dataset"] == MEAN].to_dict("records")}
    ratios = {row["key"]: row["ratio"] for row in paired[paired["metric"] == "perplexity"].to_dict("records")}
    return [
        Predicted(chains[key], (answers[key]["gained"] + answers[key]["lost"]) / answers[key]["n"], kl, ratios[key])
        for key, kl in divergences.items()
        if key in answers and key in ratios
    ]


def changed_answers(results: Sequence[Result], samples: Samples, chain: str, model: str = MODEL) -> str:
    """Return the flips of a chain in percent of the documents."""
    (found,) = (one for one in predicted(results, samples, model) if one.chain == chain)
    return f"{100 * found.flips:.0f} %"


def compared_chains(results: Sequence[Result], model: str) -> str:
    """List the chains of a model that have a divergence on any text."""
    mine = [one for one in results if one.variant.model == model]
    found = {format_chain(one.variant.stages) for one in mine if any(row.metric == KL for row in one.measurements)}
    return ", ".join(f"`{chain}`" for chain in sorted(found))


def _divergence(result: Result) -> float | None:
    """Return the KL divergence on the text of the page's perplexity."""
    wanted = TEXTS[result.variant.model].replace("perplexity", KL, 1)
    return next((row.value for row in result.measurements if row.metric == KL and column(row) == wanted), None)


def _compared(found: Sequence[Predicted]) -> dict[str, str]:
    """Return the rank correlations with flips, and their difference."""
    changed, kl, ratio = (np.array([getattr(one, name) for one in found]) for name in ("flips", "kl", "ratio"))

    def correlations(*values: np.ndarray, axis: int = -1) -> np.ndarray:
        flipped, *others = (rankdata(one, axis=axis) for one in values)  # Spearman's: Pearson's of the ranks
        first, second = (pearsonr(flipped, one, axis=axis).statistic for one in others)
        return np.array([first, second, first - second])

    spread = bootstrap(
        (changed, kl, ratio),
        correlations,
        n_resamples=RESAMPLES,
        paired=True,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    titles = ("with KL divergence", "with perplexity", "difference")
    places = zip(titles, correlations(changed, kl, ratio), spread.low, spread.high, strict=True)
    return {f"{title} [{UNADJUSTED}]": f"{value:.2f} [{low:.2f}, {high:.2f}]" for title, value, low, high in places}
