"""Removal of decoder blocks and of hidden-state entries."""

import copy
from collections.abc import Sequence

from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from core.base.errors import UserError
from core.models.parts.blocks import Blocks, plain_like, text_config
from core.models.removal.units import cut, find_units, recount, slice_linear

ATTENTION = ("attention", "full_attention", "sliding_attention", "chunked_attention")  # kinds of a hybrid's blocks

DENSE_FIRST = ("first_k_dense_replace", "num_dense_layers")  # counts of first blocks without experts


def keep_blocks(model: PreTrainedModel, blocks: Blocks, kept: Sequence[int]) -> None:
    """Remove every block but the given ones in place; update cache indices and configuration.

    Raises `UserError` if no attention block of a hybrid model would be left, or its configuration requires other blocks
    at these places; the model stays unchanged.
    """
    kinds = getattr(text_config(model), "layer_types", None) or ()
    attends = {index for index, kind in enumerate(kinds) if kind in ATTENTION}  # without one, a hybrid's cache fails
    if attends and not attends & set(kept):
        raise UserError("The ratio would remove all attention blocks of this hybrid model; give a smaller one.")
    config = copy.deepcopy(model.config)
    _describe(config.get_text_config(), kept)
    before, after = (_parameters(model, blocks, one) for one in (model.config, config))
    if [before[index] for index in kept] != after:
        raise UserError(
            f"{type(model).__name__} has blocks of different kinds at fixed places, so none of them can be removed."
        )
    remaining = [blocks.holder[index] for index in kept]
    del blocks.holder[len(remaining) :]
    for position, block in enumerate(remaining):
        blocks.holder[position] = block
        for module in block.modules():
            recount(module, ("layer_idx",), position)
    _describe(text_config(model), kept)


def _describe(config: PreTrainedConfig, kept: Sequence[int]) -> None:
    """Make a configuration describe the kept blocks alone, in place."""
    for name, value in list(vars(config).items()):
        if isinstance(value, list) and len(value) == config.num_hidden_layers:  # one entry per block
            setattr(config, name, [value[index] for index in kept])
    if hasattr(config, "attention_types"):  # GPT-Neo repeats the list as runs
        config.attention_types = [[[kind], 1] for kind in config.attention_layers]
    for name in DENSE_FIRST:
        if isinstance(count := getattr(config, name, None), int):
            setattr(config, name, sum(index < count for index in kept))
    config.num_hidden_layers = len(kept)


def _parameters(model: PreTrainedModel, blocks: Blocks, config: PreTrainedConfig) -> list[set[str]]:
    """Return the names of the parameters in each block of a new model of a configuration."""
    holder = plain_like(model, config).get_submodule(blocks.name)
    return [{name for name, _ in block.named_parameters()} for block in holder.children()]


def keep_hidden(model: PreTrainedModel, blocks: Blocks, kept: Tensor) -> None:
    """Keep the given entries of the hidden states in blocks, norms, embeddings and head, in place.

    Raises `UserError` for weights in no linear that read the hidden states, and for norms without weights.
    """
    config = text_config(model)
    inside = {id(linear.module): linear for linear in blocks.all_linears()}
    # The configuration does not always reflect earlier removals.
    hidden = next(linear.shape[1] for linear in inside.values() if linear.role not in ("o", "down"))
    _check_hidden(model, blocks, hidden)
    seen: set[int] = set()
    units = [find_units(blocks, index) for index in range(len(blocks.holder))]
    # Parameters of the attention itself are biases of hidden states.
    of_heads = {one for unit in units for one in unit.attention.children() if not isinstance(one, nn.Linear)}
    for module in model.modules():
        if module in of_heads:
            continue
        if linear := inside.get(id(module)):
            reads = linear.role not in ("o", "down")
            slice_linear(linear.plain, columns=kept if reads else None, rows=None if reads else kept)
        elif isinstance(module, nn.Embedding) and module.embedding_dim == hidden:
            if id(module.weight) not in seen:
                module.weight.data = module.weight.data.index_select(1, kept.to(module.weight.device))
                seen.add(id(module.weight))
            module.embedding_dim = len(kept)
        elif isinstance(module, nn.Linear) and module.in_features == hidden:
            if id(module.weight) not in seen:  # a tied head shares the embeddings' tensor
                module.weight.data = module.weight.data.index_select(1, kept.to(module.weight.device))
                seen.add(id(module.weight))
            module.in_features = len(kept)
        elif isinstance(module, nn.Linear) and module.out_features == hidden:  # projects from narrower embeddings
            slice_linear(module, rows=kept)
        else:
            _slice_norm(module, hidden, kept)
    # Other configurations derive the head width, or Gemma's embedding scale, from the hidden size.
    head_dim = getattr(config, "head_dim", None)
    if head_dim and not config.model_type.startswith("gemma") and len(kept) % config.num_attention_heads == 0:
        before, config.hidden_size = config.hidden_size, len(kept)
        if config.head_dim != head_dim:
            config.hidden_size = before


def _check_hidden(model: PreTrainedModel, blocks: Blocks, hidden: int) -> None:
    """Raise `UserError` if weights, norms or tables that cannot become narrower have the width of the hidden states."""
    linears = {id(linear.module.weight) for linear in blocks.all_linears()}
    outside = [one for one in blocks.holder.parameters() if one.dim() > 1 and id(one) not in linears]
    bare = [
        module
        for module in model.modules()
        if getattr(module, "normalized_shape", None) == (hidden,) and not list(module.parameters(recurse=False))
    ]
    if any(hidden in one.shape for one in outside):
        raise UserError("Weights in no linear read the hidden states of this model; remove heads and channels instead.")
    if any(table.dim() == 2 and table.shape[1] == hidden for table in model.buffers()):
        raise UserError("A fixed table is added to the hidden states of this model; remove heads and channels instead.")
    if bare:  # no checkpoint describes their width
        raise UserError("The norms of this model have no weights to cut; remove heads and channels instead.")


def _slice_norm(module: nn.Module, hidden: int, kept: Tensor) -> None:
    for name, parameter in list(module.named_parameters(recurse=False)):
        if parameter.shape == (hidden,):
            cut(module, name, 0, kept)
    if isinstance(module, (nn.LayerNorm, nn.RMSNorm)) and module.normalized_shape == (hidden,):
        module.normalized_shape = (len(kept),)
