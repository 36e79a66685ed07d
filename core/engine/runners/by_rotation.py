"""Rotation of the residual stream and of each head's values, folded in place into the matrices around them.

States x become R^T x. The matrices that read a norm absorb its gain.

References: Ashkboos et al., QuaRot, 2024 (arXiv:2404.00456), section 4, stages 1a and 1b.
"""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.base.errors import UserError
from core.cache.shelf import changing
from core.context import Context, StageInput, StageResult
from core.methods.kinds import TransformMethod
from core.models.modeling_slimscope import RotatedEmbedding, RotatedNorm, put
from core.models.parts.recorder import Recorder
from core.models.parts.reference import clear_reference
from core.models.removal.stream import (
    block_submodules,
    check_blocks,
    final_norm,
    fold_norm,
    like,
    rotatable_table,
    write,
)
from core.models.removal.units import Units, find_units

TRIED = 64  # tokens on which the rotation must not change the output
NEAR = {torch.float32: 1e-4}  # relative tolerance
NEAR_16 = 0.05


@torch.no_grad()
def rotate_model(model: PreTrainedModel, method: TransformMethod, given: StageInput, context: Context) -> StageResult:
    """Rotate the model in place.

    Raises `UserError` if the model cannot be rotated and stays unchanged, or the rotation changed its output.
    """
    blocks = given.blocks
    units = [find_units(blocks, index) for index in range(len(blocks.holder))]
    parts = [block_submodules(blocks.holder[unit.block], unit) for unit in units]
    table = rotatable_table(model, blocks, parts[0])
    tokens = (torch.arange(TRIED) % table.get_parameter("weight").shape[0])[None]
    home = torch.device(model.device)
    check_blocks(blocks, parts[0], tokens, Recorder(model, blocks, home), home)
    holder, name = final_norm(model, blocks)
    before = model(input_ids=tokens.to(home), use_cache=False).logits
    rotation = method.rotation(units[0].geometry.hidden)
    context.progress("compress", 0, len(units), "")
    for unit, names in zip(units, parts, strict=True):
        block = blocks.holder[unit.block]
        with changing(context.shelf, block):
            _rotate_stream(unit, [block.get_submodule(one) for one in names["norms"]], rotation.to(home))
            if (values := method.heads(unit.geometry.head_dim)) is not None:
                _rotate_heads(unit, values.to(home))
        for linear in unit.linears.values():
            clear_reference(linear.module)
        context.progress("compress", unit.block + 1, len(units), f"block {unit.block + 1} of {len(units)}")
    table_name = next(one for one, module in model.named_modules() if module is table)
    put(model, table_name, RotatedEmbedding(table, rotation.T))
    setattr(holder, name, RotatedNorm(getattr(holder, name), rotation))
    after = model(input_ids=tokens.to(home), use_cache=False).logits
    if (after - before).norm() > NEAR.get(before.dtype, NEAR_16) * before.norm():
        raise UserError(f"A rotation changes the output of {type(model).__name__}; choose a method without one.")
    return StageResult([])


def _rotate_stream(unit: Units, norms: list[nn.Module], rotation: Tensor) -> None:
    """Rotate a block's inputs and outputs of the residual stream, and fold the norms' gains into their readers."""
    attention = [unit.linears[role].plain for role in ("q", "k", "v")]
    for norm, readers in zip(norms, (attention, [up.plain for up in unit.ffn_inputs]), strict=True):
        for reader in readers:
            fold_norm(reader, norm)
            reader.weight = like(reader.weight, reader.weight.double() @ rotation)
        norm.get_parameter("weight").fill_(1)
    for role in ("o", "down"):
        write(unit.linears[role].plain, lambda rows: rotation.T @ rows)


def _rotate_heads(unit: Units, rotation: Tensor) -> None:
    """Rotate each head's values, and rotate them back in the output projection."""
    width = len(rotation)
    write(unit.linears["v"].plain, lambda rows: (rotation.T @ rows.unflatten(0, (-1, width))).flatten(0, 1))
    output = unit.linears["o"].plain
    output.weight = like(output.weight, (output.weight.double().unflatten(1, (-1, width)) @ rotation).flatten(1))
