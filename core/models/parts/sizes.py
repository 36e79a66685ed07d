"""Weight counts of the linears of a model's blocks, now and in the dense model, and the token tables."""

import re
from collections.abc import Mapping, Sequence

from torch import nn

from core.models.lazy import PreTrainedModel
from core.models.modeling_slimscope import FactoredEmbedding, FactoredHead
from core.models.parts.blocks import Linear, find_blocks
from core.models.parts.experts import chosen_of, experts_in


def linear_sizes(model: nn.Module) -> dict[str, int]:
    """Return the weight count of each block linear by name."""
    return {linear.name: linear.weight.numel() for linear in find_blocks(model).all_linears()}


def active_weights(model: PreTrainedModel) -> int:
    """Return the number of weights of block linears that compute one token; a token runs through some experts only."""
    blocks = find_blocks(model)
    inside = {
        linear: chosen_of(model) / len(experts) for experts in experts_in(blocks.holder) for linear in experts.modules()
    }
    return round(sum(linear.weight.numel() * inside.get(linear.module, 1) for linear in blocks.all_linears()))


def size_before(linears: Sequence[Linear], dense: Mapping[str, int]) -> int:
    """Return the weight count of some linears in the dense model, whose sizes are `linear_sizes`.

    Two factors count as one dense linear, and a SliceGPT shortcut as none. After block removal, the names count
    from 0 again; the dense block of the same number has linears of the same size.
    """
    names = {name if name in dense else re.sub(r"\.[01]$", "", name) for name in (linear.name for linear in linears)}
    return sum(dense.get(name, 0) for name in names)


def embedding_tables(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Return the modules with whole token tables by name; of a tied pair only the first, the embedding."""
    wanted = {id(model.get_input_embeddings()), id(model.get_output_embeddings())}
    found: dict[int, tuple[str, nn.Module]] = {}
    for name, module in model.named_modules():
        if id(module) in wanted and not isinstance(module, FactoredEmbedding | FactoredHead):
            found.setdefault(id(module.get_parameter("weight")), (name, module))
    return dict(found.values())
