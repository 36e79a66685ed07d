"""How much each part of a model loses where only the whole is asked to lose the ratio, shared by unstructured methods.

`global` ranks the scores of all weights together. `owl` looks at a block's outliers, the share of its weights whose
score |w_ij| * ||x_j|| is more than `OUTLIER` times the block's mean (Yin et al., Outlier Weighed Layerwise Sparsity,
2023, arXiv:2310.05175); `sensitivity` at how much the loss rises when that block alone is compressed
(`core.engine.scan`), in logarithms: where a block's rise grows exponentially with what it loses, the shares with the
least sum of rises differ by the logarithms of those rises. Both spread the blocks' shares evenly around the ratio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from core.errors import UserError
from core.methods.cost import Sum, scanning
from core.methods.fields import only_with
from core.methods.inputs import Statistics, Target
from core.methods.levels import moved_counts
from core.methods.linear import LinearMethod
from core.methods.parameters import MethodParameters

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from core.models.parts.blocks import Linear
    from core.models.shape import ModelShape
    from core.specs import TextWindows

OUTLIER = 5.0  # times the mean score of a block
NORMS = "squared norms of the inputs"  # the observation's name


class AllocatedParameters(MethodParameters):
    allocation: Literal["uniform", "global", "owl", "sensitivity"] = Field(
        title="How much each part loses",
        default="uniform",
        description="`uniform`: every linear loses the ratio. `global`: the lowest scores of all linears go. Block by "
        "block, `owl`: less where more scores are outliers; `sensitivity`: less where compressing that block alone "
        "hurts more. The whole always loses the ratio.",
    )
    spread: float = Field(
        title="Furthest from the ratio",
        default=0.08,
        gt=0,
        le=0.5,
        description="By how much a block's share lies above or below the ratio at most, with owl and sensitivity.",
        json_schema_extra=only_with("allocation"),
    )
    cap: float = Field(
        title="Highest sparsity of a linear",
        default=0.95,
        gt=0,
        lt=1,
        description="Highest sparsity of one linear unless all lose the ratio; it keeps a linear from being emptied.",
        json_schema_extra=only_with("allocation"),
    )


class Allocated(LinearMethod):
    """Leaves to `allocation` how much each linear loses."""

    parameters: AllocatedParameters
    Parameters = AllocatedParameters

    def __init__(self, parameters: MethodParameters | None = None, seed: int | None = None):
        super().__init__(parameters, seed)
        if self.parameters.allocation in ("owl", "sensitivity"):
            self.data_requirement = "calibration"  # whatever the method itself reads

    @property
    def ranked_by(self) -> tuple[str, ...]:
        """Names of what `ranking` wants observed."""
        return ()

    def ranking(self, weight: Tensor, observed: Tensor | None, generator: Generator | None) -> Tensor:
        """Return the scores (out, in) by which the weights of all linears are ranked; may not change the weight."""
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
                f"{self.label}: allocation=sensitivity calibrates on some windows and reads losses on others; give at "
                f"least 2, such as {text.corpus}:16x{text.window}."
            )

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        if text is None or not self.needs_sensitivity:
            return super().cost(shape, text)
        return 2 * super().cost(shape, text) + scanning(shape, text, shape.blocks)

    def observed_sums(self, role: str) -> frozenset[Sum]:
        return frozenset({"sqnorm"}) if self.parameters.allocation == "owl" else self.required_statistics(role)

    def observe(self, weight: Tensor, statistics: Statistics) -> Tensor:
        return statistics.sqnorm

    def check_pattern(self, pattern: str) -> None:
        if self.parameters.allocation != "uniform":
            raise UserError(
                f"{self.label}: {pattern} leaves as many weights in every group, so there is nothing to allocate; "
                f"give a ratio, or leave allocation={self.parameters.allocation} out."
            )

    def layer_ratios(
        self, linears: Sequence[Linear], target: Target, observed: Mapping[str, Tensor]
    ) -> dict[str, float]:
        how = self.parameters
        if how.allocation == "uniform" or target.pattern:
            return {}
        sizes = {linear.name: linear.weight.numel() for linear in linears}
        bound = {linear.name: linear.bound for linear in linears}
        cap = max(how.cap, target.ratio)  # so that the whole can lose the ratio
        if how.allocation == "global":
            from core.methods.masks import global_counts, zeros_lowest

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
        """Return of each block how much it should be spared, on a scale of its own."""
        from core.models.parts.blocks import by_block

        blocks = by_block(linears)
        if self.parameters.allocation == "owl":
            return {block: outliers(members, observed) for block, members in blocks.items()}
        rises = {block: float(observed[members[0].name]) for block, members in blocks.items()}
        least = min((rise for rise in rises.values() if rise > 0), default=1.0)
        return {block: math.log(max(rise, least)) for block, rise in rises.items()}


def outliers(linears: Sequence[Linear], observed: Mapping[str, Tensor]) -> float:
    """Return the share of a block's weights with an outlying score; `observed` are its inputs' squared norms (in,)."""
    import torch

    scores = [
        (linear.weight.float().abs() * observed[linear.name].to(linear.weight.device).sqrt()).flatten()
        for linear in linears
    ]
    score = torch.cat(scores)
    return (score > OUTLIER * score.mean()).double().mean().item()


def spread_shares(levels: Mapping[int, float], ratio: float, spread: float) -> dict[int, float]:
    """Return of each block the share that goes: the less the higher its level, from `spread` above to below the ratio.

    Their mean need not be the ratio; `moved_counts` moves them all until it is, as OWL does.
    """
    low, high = min(levels.values()), max(levels.values())
    if low == high:
        return dict.fromkeys(levels, ratio)
    return {block: ratio + spread * (1 - 2 * (level - low) / (high - low)) for block, level in levels.items()}
