"""A model's hidden states rotated and cut, block after block, each on the output of the cut blocks before it.

References: Ashkboos et al., SliceGPT, 2024 (arXiv:2401.15024), algorithm 1. States are kept in the cut coordinates of
the current basis Q (hidden, width); the scale of each norm goes into the matrices that read it, and a LayerNorm's
centring into those that write to the residual stream.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from core.context import Context, Given, Outcome
from core.engine.observe import observed_views
from core.engine.recorder import Call, Recorder
from core.errors import UserError
from core.evaluation.layers import unit_reports
from core.methods.structured.base import RotationMethod
from core.models.modeling_slimscope import SlicedBlock, UnitNorm, norm_eps
from core.models.parts.blocks import Blocks, find_blocks, first, text_config
from core.models.parts.constraints import release
from core.models.parts.reference import forget
from core.models.parts.units import Units

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@torch.no_grad()
def rotate(model: PreTrainedModel, method: RotationMethod, given: Given, context: Context) -> Outcome:
    """Cut the model in place so that a share of its block-linear weights goes."""
    units = [view.units for view in observed_views(model, method, given, context)]
    ratio, device = given.stage.ratio, context.device
    if not ratio:
        return Outcome([])
    windows = given.windows
    blocks = find_blocks(model)
    shape = units[0].geometry
    width = method.width(shape.hidden, shape.weights, ratio)

    def basis_of(states: Sequence[Tensor]) -> Tensor:
        """Return the basis (hidden, width), fp64, that suits states (1, tokens, hidden)."""
        return method.basis(reduce(add, (state[0].double().T @ state[0].double() for state in states)), width)

    parts = [_parts(blocks.holder[unit.block], unit) for unit in units]
    context.progress("compress", 0, len(units), "")
    _check(blocks, parts[0], windows, Recorder(model, blocks, device), device)
    recordings = Recorder(model, blocks, device).record(windows.split(1))
    centred = isinstance(getattr(blocks.holder[0], parts[0]["norms"][0]), nn.LayerNorm)
    embeddings = [m for m in model.base_model.modules() if isinstance(m, nn.Embedding)]
    final = _final_norm(model, blocks)
    _untie(model)

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
            release(linear.module)  # a rotation mixes zeros with the rest
            forget(linear.module)
        blocks.holder[unit.block] = block.to(model.device)
        reports += unit_reports(unit, before, time.perf_counter() - started)
        context.progress("compress", unit.block + 1, len(units), f"block {unit.block}")
    _finish(model, final, basis)
    return Outcome(reports)


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
    """Cut one residual branch to `basis` on its way in and to a new one on its way out.

    Return the states (1, tokens, width) after it, the new basis (hidden, width), and the shortcut between the two.
    """
    for linear in readers:
        _fold_norm(linear, norm)
        linear.weight = _like(linear.weight, _cut(linear.weight.data, basis))
        linear.in_features = basis.shape[1]
    if centred:
        _write(writer, lambda rows: rows - rows.mean(0))
    added = [run(part, state) for part, state in enumerate(states)]  # (1, tokens, hidden)
    width = basis.shape[1]
    full = [_cut(state, basis.T) + add for state, add in zip(states, added, strict=True)]
    following = basis_of(full)
    _write(writer, lambda rows: following.T @ rows)
    writer.out_features = width
    shortcut = nn.Linear(width, width, bias=False, device="meta")
    shortcut.weight = _like(writer.weight, following.T @ basis)
    return [_cut(state, following) for state in full], following, shortcut


def _cut(states: Tensor, basis: Tensor) -> Tensor:
    """Return states (..., hidden) in the coordinates of a basis (hidden, width)."""
    return (states.double() @ basis.to(states.device)).to(states.dtype)


def _centre(states: Tensor, centred: bool) -> Tensor:
    return states - states.mean(-1, keepdim=True) if centred else states


def _fold_norm(linear: nn.Linear, norm: nn.Module) -> None:
    """Put a norm's scale, and its shift where it has one, into a linear that reads it."""
    shift = getattr(norm, "bias", None)
    if shift is not None:
        bias = linear.weight.double() @ shift.double() + (0 if linear.bias is None else linear.bias.double())
        linear.bias = _like(linear.weight, bias)
    linear.weight = _like(linear.weight, linear.weight.double() * norm.get_parameter("weight").double())


def _write(linear: nn.Linear, change: Callable[[Tensor], Tensor]) -> None:
    """Change the outputs of a linear: `change` maps (out, n) to (new out, n)."""
    if linear.bias is not None:
        linear.bias = _like(linear.weight, change(linear.bias.double()[:, None])[:, 0])
    linear.weight = _like(linear.weight, change(linear.weight.double()))


def _like(weight: Tensor, value: Tensor) -> nn.Parameter:
    return nn.Parameter(value.to(weight.dtype), weight.requires_grad)


def _parts(block: nn.Module, unit: Units) -> dict[str, Any]:
    """Return the names of attention, of its norm and the FFN's, and of the modules that make up the FFN."""
    children = dict(block.named_children())
    attention = next(name for name, child in children.items() if child is unit.attention)
    norms = [
        name
        for name, child in children.items()
        if [tuple(p.shape) for p in child.parameters(recurse=False)][:1] == [(unit.geometry.hidden,)]
    ]
    if len(norms) != 2:
        raise _unfit()
    down = unit.linears["down"].module
    ffn = next(name for name, child in children.items() if any(module is down for module in child.modules()))
    if children[ffn] is not down:
        return {"attention": attention, "norms": norms, "ffn": [ffn]}
    up = next(name for name, child in children.items() if child is unit.linears["up"].module)
    plain = [
        name
        for name, child in children.items()
        if not any(True for _ in child.parameters()) and not isinstance(child, nn.Dropout)
    ]
    return {"attention": attention, "norms": norms, "ffn": [up, *plain, ffn]}


def _check(blocks: Blocks, parts: dict[str, Any], windows: Tensor, recorder: Recorder, device: torch.device) -> None:
    """Raise `UserError` unless the first block computes x + f(norm(x)) twice, its norm an RMS or a LayerNorm."""
    [recording] = recorder.record([windows[:1, :64]])
    block = blocks.holder[0].to(device)
    call, states = recording.calls[0].to(device), recording.hidden
    expected = first(block(states, *call.args, **call.kwargs))
    norms = [getattr(block, name) for name in parts["norms"]]
    normed = norms[0](states)
    hidden = states + getattr(block, parts["attention"])(*call.args, hidden_states=normed, **call.kwargs)[0]
    added = norms[1](hidden)
    for name in parts["ffn"]:
        added = getattr(block, name)(added)
    mean_square = states.float().square().mean(-1, keepdim=True)
    scaled = norms[0].get_parameter("weight").float() * states.float() * torch.rsqrt(mean_square + norm_eps(norms[0]))
    near = 1e-3 if states.dtype == torch.float32 else 0.05
    plain = isinstance(norms[0], nn.LayerNorm) or torch.allclose(normed.float(), scaled, rtol=near, atol=near)
    if not (torch.allclose(hidden + added, expected, rtol=near, atol=near) and plain):
        raise _unfit()


def _unfit() -> UserError:
    return UserError(
        "SliceGPT needs blocks with one plain norm before attention and one before the FFN; this model's are built "
        "differently."
    )


def _final_norm(model: PreTrainedModel, blocks: Blocks) -> tuple[nn.Module, str]:
    """Return the module that holds the norm after the last block, and the norm's name in it."""
    holder = model.get_submodule(blocks.name.rpartition(".")[0])
    names = [
        name
        for name, child in holder.named_children()
        if child is not blocks.holder and not isinstance(child, nn.Embedding) and any(True for _ in child.parameters())
    ]
    if len(names) != 1:
        raise _unfit()
    return holder, names[0]


def _untie(model: PreTrainedModel) -> None:
    """Give the head its own weight: embeddings and head end up in different coordinates."""
    head = model.get_output_embeddings()
    head.weight = nn.Parameter(head.weight.data.clone(), head.weight.requires_grad)
    text_config(model).tie_word_embeddings = False


def _finish(model: PreTrainedModel, final: tuple[nn.Module, str], basis: Tensor) -> None:
    """Replace the last norm and bring the head into the last basis."""
    holder, name = final
    norm, head = getattr(holder, name), model.get_output_embeddings()
    _fold_norm(head, norm)
    head.weight = _like(head.weight, _cut(head.weight.data, basis))
    head.in_features = basis.shape[1]
    setattr(holder, name, UnitNorm(basis.shape[0], norm_eps(norm)))
