"""Estimated chains: combinations of two measured variants whose stages change different weights.

One part changes block linears, the other embedding or head. The size of both together is exact, because each matrix is
packed alone. The perplexity follows the additive rule (`core.findings.estimates.rule`).
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.findings.best.budget import LIMITS, PERPLEXITY, ROUNDED, USABLE_TIMES_DENSE, Budget, fits
from core.findings.best.candidates import TEXTS, TRAINED, UNTRAINED
from core.findings.estimates.rule import RuleError, by_series, predicted, written_chains
from core.findings.rows.missing import is_training_free
from core.findings.rows.points import is_dense
from core.notation.chain import DENSE
from core.notation.formatting import format_amount
from core.notation.short import series_name, short_name
from core.request.combining import combine, in_blocks, on_tables
from core.specs import Stage, VariantSpec

NEAR = 1.05  # multiple of the lowest estimate at the same or a lower cost, up to which others are shown
VARIANT = ["chain", *TEXTS, "dtype"]  # columns of a variant, without its seed
ADDED = ["packed_mb", "bits_per_weight", "parameters"]  # sizes of which each part saves its own share
UNKNOWN = [name for name in LIMITS if name not in (*ADDED, "times_dense")]  # quantities that no rule predicts
CHECKPOINT = ["model", "revision"]
PART = [*CHECKPOINT, *VARIANT, "seed", "series_chain", "method", "family", "value", *ADDED]  # columns of each part
COLUMNS = [*CHECKPOINT, *VARIANT, "seed", "method", "family", "training", *ADDED, *UNKNOWN, PERPLEXITY, "times_dense"]
COLUMNS += ["blocks", "tables"]  # the `WrittenChain` of each part


def combinations(measured: pd.DataFrame, dense: pd.DataFrame) -> pd.DataFrame:
    """Combine each variant that leaves embedding and head unchanged with each that changes only these.

    Variants that restore the grid of the model's own file are no parts, and neither are diverged ones. Of several seeds
    the lowest stands for a variant. Parts with different data, seeds or precisions are not combined.

    `measured` are tidy perplexities of one model under one protocol. `dense` is its dense row of `candidates`, if
    known.

    Returns:
        The combinations that are not in `measured` and are predicted below `USABLE_TIMES_DENSE` times dense.
        `blocks` and `tables` are the written chains of the parts. A run may still refuse some combinations.
    """
    rows = measured[(measured["origin"] == "measured") & ~measured["own_grid"].astype(bool)]
    rows = (
        rows[rows["value"].map(math.isfinite).astype(bool)].sort_values("seed", kind="stable").drop_duplicates(VARIANT)
    )
    blocks, tables = (rows.loc[by_series(rows, accepts), PART] for accepts in (in_blocks, on_tables))
    if dense.empty or blocks.empty or tables.empty:
        return pd.DataFrame()
    blocks, tables = (
        part.assign(
            part=pd.Series(written_chains(part), part.index, dtype=object), quick=by_series(part, is_training_free)
        )
        for part in (blocks, tables)
    )
    found = blocks.merge(tables, on="dtype", suffixes=("", "_tables"))
    found = found.merge(rows.loc[is_dense(rows), ["dtype", "value", *ADDED]], on="dtype", suffixes=("", "_dense"))
    for name in (*TEXTS, "seed"):
        own, other = found[name], found[f"{name}_tables"]
        found = found.assign(**{name: own.where(own.notna(), other)})[own.isna() | other.isna() | (own == other)]
    removes = found["method"] != DENSE  # the first removing stage gives method and family, as for measured chains
    for name in ("method", "family"):
        found[name] = found[name].where(removes, found[f"{name}_tables"])
    for name in ADDED:
        found[name] = found[name].astype(float) + found[f"{name}_tables"] - found[f"{name}_dense"]
    found[PERPLEXITY] = predicted(found["value"], found["value_tables"], found["value_dense"])
    found["times_dense"] = found[PERPLEXITY] / float(dense[PERPLEXITY].iloc[0])
    found["chain"] = found["chain"].str.cat(found["chain_tables"], sep="+")
    found["training"] = np.where(found["quick"] & found["quick_tables"], UNTRAINED, TRAINED)
    found = found.rename(columns={"part": "blocks", "part_tables": "tables"}).assign(**dict.fromkeys(UNKNOWN, math.nan))
    there, mine = (pd.MultiIndex.from_frame(frame[VARIANT].fillna("")) for frame in (measured, found))
    return found.loc[~mine.isin(there) & (found["times_dense"] < USABLE_TIMES_DENSE), COLUMNS].reset_index(drop=True)


def select(found: pd.DataFrame, measured: pd.DataFrame, budget: Budget, cost: str, error: RuleError) -> pd.DataFrame:
    """Select the estimates to show.

    Each is within the budget, below the perplexity of every measured variant of the same or a lower cost within it, and
    at most `NEAR` times the lowest estimate of the same or a lower cost. A run accepts its stages.

    `found` are rows of `combinations`, and `measured` those of `core.findings.best.budget.ranked` by perplexity.

    Returns:
        The estimates, corrected by the mean error of their stage on the tables, the best first. They have name,
        series_label, amount_label, and `interval_low` and `interval_high`, the ends of the prediction interval of
        times_dense. These are NaN if too few chains check the rule.
    """
    if found.empty:
        return found
    factors = np.array([error.factor(tables.chain) for tables in found["tables"]])
    found = found.assign(**{name: factors * found[name] for name in (PERPLEXITY, "times_dense")})
    able = found[fits(found, budget)["fits"] & found[cost].notna()]
    rivals = measured[measured["fits"] & measured["ranked"] & measured[cost].notna()]
    while True:
        best = np.minimum(_lowest(rivals, cost, able[cost]), NEAR * _lowest(able, cost, able[cost]))
        shown = able[able[PERPLEXITY] < best].sort_values([PERPLEXITY, cost], kind="stable")
        stages = [combine(*parts) for parts in zip(shown["blocks"], shown["tables"], strict=True)]
        refused = shown.index[[one is None for one in stages]]
        if refused.empty:
            break
        able = able.drop(refused)
    pairs = zip(shown["times_dense"], shown["tables"], strict=True)
    ends = [error.interval(times, tables.chain) for times, tables in pairs]
    shown = shown.join(pd.DataFrame(ends, shown.index, ["interval_low", "interval_high"], float))
    return _named(shown, [one for one in stages if one]).reset_index(drop=True)


def _lowest(rows: pd.DataFrame, cost: str, costs: pd.Series) -> np.ndarray:
    """Return the lowest perplexity among the rows at each of the costs or less; infinite without any."""
    ordered = rows.sort_values(cost)
    lowest = np.append(np.inf, np.minimum.accumulate(ordered[PERPLEXITY].to_numpy(float)))
    return lowest[np.searchsorted(ordered[cost].to_numpy(float), costs.to_numpy(float) * (1 + ROUNDED), "right")]


def _named(rows: pd.DataFrame, stages: Sequence[tuple[Stage, ...]]) -> pd.DataFrame:
    """Return rows with name, series_label and amount_label."""
    amounts = [next(stage.amount for stage in reversed(each) if stage.removes) for each in stages]
    variants = [
        VariantSpec(model=model, revision=revision, dtype=dtype, stages=each)
        for model, revision, dtype, each in zip(
            *(rows[name] for name in CHECKPOINT), rows["dtype"], stages, strict=True
        )
    ]
    return rows.assign(
        name=[short_name(one) for one in variants],
        series_label=[series_name(one.stages, one.dtype) for one in variants],
        amount_label=[format_amount(amount) for amount in amounts],
    )
