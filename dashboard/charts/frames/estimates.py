"""Estimated chains: combinations of two measured variants whose stages change different weights.

One part changes block linears, the other embedding or head. The size of both together is exact, because each matrix is
packed alone. The perplexity follows the additive rule (`core.analysis.additive`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from core.analysis.additive import RuleError, predicted
from core.analysis.budget import LIMITS, PERPLEXITY, ROUNDED, USABLE_TIMES_DENSE, Budget, fits
from core.notation.chain import DENSE
from core.notation.formatting import format_amount, series_name
from core.request.combining import WrittenChain, combine, ends_on_tables, in_blocks, on_tables, split
from core.specs import Stage
from dashboard.charts.frames.candidates import TEXTS, TRAINED, UNTRAINED
from dashboard.charts.frames.missing import is_training_free
from dashboard.charts.frames.points import is_dense

NEAR = 1.05  # multiple of the lowest estimate at the same or a lower cost, up to which others are shown
VARIANT = ["chain", *TEXTS, "dtype"]  # columns of a variant, without its seed
ADDED = ["packed_mb", "bits_per_weight", "parameters"]  # sizes of which each part saves its own share
UNKNOWN = [name for name in LIMITS if name not in (*ADDED, "times_dense")]  # quantities that no rule predicts
PART = [*VARIANT, "seed", "series_chain", "method", "family", "value", *ADDED]  # columns of each part
COLUMNS = [*VARIANT, "seed", "method", "family", "training", *ADDED, *UNKNOWN, PERPLEXITY, "times_dense"]
COLUMNS += ["blocks", "tables"]  # the `WrittenChain` of each part


def rule_error(rows: pd.DataFrame, window: float | None) -> RuleError:
    """Return the errors of the additive rule on the measured chains whose two parts are measured, too.

    A chain with several seeds or numbers of windows counts once, with the most windows and the lowest seed. Chains with
    a prediction above `USABLE_TIMES_DENSE` times dense do not count, because such estimates are not shown.

    Args:
        rows: Tidy perplexities of all models on one corpus.
        window: Tokens per window; rows with other windows do not count.
    """
    rows = rows[(rows["window"] == window) & (rows["origin"] == "measured") & ~rows["own_grid"].astype(bool)]
    rows = rows.assign(read=-rows["windows"].fillna(math.inf)).sort_values(["read", "seed"], kind="stable")
    errors: dict[tuple[object, ...], float] = {}
    for (_, model, dtype, _), part in rows.groupby(["read", "model", "dtype", "protocol_id"]):
        for chain, error in _errors(part).items():
            errors.setdefault((model, dtype, chain._replace(seed=None)), error)
    return RuleError(tuple(errors.values()))


def _errors(rows: pd.DataFrame) -> dict[WrittenChain, float]:
    """Return ln(measured / predicted perplexity) by chain, of one model, precision and protocol."""
    dense, whole = rows.loc[is_dense(rows), "value"], _written(rows[_by_series(rows, ends_on_tables)])
    if dense.empty or not whole:
        return {}
    base, known, errors = float(dense.iloc[0]), dict(zip(_written(rows), rows["value"], strict=True)), {}
    for chain in whole:
        parts = split(chain)
        if parts and parts[0] in known and parts[1] in known:
            expected = predicted(known[parts[0]], known[parts[1]], base)
            if expected < USABLE_TIMES_DENSE * base:
                errors[chain] = math.log(known[chain] / expected)
    return errors


def combinations(measured: pd.DataFrame, dense: pd.DataFrame) -> pd.DataFrame:
    """Combine each variant that leaves embedding and head unchanged with each that changes only these.

    Variants that restore the grid of the model's own file are no parts, and neither are diverged ones. Of several seeds
    the lowest stands for a variant. Parts with different data, seeds or precisions are not combined.

    Args:
        measured: Tidy perplexities of one model under one protocol.
        dense: The dense model's row of `candidates`, if known.

    Returns:
        The combinations that are not in `measured` and are predicted below `USABLE_TIMES_DENSE` times dense.
        `blocks` and `tables` are the written chains of the parts. A run may still refuse some combinations.
    """
    rows = measured[(measured["origin"] == "measured") & ~measured["own_grid"].astype(bool)]
    rows = (
        rows[rows["value"].map(math.isfinite).astype(bool)].sort_values("seed", kind="stable").drop_duplicates(VARIANT)
    )
    blocks, tables = (rows.loc[_by_series(rows, accepts), PART] for accepts in (in_blocks, on_tables))
    if dense.empty or blocks.empty or tables.empty:
        return pd.DataFrame()
    blocks, tables = (
        part.assign(part=pd.Series(_written(part), part.index, dtype=object), quick=_by_series(part, is_training_free))
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

    Args:
        found: Rows of `combinations`.
        measured: Rows of `core.analysis.budget.ranked`, by perplexity.
        budget: The limits.
        cost: A column; lower is better.
        error: The errors of the additive rule.

    Returns:
        The estimates, the best first, with series_label, amount_label, and `interval_low` and `interval_high`, the ends
        of the prediction interval of times_dense. They are NaN if too few chains check the rule.
    """
    if found.empty:
        return found
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
    ends = pd.DataFrame([error.interval(times) for times in shown["times_dense"]], shown.index, ["low", "high"], float)
    shown = shown.assign(interval_low=ends["low"], interval_high=ends["high"])
    return _named(shown, [one for one in stages if one], measured).reset_index(drop=True)


def _lowest(rows: pd.DataFrame, cost: str, costs: pd.Series) -> np.ndarray:
    """Return the lowest perplexity among the rows at each of the costs or less; infinite without any."""
    ordered = rows.sort_values(cost)
    lowest = np.append(np.inf, np.minimum.accumulate(ordered[PERPLEXITY].to_numpy(float)))
    return lowest[np.searchsorted(ordered[cost].to_numpy(float), costs.to_numpy(float) * (1 + ROUNDED), "right")]


def _named(rows: pd.DataFrame, stages: Sequence[tuple[Stage, ...]], others: pd.DataFrame) -> pd.DataFrame:
    """Return rows with series_label and amount_label; a label that is not unique has the parameters of trainings."""
    amounts = [next(stage.amount for stage in reversed(each) if stage.removes) for each in stages]
    named = rows.assign(amount_label=[format_amount(amount) for amount in amounts])
    plain, full = (
        [series_name(each, dtype, trainings) for each, dtype in zip(stages, rows["dtype"], strict=True)]
        for trainings in (False, True)
    )
    named = named.assign(series_label=plain)
    alike = pd.concat([named, others])[["series_label", "amount_label"]].duplicated(keep=False)
    return named.assign(
        series_label=named["series_label"].mask(alike.to_numpy()[: len(named)], pd.Series(full, named.index))
    )


def _by_series(rows: pd.DataFrame, judge: Callable[[str], bool]) -> pd.Series:
    """Judge each row by its chain without its last amount; many variants share one."""
    known = {name: judge(name) for name in rows["series_chain"].unique()}
    return rows["series_chain"].map(known).astype(bool)


def _written(rows: pd.DataFrame) -> list[WrittenChain]:
    """Return the chain of each row."""
    columns = (rows[name].astype(object).where(rows[name].notna(), None) for name in ("chain", *TEXTS, "seed"))
    return [
        WrittenChain(chain, calibration, train, None if seed is None else int(seed))
        for chain, calibration, train, seed in zip(*columns, strict=True)
    ]
