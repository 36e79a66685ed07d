"""Rotation of the hidden states for later stages, and their rotation and slicing block by block.

Rotation: states x become R^T x, by matrices that are folded into those around the residual stream and each head's
values. Slicing: each block is sliced on the output of the sliced blocks before it, and states are stored in the sliced
coordinates of the current basis Q (hidden, width). The matrices that read a norm absorb its scale. The matrices that
write to the residual stream absorb a LayerNorm's centring.

References: Ashkboos et al., QuaRot, 2024 (arXiv:2404.00456), section 4, stages 1a and 1b; Ashkboos et al., SliceGPT,
2024 (arXiv:2401.15024), algorithm 1.
"""

import time
from collections.abc import Callable, Sequence
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.base.errors import UserError
from core.cache.shelf import changing
from core.context import Context, StageInput, StageResult
from core.engine.walking.observe import collect_block_views
from core.evaluation.layers import unit_reports
from core.methods.kinds import TransformMethod
from core.methods.structured.base import SliceMethod
from core.models.modeling_slimscope import RotatedEmbedding, RotatedNorm, SlicedBlock, UnitNorm, norm_eps, put
from core.models.parts.blocks import text_config
from core.models.parts.constraints import clear_constraint
from core.models.parts.recorder import Call, Recorder
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


@torch.no_grad()
def slice_model(model: PreTrainedModel, method: SliceMethod, given: StageInput, context: Context) -> StageResult:
    """Slice the model in place to remove a share of its block-linear weights."""
    units = [view.units for view in collect_block_views(model, method, given, context)]
    ratio, device = given.share, context.device
    if not ratio:
        return StageResult([])
    windows = given.calibration
    blocks = given.blocks
    shape = units[0].geometry
    weights = sum(unit.geometry.weights for unit in units) / len(units)
    width = method.width(shape.hidden, weights, ratio)

    def basis_of(states: Sequence[Tensor]) -> Tensor:
        """Compute the basis of states (1, tokens, hidden); (hidden, width), fp64."""
        return method.basis(reduce(add, (state[0].double().T @ state[0].double() for state in states)), width)

    parts = [block_submodules(blocks.holder[unit.block], unit) for unit in units]
    context.progress("compress", 0, len(units), "")
    recorder = Recorder(model, blocks, device)
    check_blocks(blocks, parts[0], windows, recorder, device)
    recordings = recorder.record(windows.split(1))
    centred = isinstance(getattr(blocks.holder[0], parts[0]["norms"][0]), nn.LayerNorm)
    embeddings = [m for m in model.base_model.modules() if isinstance(m, nn.Embedding)]
    final = final_norm(model, blocks)
    head = model.get_output_embeddings()  # untied, as embedding and head end in different bases
    head.weight = nn.Parameter(head.weight.data.clone(), head.weight.requires_grad)
    text_config(model).tie_word_embeddings = False

    states = [_centre(recording.hidden, centred) for recording in recordings]
    basis = basis_of(states)
    for table in embeddings:
        table.weight = nn.Parameter(_cut(_centre(table.weight.data, centred), basis), table.weight.requires_grad)
        table.embedding_dim = width
    states = [_cut(state, basis) for state in states]
    reports = []
    for unit, names in zip(units, parts, strict=True):
        started = time.perf_counter()
        block = SlicedBlock(blocks.holder[unit.block].to(device), names, shape.hidden, width)
        scales = [getattr(blocks.holder[unit.block], name) for name in names["norms"]]
        calls = [recording.calls[unit.block].to(device) for recording in recordings]
        before = unit.sizes

        def attend(part: int, state: Tensor, block: SlicedBlock = block, calls: Sequence[Call] = calls) -> Tensor:
            return block.attend(state, *calls[part].args, **calls[part].kwargs)

        def feed(part: int, state: Tensor, block: SlicedBlock = block) -> Tensor:
            return block.feed(state)

        readers, writer = [unit.linears[role].plain for role in ("q", "k", "v")], unit.linears["o"].plain
        states, basis, block.attention_shortcut = _sublayer(
            states, basis, basis_of, readers, writer, scales[0], centred, attend
        )
        states, basis, block.ffn_shortcut = _sublayer(
            states,
            basis,
            basis_of,
            [up.plain for up in unit.ffn_inputs],
            unit.linears["down"].plain,
            scales[1],
            centred,
            feed,
        )
        for linear in unit.linears.values():
            clear_constraint(linear.module)  # a rotation mixes zeros with the rest
            clear_reference(linear.module)
        blocks.holder[unit.block] = block.to(model.device)
        reports += unit_reports(unit, before, time.perf_counter() - started)
        context.progress("compress", unit.block + 1, len(units), f"block {unit.block + 1} of {len(units)}")
    _finish(model, final, basis)
    return StageResult(reports)


def _sublayer(
    states: Sequence[Tensor],
    basis: Tensor,
    basis_of: Callable[[Sequence[Tensor]], Tensor],
    readers: Sequence[nn.Linear],
    writer: nn.Linear,
    norm: nn.Module,
    centred: bool,
    run: Callable[[int, Tensor], Tensor],
) -> tuple[list[Tensor], Tensor, nn.Linear]:
    """Slice one residual branch: its inputs to `basis`, its outputs to a new basis.

    Returns:
        The states after the branch, (1, tokens, width), the new basis, (hidden, width), and the shortcut that maps
        the old basis to the new one.
    """
    for linear in readers:
        fold_norm(linear, norm)
        linear.weight = like(linear.weight, _cut(linear.weight.data, basis))
        linear.in_features = basis.shape[1]
    if centred:
        write(writer, lambda rows: rows - rows.mean(0))
    added = [run(part, state) for part, state in enumerate(states)]  # (1, tokens, hidden)
    width = basis.shape[1]
    full = [_cut(state, basis.T) + add for state, add in zip(states, added, strict=True)]
    new_basis = basis_of(full)
    write(writer, lambda rows: new_basis.T @ rows)
    writer.out_features = width
    shortcut = nn.Linear(width, width, bias=False, device="meta")
    shortcut.weight = like(writer.weight, new_basis.T @ basis)
    return [_cut(state, new_basis) for state in full], new_basis, shortcut


def _cut(states: Tensor, basis: Tensor) -> Tensor:
    """Project states (..., hidden) onto a basis (hidden, width)."""
    return (states.double() @ basis.to(states.device)).to(states.dtype)


def _centre(states: Tensor, centred: bool) -> Tensor:
    return states - states.mean(-1, keepdim=True) if centred else states


def _finish(model: PreTrainedModel, final: tuple[nn.Module, str], basis: Tensor) -> None:
    """Replace the last norm and project the head onto the last basis."""
    holder, name = final
    norm, head = getattr(holder, name), model.get_output_embeddings()
    fold_norm(head, norm)
    head.weight = like(head.weight, _cut(head.weight.data, basis))
    head.in_features = basis.shape[1]
    setattr(holder, name, UnitNorm(basis.shape[0], norm_eps(norm)))
