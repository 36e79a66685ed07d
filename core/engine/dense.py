"""Weights of the dense model, the reference of a reconstruction."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from core.context import Context
from core.models.parts.blocks import Linear, find_blocks
from core.models.sources import load_model


@dataclass
class DenseWeights:
    """Weights of the dense model, which is loaded at the first access in the precision named `dtype`."""

    context: Context
    dtype: str

    @cached_property
    def _linears(self) -> dict[str, Linear]:
        source = self.context.dense
        if source is None:
            raise TypeError("The context has no dense model, which this stage needs as reference.")
        mapped = self.context.shelf is not None
        model = load_model(source, self.dtype, progress=self.context.progress, mapped=mapped)
        return {linear.name: linear for linear in find_blocks(model).all_linears()}

    def weight(self, name: str) -> Tensor:
        """Return the weight (out, in) of a linear, by its name in the dense model."""
        return self._linears[name].weight
