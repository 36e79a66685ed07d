"""Allocation of the pruning ratio to linears or blocks, shared by unstructured methods.

`global` ranks the scores of all weights together. The other two map a value of each block linearly to ratios around the
target. `owl` uses outliers: the share of a block's weights whose score |w_ij| * ||x_j|| is more than `OUTLIER` times
the block's mean (Yin et al., Outlier Weighed Layerwise Sparsity, 2023, arXiv:2310.05175). `sensitivity` uses the
logarithm of the rise in loss when that block alone is compressed (`core.engine.scan`). If the rise grows exponentially
with a block's ratio, the ratios with the least total rise differ by the logarithms of those rises.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from core.amount import Pattern
from core.base.errors import UserError
from core.methods.annotations import Generator, Linear, ModelShape, Tensor, TextWindows
from core.methods.cost import Sum, scanning
from core.methods.fields import only_with
from core.methods.linear import LinearMethod, Statistics, Target
from core.methods.numerics.levels import moved_counts
from core.methods.parameters import MethodParameters, ShiftedParameters

OUTLIER = 5.0  # times the mean score of a block
NORMS = "squared norms of the inputs"  # the observation's name


class AllocatedParameters(ShiftedParameters):
    allocation: Literal["uniform", "global", "owl", "sensitivity"] = Field(
        title="Allocation",
        default="uniform",
        description="`uniform`: every linear has the same ratio. `global`: the lowest scores of all linears are "
        "removed. `owl`: blocks with more outlier scores lose less. `sensitivity`: blocks that raise the loss "
        "more when compressed alone lose less. The overall ratio always equals the target.",
    )
    spread: float = Field(
        title="Spread of the block ratios",
        default=0.08,
        gt=0,
        le=0.5,
        description="How far the ratios of the extreme blocks are from the overall ratio, with owl and sensitivity.",
        json_schema_extra=only_with("allocation"),
    )
    cap: float = Field(
        title="Maximum sparsity of a linear",
        default=0.95,
        gt=0,
        lt=1,
        description="Maximum sparsity of one linear, unless allocation is uniform. It prevents the removal of a "
        "whole linear.",
        json_schema_extra=only_with("allocation"),
    )

    @property
    def even(self) -> bool:
        return self.allocation == "uniform"


class Allocated(LinearMethod):
    """A method whose `allocation` parameter sets each linear's ratio."""

    Parameters = AllocatedParameters

    def __init__(self, parameters: MethodParameters | None = None, seed: int | None = None):
        super().__init__(parameters, seed)
        if self.parameters.allocation in ("owl", "sensitivity"):
            self.data_requirement = "calibration"  # even if the method itself needs none

    @property
    def ranked_by(self) -> tuple[str, ...]:
        """Names of the observations that `ranking` needs."""
        return ()

    def ranking(self, weight: Tensor, observed: Tensor | None, generator: Generator | None) -> Tensor:
        """Return the scores (out, in) that rank the weights of all linears; must not change the weight."""
        raise NotImplementedError

    @property
    def observations(self) -> tuple[str, ...]:
        return {"owl": (NORMS,), "global": self.ranked_by}.get(self.parameters.allocation, ())

    @property
    def needs_sensitivity(self) -> bool:
        return self.parameters.allocation == "sensitivity"

    @property
    def uniform(self) -> LinearMethod:
        plain = {name: self.Parameters.model_fields[name].default for name in AllocatedParameters.model_fields}
        return type(self)(self.parameters.model_copy(update=plain), self.seed)

    @property
    def first_progress_step(self) -> str:
        return "scan" if self.needs_sensitivity else super().first_progress_step

    def check_amount(self, text: TextWindows) -> None:
        if self.needs_sensitivity and text.windows < 2:
            raise UserError(
                f"{self.label}: allocation=sensitivity needs at least 2 sequences, for calibration and for the loss, "
                f"not {text.windows}; give more, such as {text.corpus}:16x{text.window}."
            )

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        if text is None or not self.needs_sensitivity:
            return super().cost(shape, text)
        return 2 * super().cost(shape, text) + scanning(shape, text, shape.blocks)

    def observed_sums(self, role: str) -> frozenset[Sum]:
        return frozenset({"sqnorm"}) if self.parameters.allocation == "owl" else self.required_statistics(role)

    def observe(self, weight: Tensor, statistics: Statistics) -> Tensor:
        return statistics.sqnorm

    def check_pattern(self, pattern: Pattern) -> None:
        if self.parameters.allocation != "uniform":
            raise UserError(
                f"{self.label}: {pattern} keeps equally many weights in every group, so there is nothing to allocate. "
                f"Give a ratio or remove allocation={self.parameters.allocation}."
            )

    def layer_ratios(
        self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]
    ) -> dict[str, float]:
        how = self.parameters
        if how.allocation == "uniform" or target.pattern:
            return {}
        sizes = {linear.name: linear.weight.numel() for linear in linears}
        bound = {linear.name: linear.bound for linear in linears}
        cap = max(how.cap, target.ratio)  # so that the target can be met
        if how.allocation == "global":
            from core.methods.numerics.masks import global_counts, zeros_lowest

            by_name = {linear.name: linear for linear in linears}

            def score(name: str) -> Tensor:
                linear = by_name[name]
                generator = self.generator(name) if self.draws else None
                ranking = self.ranking(linear.weight.float(), observed.get(name), generator)
                return zeros_lowest(ranking, linear.zeros)

            counts = global_counts(sizes, score, target.ratio, cap, bound)
        else:
            wanted = spread_shares(self._levels(linears, observed), target.ratio, how.spread)
            total = round(target.ratio * sum(sizes.values()))
            shares = [wanted[linear.block] for linear in linears]
            found = moved_counts(shares, list(sizes.values()), list(bound.values()), total, cap)
            counts = dict(zip(sizes, found, strict=True))
        return {name: counts[name] / size for name, size in sizes.items()}

    def _levels(self, linears: Sequence[Linear], observed: Mapping[str, Tensor]) -> dict[int, float]:
        """Return how much to spare each block, on a scale of the allocation."""
        from core.models.parts.blocks import by_block

        blocks = by_block(linears)
        if self.parameters.allocation == "owl":
            return {block: outliers(members, observed) for block, members in blocks.items()}
        return sensitivity_levels({block: float(observed[members[0].name]) for block, members in blocks.items()})


def sensitivity_levels(rises: Mapping[int, float]) -> dict[int, float]:
    """Return how much to spare each block: the logarithm of its rise in loss, in nats per token."""
    least = min((rise for rise in rises.values() if rise > 0), default=1.0)
    return {block: math.log(max(rise, least)) for block, rise in rises.items()}


def outliers(linears: Sequence[Linear], observed: Mapping[str, Tensor]) -> float:
    """Return the share of a block's weights with outlier scores; `observed` has its inputs' squared norms (in,)."""
    import torch

    scores = [
        (linear.weight.float().abs() * observed[linear.name].to(linear.weight.device).sqrt()).flatten()
        for linear in linears
    ]
    score = torch.cat(scores)
    return (score > OUTLIER * score.mean()).double().mean().item()


def spread_shares(levels: Mapping[int, float], ratio: float, spread: float) -> dict[int, float]:
    """Return each block's ratio, which falls linearly with its level from `spread` above to `spread` below the target.

    Their mean need not be the target; `moved_counts` then shifts all of them, as OWL does.
    """
    low, high = min(levels.values()), max(levels.values())
    if low == high:
        return dict.fromkeys(levels, ratio)
    return {block: ratio + spread * (1 - 2 * (level - low) / (high - low)) for block, level in levels.items()}
