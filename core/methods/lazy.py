"""Classes that declarations of methods name in annotations only, as the modules that define them import torch."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module
    from transformers import PreTrainedModel

    from core.models.modeling_slimscope import FactoredEmbedding
    from core.models.parts.blocks import Blocks, Linear
    from core.models.parts.grids import Grid
    from core.models.removal.units import Units
else:
    Blocks = FactoredEmbedding = Generator = Grid = Linear = Module = PreTrainedModel = Tensor = Units = object

__all__ = ["Blocks", "FactoredEmbedding", "Generator", "Grid", "Linear", "Module", "PreTrainedModel", "Tensor", "Units"]
