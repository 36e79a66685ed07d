"""Methods that round the linears of a block together, since they compare outputs of several of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from core.methods.inputs import Compressed, Target
from core.methods.quantised.base import QuantisedMethod
from core.methods.terms import Kind

if TYPE_CHECKING:
    from torch import Tensor, nn

    from core.models.parts.blocks import Linear


@dataclass(frozen=True)
class BlockView:
    """One block of the model, with its outputs on the calibration data."""

    name: str  # such as model.layers.0
    module: nn.Module
    linears: Sequence[Linear]
    parts: int  # number of micro-batches
    run: Callable[[int], Tensor]  # output (windows, tokens, hidden) on a micro-batch with the current weights
    dense: Sequence[Tensor]  # the dense block's outputs by micro-batch, for a method that `follows_dense`
    alive: Callable[[], None]  # to call now and then in long loops; raises if the run must stop


@dataclass(frozen=True)
class QuantisedLinear:
    """A linear of a block after a method: the weight before, the result, and inputs that measure its error."""

    before: Tensor  # (out, in) fp32, the same function of its inputs as the dense weight
    after: Compressed
    sample: Tensor  # (tokens, in)


class BlockQuantMethod(QuantisedMethod):
    """A method that rounds all linears of a block together, on the outputs of the rounded blocks before it."""

    kind: ClassVar[Kind] = "blocks of linears"
    selects_layers: ClassVar[bool] = False  # the block changes as a whole
    follows_dense: ClassVar[bool] = False  # whether it compares with the dense block's outputs
    data_requirement = "calibration"

    def round_block(self, view: BlockView, target: Target) -> dict[str, QuantisedLinear]:
        """Return each rounded linear by name; may change other weights of the block in place."""
        raise NotImplementedError
