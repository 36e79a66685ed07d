"""Types of the arguments and results of methods; those of modules that import torch have no value at run time."""

from typing import TYPE_CHECKING

from core.models.shape import ModelShape
from core.specs import TextWindows

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

__all__ = ["Blocks", "FactoredEmbedding", "Generator", "Grid", "Linear", "ModelShape", "Module"]
__all__ += ["PreTrainedModel", "Tensor", "TextWindows", "Units"]
