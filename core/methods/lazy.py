"""Classes that declarations of methods name in annotations only, as the modules that define them import torch."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module
    from transformers import PreTrainedModel

    from core.methods.numerics.hessian import Factor
    from core.methods.numerics.sweep import DynamicGroups
    from core.models.modeling_slimscope import FactoredEmbedding
    from core.models.parts.blocks import Blocks, Linear
    from core.models.parts.grids import Grid
    from core.models.removal.units import Units
else:
    Blocks = DynamicGroups = Factor = FactoredEmbedding = Generator = Grid = object
    Linear = Module = PreTrainedModel = Tensor = Units = object

__all__ = ["Blocks", "DynamicGroups", "Factor", "FactoredEmbedding", "Generator", "Grid"]
__all__ += ["Linear", "Module", "PreTrainedModel", "Tensor", "Units"]
