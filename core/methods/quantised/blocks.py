"""Methods that round the linears of a block together, as they look at what comes out of several of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from core.methods.inputs import Compressed, Target
from core.methods.quantised.base import QuantisedMethod

if TYPE_CHECKING:
    from torch import Tensor, nn

    from core.models.parts.blocks import Linear


@dataclass(frozen=True)
class BlockView:
    """One block of the model, and what it makes of the calibration text."""

    name: str  # such as model.layers.0
    module: nn.Module
    linears: Sequence[Linear]
    parts: int  # micro-batches of windows
    run: Callable[[int], Tensor]  # the block's output (windows, tokens, hidden) on a micro-batch, as its weights are
    dense: Sequence[Tensor]  # that of the dense model, a micro-batch each, for a method that `follows_dense`
    alive: Callable[[], None]  # to be called now and then in what takes long; raises where the run is to stop


@dataclass(frozen=True)
class QuantisedLinear:
    """A linear of a block after a method: what it was rounded from, to what, and inputs that it is judged on."""

    before: Tensor  # (out, in) fp32, of the same function of its inputs as the dense weight was
    after: Compressed
    sample: Tensor  # (tokens, in)


class BlockQuantMethod(QuantisedMethod):
    """Rounds all linears of a block, block after block, each on the output of the rounded blocks before it."""

    selects_layers: ClassVar[bool] = False  # what a block computes is changed as a whole
    follows_dense: ClassVar[bool] = False  # whether it compares with what comes out of the dense model's block
    data_requirement = "calibration"

    def round_block(self, view: BlockView, target: Target) -> dict[str, QuantisedLinear]:
        """Return what becomes of each linear, by name. Other weights of the block may be changed in place."""
        raise NotImplementedError
