"""Missing points of curves, as chains in the notation of the command line."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from core.chain import parse
from core.errors import UserError
from core.registry import METHODS, get_stage
from core.request.resolve import data_requirement_of
from core.specs import parse_pattern

GRID = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # ratios that Explore offers to run


def of_methods(points: pd.DataFrame, methods: Sequence[str], patterns: Sequence[str] = ()) -> dict[str, list[str]]:
    """Return the missing chains of single methods, such as `wanda@0.5`, by the method's label.

    The grid has the ratios of `GRID` and the N:M amounts `patterns`.
    """
    known = {method.name for method in METHODS}
    return {get_stage(name).label: _lacking(points, f"{name}@", patterns) for name in methods if name in known}


def of_chains(points: pd.DataFrame, patterns: Sequence[str] = ()) -> dict[str, list[str]]:
    """Return the same for each series of several training-free stages that has a point."""
    several = points[points["series_chain"].str.contains("+", regex=False)].drop_duplicates("series_chain")
    return {
        row["series_label"]: _lacking(points, row["series_chain"], patterns)
        for _, row in several.iterrows()
        if is_training_free(row["series_chain"])
    }


def _lacking(points: pd.DataFrame, name: str, patterns: Sequence[str]) -> list[str]:
    """Return the chains with an amount of the grid that a series lacks."""
    try:
        stages = parse(name)
    except UserError:  # from a version with other methods
        return []
    last = next((place for place, stage in enumerate(stages) if stage.open), None)
    if last is None:
        return []
    method = get_stage(stages[last].name)
    removed = max((_share(stage.ratio, stage.pattern) for stage in stages[:last]), default=0.0)
    there = points["ratio"][points["pattern"].isna()].dropna()
    ratios = sorted({*GRID, *(round(float(ratio), 6) for ratio in there)})
    wanted = [(f"{ratio:g}", ratio) for ratio in ratios if ratio <= method.highest_offered]
    if method.bit_choices:
        wanted = [(f"{bits}bit", 1.0) for bits in method.bit_choices]  # quantisation may follow any pruning
    if method.factor_choices:
        wanted = [(f"{factor:g}x", 1.0) for factor in method.factor_choices]  # of the embedding, which pruning leaves
    if method.supports_nm:
        wanted += [(pattern, _share(None, pattern)) for pattern in patterns]
    start = stages[last].amount_place
    chains = [f"{name[:start]}{text}{name[start:]}" for text, share in wanted if share > removed]
    have = set(points["chain"][points["series_chain"] == name])
    return [chain for chain in chains if chain not in have]


def is_training_free(chain: str) -> bool:
    """Return whether a chain needs no training, which is slow."""
    try:
        return all(data_requirement_of(stage) != "training" for stage in parse(chain))
    except UserError:  # from a version with other methods
        return False


def _share(ratio: float | None, pattern: str | None) -> float:
    """Return the share of block weights that an amount removes."""
    if pattern and ":" in pattern:
        kept, group = parse_pattern(pattern)
        return 1 - kept / group
    return ratio or 0.0


def chain_amount(chain: str) -> tuple[float | None, str | None]:
    """Return the last amount of a chain as (ratio, pattern)."""
    amounts = [(stage.ratio, stage.pattern) for stage in parse(chain) if stage.ratio is not None or stage.pattern]
    return amounts[-1] if amounts else (None, None)
