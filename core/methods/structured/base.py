"""What a method that removes heads and FFN channels is: scores, and what to do to the matrices that read the units.

The engine (`core.engine.by_units`) calls `heads` and `channels` for one block after the other: at once where a method
looks at weights or gradients only, or inside the walk over calibration text, where a block sees the shrunk blocks
before it. Other parts than heads and channels have methods of their own kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from core.methods.base import Method
from core.methods.cost import SELECTION, Sum, gram_bytes, walking
from core.methods.inputs import Statistics
from core.methods.parameters import MethodParameters
from core.methods.structured.budget import Removal, allocate, uniform
from core.methods.terms import Keeps
from core.models.parts.geometry import Geometry, Mode

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from core.methods.inputs import Accumulator
    from core.models.parts.units import Units
    from core.models.shape import ModelShape
    from core.specs import TextWindows

Observes = Literal["nothing", "similarity", "statistics", "gradients"]


class StructuredParameters(MethodParameters):
    attention: Mode = Field(
        title="Heads that share keys",
        default="auto",
        description="How heads that share keys and values go: whole groups, or as many query heads from every group; "
        "auto takes groups where there are 8 or more of them.",
    )


@dataclass
class StructuredBlockView:
    """A block as a method sees it; by role, what was observed of it so far."""

    units: Units
    inputs: dict[str, Statistics] = field(default_factory=dict)
    gradients: dict[str, dict[str, Tensor]] = field(default_factory=dict)  # what an `Accumulator` gathered
    similarity: float = 0.0  # mean cosine between what goes into the block and what comes out
    scores: dict[str, Tensor] = field(default_factory=dict)  # of units, by kind, where `allocate` finds them

    def weight(self, role: str) -> Tensor:
        """The weight (out, in) of a linear, in fp32."""
        return self.units.linears[role].weight.float()

    @property
    def shape(self) -> Geometry:
        return self.units.geometry

    @property
    def ffn_roles(self) -> list[str]:
        return [role for role in ("gate", "up") if role in self.units.linears]


@dataclass(frozen=True)
class HeadChoice:
    """The heads that stay, in ascending order, and what becomes of the output of o, which reads them."""

    query_heads: Tensor
    kv_heads: Tensor
    scale: Tensor | None = None  # (hidden,) that it is multiplied by; None: by 1
    bias: Tensor | None = None  # (hidden,) added to it


@dataclass(frozen=True)
class ChannelChoice:
    """The FFN channels that stay, in ascending order, and what becomes of the output of down, which reads them."""

    channels: Tensor
    scale: Tensor | None = None  # (hidden,)
    bias: Tensor | None = None  # (hidden,)


class StructuredMethod(Method):
    """Removes whole parts of the blocks, so that matrices get smaller. The subclasses say which parts."""

    family = "structured"
    ratio_kind = "parameters"
    preserves: ClassVar[Keeps] = "zeros"  # a column less shifts groups of a pattern
    highest_offered = 0.6
    marker = "square"
    observes: Observes = "nothing"  # of the dense model, before anything is removed

    @property
    def observations(self) -> tuple[str, ...]:
        return () if self.observes == "nothing" else (self.observes,)

    def sums(self, role: str) -> frozenset[Sum]:
        """Return the sums over the input of a linear with this role that are read, observed or in a walk."""
        return frozenset()

    def accumulator(self, view: StructuredBlockView, role: str) -> Accumulator:
        """Return what gathers the gradients of one linear; only where `observes` is gradients."""
        raise NotImplementedError

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Ranking the weights, and running the calibration text once to observe it."""
        return SELECTION * shape.block_weights + walking(shape, text, 1, self.sums)


class UnitMethod(StructuredMethod):
    """Removes heads and FFN channels. Subclasses score them in `heads` and `channels`, here at once."""

    parameters: StructuredParameters
    Parameters = StructuredParameters

    def allocate(self, views: Sequence[StructuredBlockView], ratio: float) -> list[Removal]:
        """Return how much each block loses; `ratio` is of all blocks' linear weights."""
        shapes = [view.shape for view in views]
        return allocate(shapes, ratio, uniform(shapes, ratio))

    def heads(self, view: StructuredBlockView, steps: int) -> HeadChoice:
        """Choose which heads stay when `steps` attention steps (see `Geometry`) go."""
        raise NotImplementedError

    def channels(self, view: StructuredBlockView, count: int) -> ChannelChoice:
        """Choose which FFN channels stay when `count` go."""
        raise NotImplementedError


class SequentialUnitMethod(UnitMethod):
    """Decides each block on the output of the shrunk blocks before it."""

    data_requirement = "calibration"

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        passes = (1 if self.true_sequential else 2) + bool(self.observations)
        return SELECTION * shape.block_weights + walking(shape, text, passes, self.sums)

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int) -> int:
        return super().memory(shape, text, item) + gram_bytes(shape, self.sums)


class FactoredUnitMethod(SequentialUnitMethod):
    """Gives attention's matrices a lower rank, as `Removal.ranks` has it, and removes FFN channels."""

    preserves = "nothing"

    def factor(self, view: StructuredBlockView, role: str, rank: int) -> tuple[Tensor, Tensor]:
        """Return (left (out, rank), right (rank, in)) of an attention matrix."""
        raise NotImplementedError


class BlockRemovalMethod(StructuredMethod):
    """Removes whole blocks."""

    modifies = frozenset()  # what stays is as it was
    preserves = "all"

    def ratio_tolerance(self, blocks: int, inputs: int) -> float:
        return 0.5 / blocks

    def keep_blocks(self, views: Sequence[StructuredBlockView], ratio: float) -> list[int]:
        """Return the blocks that stay, ascending."""
        raise NotImplementedError


class HiddenSizeMethod(StructuredMethod):
    """Removes entries of the hidden states, from every matrix."""

    modifies = frozenset({"linears", "tables"})

    def keep_hidden(self, views: Sequence[StructuredBlockView], ratio: float) -> Tensor:
        """Return the entries of the hidden states that stay, ascending."""
        raise NotImplementedError


class SliceMethod(StructuredMethod):
    """Gives the hidden states another basis, block by block, and keeps its first directions."""

    modifies = frozenset({"linears", "tables"})
    preserves = "nothing"

    data_requirement = "calibration"

    def width(self, hidden: int, block_weights: float, ratio: float) -> int:
        """Return the width to cut hidden states to, for blocks of so many weights on average to lose a share."""
        raise NotImplementedError

    def basis(self, scatter: Tensor, width: int) -> Tensor:
        """Return the first directions, (hidden, width), for states with this sum of x x^T, fp64."""
        raise NotImplementedError


def keep_heads(queries: Tensor, keys: Tensor, steps: int, shape: Geometry) -> HeadChoice:
    """Drop the lowest-scored attention steps. `queries` (query heads,), `keys` (key-value heads,) are importances."""
    import torch

    from core.models.parts.units import spread

    grouped = queries.view(shape.kv_heads, shape.group)  # query head i reads key-value head floor(i / group)
    if shape.mode == "groups":
        kv_heads = keep_largest(grouped.sum(1) + keys, steps)
        query_heads = spread(kv_heads, shape.group)
        return HeadChoice(query_heads, kv_heads)
    within = grouped.argsort(dim=1, stable=True)[:, steps:].sort(dim=1).values  # (kv heads, group - steps)
    query_heads = (within.cpu() + torch.arange(shape.kv_heads)[:, None] * shape.group).flatten()
    return HeadChoice(query_heads, torch.arange(shape.kv_heads))


def step_scores(queries: Tensor, shape: Geometry) -> list[float]:
    """Return the mean score of each attention step's query heads, in the order in which `keep_heads` drops them."""
    grouped = queries.view(shape.kv_heads, shape.group)
    if shape.mode == "groups":
        return grouped.mean(1).sort().values.tolist()
    return grouped.sort(dim=1).values.mean(0).tolist()


def keep_largest(score: Tensor, count: int, spared: int = 0) -> torch.Tensor:
    """Return the indices, ascending, that stay when `count` of the lowest-scored go, the `spared` lowest excepted.

    These are at most half of what stays, so that they never displace all that scores high.
    """
    import torch

    order = score.cpu().argsort(stable=True)
    spared = min(spared, (len(order) - count) // 2)
    return torch.cat([order[:spared], order[spared + count :]]).sort().values


def head_sums(score: Tensor, heads: int) -> Tensor:
    """Sum a score of rows or columns (heads * width,) over each head's."""
    return score.view(heads, -1).sum(1)
