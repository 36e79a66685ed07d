"""Missing points of curves, as chains in the notation of the command line."""

from collections.abc import Sequence

import pandas as pd

from core.amount import Amount, Bits, Factor, Pattern, Ratio
from core.base.errors import UserError
from core.methods.base import Method
from core.notation.chain import parse
from core.registry import METHODS, get_stage
from core.request.resolve import method_of

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


def highest_offered(method: type[Method]) -> float:
    """Return the highest ratio at which charts offer to add points of a method."""
    return 0.6 if method.family == "structured" else 1.0


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
    before = [stage.amount for stage in stages[:last] if isinstance(stage.amount, Ratio | Pattern)]
    removed = max((amount.fraction for amount in before), default=0.0)  # of the block weights
    there = points["ratio"][points["pattern"].isna()].dropna()
    ratios = sorted({*GRID, *(round(float(ratio), 6) for ratio in there)})
    # Quantisation may follow any pruning, and so may the factors of an embedding, which pruning leaves.
    wanted: list[Amount] = [*map(Bits, method.bit_choices), *map(Factor, method.factor_choices)]
    if not wanted:
        shares = [Ratio(ratio) for ratio in ratios if ratio <= highest_offered(method)]
        nm = map(Pattern.parse, patterns if method.supports_nm else ())
        wanted = [amount for amount in (*shares, *nm) if amount.fraction > removed]
    start = stages[last].amount_place
    chains = [f"{name[:start]}{amount}{name[start:]}" for amount in wanted]
    have = set(points["chain"][points["series_chain"] == name])
    return [chain for chain in chains if chain not in have]


def is_training_free(chain: str) -> bool:
    """Return whether a chain needs no training, which is slow."""
    try:
        return all(method_of(stage).data_requirement != "training" for stage in parse(chain))
    except UserError:  # from a version with other methods
        return False
