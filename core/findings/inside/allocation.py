"""The allocation of a pruning ratio to blocks that a sensitivity scan suggests."""

import math
from collections.abc import Sequence

import pandas as pd

from core.amount import Ratio
from core.methods.unstructured.allocation import (
    AllocatedParameters,
    sensitivity_levels,
    spread_shares,
)
from core.notation.chain import format_chain
from core.registry import get_stage
from core.specs import Stage

ALLOCATION = "sensitivity"


def allocated_chain(stages: Sequence[Stage]) -> str | None:
    """Return the chain of a one-stage variant with an allocation by sensitivity; None if its method has none."""
    if len(stages) != 1 or not isinstance(stages[0].amount, Ratio):
        return None
    method = get_stage(stages[0].method)
    if "allocation" not in method.Parameters.model_fields:
        return None
    parameters = stages[0].parameters | {"allocation": ALLOCATION}
    return format_chain([stages[0].model_copy(update={"parameters": parameters})])


def suggested_ratios(perplexity_ratios: pd.Series, ratio: float) -> pd.Series:
    """Return the pruning ratio of each block that the allocation by sensitivity gives before it meets the target.

    Args:
        perplexity_ratios: Perplexity as a multiple of dense with one block compressed, by block.
        ratio: The target.
    """
    levels = sensitivity_levels(dict(zip(perplexity_ratios.index, map(math.log, perplexity_ratios), strict=True)))
    return pd.Series(spread_shares(levels, ratio, AllocatedParameters().spread))
