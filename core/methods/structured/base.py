"""Base of structured methods: scores of parts, and changes to the matrices that read them.

The engine (`core.engine.runners.by_units`) calls `heads` and `channels` block by block. For methods that use only
weights or gradients, it does so at once. For sequential methods it does so inside the walk over calibration data, where
a block sees the outputs of the shrunk blocks before it. Methods that remove other parts than heads and channels have
base classes of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pydantic import Field

from core.methods.annotations import ModelShape, Tensor, TextWindows, Units
from core.methods.base import Method
from core.methods.cost import SELECTION, Sum, gram_bytes, walking
from core.methods.linear import Accumulator, Statistics
from core.methods.parameters import MethodParameters
from core.methods.structured.budget import Removal, allocate, uniform
from core.methods.terms import STORED, Kind, Structure
from core.models.removal.geometry import Geometry, Mode

Observes = Literal["nothing", "similarity", "statistics", "gradients"]


class StructuredParameters(MethodParameters):
    attention: Mode = Field(
        title="Heads with shared keys",
        default="auto",
        description="How heads with shared keys and values are removed. groups: whole groups. even: equally many "
        "query heads from every group. auto: groups if there are at least 8, or one per head; else even.",
    )


@dataclass
class StructuredBlockView:
    """A block as a method sees it, with its observations by role."""

    units: Units
    inputs: dict[str, Statistics] = field(default_factory=dict)
    gradients: dict[str, dict[str, Tensor]] = field(default_factory=dict)  # tensors of an `Accumulator`
    similarity: float = 0.0  # mean cosine between the block's input and output
    scores: dict[str, Tensor] = field(default_factory=dict)  # of units, by kind, if `allocate` computes them

    def weight(self, role: str) -> Tensor:
        """Return the weight (out, in) of a linear in fp32."""
        return self.units.linears[role].weight.float()

    @property
    def shape(self) -> Geometry:
        return self.units.geometry

    @property
    def ffn_roles(self) -> list[str]:
        return [role for role in ("gate", "up") if role in self.units.linears]


@dataclass(frozen=True)
class HeadChoice:
    """The kept heads in ascending order, and the change to the output of o, which reads them."""

    query_heads: Tensor
    kv_heads: Tensor
    scale: Tensor | None = None  # (hidden,) factor of the output; None: 1
    bias: Tensor | None = None  # (hidden,) added to the output


@dataclass(frozen=True)
class ChannelChoice:
    """The kept FFN channels in ascending order, and the change to the output of down, which reads them."""

    channels: Tensor
    scale: Tensor | None = None  # (hidden,)
    bias: Tensor | None = None  # (hidden,)


class StructuredMethod(Method):
    """A method that removes whole parts of the blocks, so that matrices shrink. Subclasses define the parts."""

    family = "structured"
    ratio_kind = "parameters"
    leaves = frozenset({"shapes"})
    accepts = STORED - {"pattern", "grid", "factors"}  # a removed column shifts the groups of N:M
    observes: Observes = "nothing"  # of the dense model, before anything is removed
    input_sums: ClassVar[frozenset[Sum]] = frozenset()

    @property
    def observations(self) -> tuple[str, ...]:
        return () if self.observes == "nothing" else (self.observes,)

    def sums(self, role: str) -> frozenset[Sum]:
        """Return the input sums that the method needs for a linear with this role."""
        return self.input_sums

    def accumulator(self, view: StructuredBlockView, role: str) -> Accumulator:
        """Return the accumulator of one linear's gradients; only if `observes` is gradients."""
        raise NotImplementedError

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Count the ranking of weights and one observing pass over the calibration data."""
        return SELECTION * shape.block_weights + walking(shape, text, 1, self.sums)


class UnitMethod(StructuredMethod):
    """A method that removes heads and FFN channels. Subclasses score them, or choose them in `heads` and `channels`."""

    kind: ClassVar[Kind] = "units"
    requires: ClassVar[Structure] = "heads"
    Parameters = StructuredParameters

    def allocate(self, views: Sequence[StructuredBlockView], ratio: float) -> list[Removal]:
        """Return the removal of each block; `ratio` is of all blocks' linear weights."""
        shapes = [view.shape for view in views]
        return allocate(shapes, ratio, uniform(shapes, ratio))

    def head_scores(self, view: StructuredBlockView) -> tuple[Tensor, Tensor]:
        """Return the importance of query heads, (query heads,), and of key-value heads, (key-value heads,)."""
        raise NotImplementedError

    def channel_scores(self, view: StructuredBlockView) -> Tensor:
        """Return the importance of FFN channels, (channels,)."""
        raise NotImplementedError

    def heads(self, view: StructuredBlockView, steps: int) -> HeadChoice:
        """Choose the kept heads when `steps` attention steps (see `Geometry`) are removed."""
        return keep_heads(*self.head_scores(view), steps, view.shape)

    def channels(self, view: StructuredBlockView, count: int) -> ChannelChoice:
        """Choose the kept FFN channels when `count` are removed."""
        return ChannelChoice(keep_largest(self.channel_scores(view), count))


class SequentialUnitMethod(UnitMethod):
    """A method that decides each block from the outputs of the shrunk blocks before it."""

    kind: ClassVar[Kind] = "units in sequence"
    data_requirement = "calibration"

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        passes = (1 if self.true_sequential else 2) + bool(self.observations)
        return SELECTION * shape.block_weights + walking(shape, text, passes, self.sums)

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int, streams: bool = False) -> int:
        return super().memory(shape, text, item, streams) + gram_bytes(shape, self.sums)


class FactoredUnitMethod(SequentialUnitMethod):
    """A method that lowers the rank of attention matrices to `Removal.ranks` and removes FFN channels."""

    kind = "factored units"
    requires = "channels"
    leaves = frozenset({"shapes", "factors"})
    accepts = StructuredMethod.accepts - {"zeros"}

    def factor(self, view: StructuredBlockView, role: str, rank: int) -> tuple[Tensor, Tensor]:
        """Return (left (out, rank), right (rank, in)) of an attention matrix."""
        raise NotImplementedError


class BlockRemovalMethod(StructuredMethod):
    """A method that removes whole blocks."""

    kind = "blocks"
    modifies = frozenset()  # the remaining blocks stay unchanged
    accepts = STORED - {"factors", "basis"}

    def ratio_tolerance(self, blocks: int, inputs: int) -> float:
        return 0.5 / blocks

    def keep_blocks(self, views: Sequence[StructuredBlockView], ratio: float) -> list[int]:
        """Return the kept blocks in ascending order."""
        raise NotImplementedError


class HiddenSizeMethod(StructuredMethod):
    """A method that removes entries of the hidden states from every matrix."""

    kind = "hidden size"
    requires = "channels"
    streams = False
    modifies = frozenset({"linears", "tables"})
    accepts = StructuredMethod.accepts - {"table grid", "embedding", "rotation", "basis"}

    def keep_hidden(self, views: Sequence[StructuredBlockView], ratio: float) -> Tensor:
        """Return the kept entries of the hidden states in ascending order."""
        raise NotImplementedError


class SliceMethod(StructuredMethod):
    """A method that rotates the hidden states to another basis, block by block, and keeps its first directions."""

    kind = "slices"
    requires = "slices"
    streams = False
    modifies = frozenset({"linears", "tables"})
    leaves = frozenset({"shapes", "basis"})
    accepts = HiddenSizeMethod.accepts - {"zeros"}
    data_requirement = "calibration"

    def width(self, hidden: int, block_weights: float, ratio: float) -> int:
        """Return the width of the hidden states that removes `ratio` of blocks with so many weights on average."""
        raise NotImplementedError

    def basis(self, scatter: Tensor, width: int) -> Tensor:
        """Return the first directions, (hidden, width), of states with the sum of x x^T `scatter`, fp64."""
        raise NotImplementedError


def keep_heads(queries: Tensor, keys: Tensor, steps: int, shape: Geometry) -> HeadChoice:
    """Remove the lowest-scored attention steps, by the importance of the query heads and of the key-value heads."""
    import torch

    from core.models.removal.units import spread

    grouped = queries.view(shape.kv_heads, shape.group)  # query head i reads key-value head floor(i / group)
    if shape.mode == "groups":
        kv_heads = keep_largest(grouped.sum(1) + keys, steps)
        query_heads = spread(kv_heads, shape.group)
        return HeadChoice(query_heads, kv_heads)
    within = grouped.argsort(dim=1, stable=True)[:, steps:].sort(dim=1).values  # (kv heads, group - steps)
    query_heads = (within.cpu() + torch.arange(shape.kv_heads)[:, None] * shape.group).flatten()
    return HeadChoice(query_heads, torch.arange(shape.kv_heads))


def step_scores(queries: Tensor, shape: Geometry) -> list[float]:
    """Return the mean score of each attention step's query heads, in the order in which `keep_heads` removes them."""
    grouped = queries.view(shape.kv_heads, shape.group)
    if shape.mode == "groups":
        return grouped.mean(1).sort().values.tolist()
    return grouped.sort(dim=1).values.mean(0).tolist()


def keep_largest(score: Tensor, count: int, spared: int = 0) -> Tensor:
    """Return the kept indices, ascending, after removing the `count` lowest scores except the `spared` lowest.

    At most half of the kept entries are spared, so that they never displace all high scores.
    """
    import torch

    order = score.cpu().argsort(stable=True)
    spared = min(spared, (len(order) - count) // 2)
    return torch.cat([order[:spared], order[spared + count :]]).sort().values


def head_sums(score: Tensor, heads: int) -> Tensor:
    """Sum a score of rows or columns, (heads * width,), over each head."""
    return score.view(heads, -1).sum(1)


def unit_sums(elements: Tensor, role: str, shape: Geometry, signed: bool = False) -> Tensor:
    """Sum the scores of a matrix's weights, (out, in), over each head, (heads,), or each channel, (channels,).

    With `signed`, the sum of each row or column becomes its absolute value, as in the code of LLM-Pruner.
    """
    sums = elements.sum(0 if role in ("o", "down") else 1)
    if signed:
        sums = sums.abs()
    if role in ("q", "k", "v", "o"):
        return head_sums(sums, shape.query_heads if role in ("q", "o") else shape.kv_heads)
    return sums
