"""Projections that compute q, k and v, or gate and up, together: taken apart while units or hidden states change.

No architecture is named. The order of the outputs is found by a trial: if an output belongs to a head or a channel,
changing it changes nothing once the columns that read this head or channel are zero.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from core.models.modeling_slimscope import Joined, put
from core.models.parts import constraints, reference
from core.models.parts.blocks import Blocks, Linear
from core.models.parts.constraints import constraint_of, set_constraint, slice_constraint
from core.models.parts.recorder import Recorder
from core.models.parts.reference import join_references, slice_reference
from core.models.removal.units import head_width, spread

Rows = Mapping[str, Tensor]  # outputs of a joined projection, by the name of the part that computes them
TOKENS = 16  # of the trial
NEAR = {torch.float32: 1e-4}  # relative difference of outputs that counts as none
NEAR_16 = 0.02
PARTS = {"qkv": ("q_proj", "k_proj", "v_proj"), "gate_up": ("gate_proj", "up_proj")}
READERS = {"qkv": "o", "gate_up": "down"}  # roles of the linears that read what a projection computes
CARRIED = (constraints.ATTRIBUTE, reference.ATTRIBUTE)  # attributes of a linear that follow its weights


@contextmanager
def separate_projections(model: PreTrainedModel, blocks: Blocks) -> Iterator[None]:
    """Give q, k, v, gate and up of each block linears of their own inside the context.

    Afterwards they are joined again, unless one of them has been factored. A projection whose outputs have an unknown
    order stays as it is.
    """
    joined = [linear for linear in blocks.all_linears() if linear.role in ("qkv", "gate_up")]
    transposed = [linear for linear in blocks.all_linears() if isinstance(linear.module, Conv1D)]
    orders: dict[str, int | None] = {}  # by name in the block
    for linear in joined:
        inside = _inside(blocks, linear)
        if inside not in orders:
            orders[inside] = _order(model, blocks, linear)
        if (width := orders[inside]) is not None:
            put(model, linear.name, _separated(linear, _rows(blocks, linear, width), width))
    for linear in transposed:
        if linear not in joined:
            put(model, linear.name, _part(linear, None))
    try:
        yield
    finally:
        for linear in joined:
            _join(model, linear)
        for linear in transposed:
            if isinstance(module := model.get_submodule(linear.name), nn.Linear):
                put(model, linear.name, _transposed(module))


def separate_outputs(blocks: Blocks, index: int) -> None:
    """Separate the projections of a block for good, by one order that their sizes allow; weights may be on meta."""
    for linear in blocks.linears(index):
        if linear.role in PARTS and (rows := _rows(blocks, linear, 0)):
            put(blocks.holder[index], _inside(blocks, linear), _separated(linear, rows, 0))
    for linear in blocks.linears(index):
        if isinstance(linear.module, Conv1D):
            put(blocks.holder[index], _inside(blocks, linear), _part(linear, None))


def _inside(blocks: Blocks, linear: Linear) -> str:
    return linear.name.removeprefix(f"{blocks.name}.{linear.block}.")


def _separated(linear: Linear, rows: Rows, width: int) -> Joined:
    return Joined({name: _part(linear, own) for name, own in rows.items()}, width)


def _part(linear: Linear, rows: Tensor | None) -> nn.Linear:
    """Return some outputs of a linear, or all, as `nn.Linear` with their constraint and their reference."""
    module = linear.module
    weight = linear.weight if rows is None else linear.weight[rows]
    part = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    part.weight = nn.Parameter(weight.contiguous(), module.weight.requires_grad)
    if module.bias is not None:
        bias = module.bias.data if rows is None else module.bias.data[rows]
        part.bias = nn.Parameter(bias, module.bias.requires_grad)
    _carry(module, part)
    slice_constraint(part, rows, None)
    slice_reference(part, rows, None)
    return part


def _join(model: PreTrainedModel, linear: Linear) -> None:
    """Make a separated projection one linear again, if all of its parts still are linears."""
    module = model.get_submodule(linear.name)
    if not isinstance(module, Joined):
        return
    parts = list(module.children())
    if not all(type(part) is nn.Linear for part in parts):
        return
    own = [part.get_parameter("weight") for part in parts]
    rows = _places([len(weight) for weight in own], module.width)
    weight = own[0].new_empty(sum(map(len, own)), own[0].shape[1])
    zeros = torch.zeros_like(weight, dtype=torch.bool)
    bias = weight.new_zeros(len(weight))
    for part, places in zip(parts, rows, strict=True):
        weight[places] = part.get_parameter("weight").data
        if part.bias is not None:
            bias[places] = part.get_parameter("bias").data
        if (known := constraint_of(part)) is not None:
            zeros[places] = known.zeros(zeros.device)
    whole = nn.Linear(1, 1) if isinstance(linear.module, Conv1D) else linear.module  # a class of its own in Falcon
    for name in CARRIED:
        vars(whole).pop(name, None)
    whole.out_features, whole.in_features = weight.shape
    whole.weight = nn.Parameter(weight, own[0].requires_grad)
    if any(part.bias is not None for part in parts):
        whole.bias = nn.Parameter(bias, own[0].requires_grad)
    set_constraint(whole, zeros)
    join_references(whole, dict(zip(parts, rows, strict=True)))
    put(model, linear.name, whole)


def _carry(one: nn.Module, other: nn.Module) -> None:
    """Give another linear the constraint and the reference of one."""
    for name in CARRIED:
        if hasattr(one, name):
            setattr(other, name, getattr(one, name))


def _transposed(linear: nn.Linear) -> Conv1D:
    """Return a linear as GPT-2 stores it, with its constraint and its reference."""
    outputs, inputs = linear.weight.shape
    with torch.device("meta"):
        module = Conv1D(outputs, inputs)
    module.weight = nn.Parameter(linear.weight.data.T.contiguous(), linear.weight.requires_grad)
    module.bias = linear.bias
    _carry(linear, module)
    return module


def _order(model: PreTrainedModel, blocks: Blocks, linear: Linear) -> int | None:
    """Return the `width` of `Joined` for a projection, 0 for part after part; None if its order is unknown."""
    reader = next((one for one in blocks.linears(linear.block) if one.role == READERS[linear.role]), None)
    if reader is None:
        return None
    [recording] = Recorder(model, blocks, model.device).record([torch.arange(TOKENS)[None]])
    call = recording.calls[linear.block]
    for width in (0, _head(blocks, linear)) if linear.role == "qkv" else (0,):
        rows = _rows(blocks, linear, width)
        if not rows:
            continue
        block = copy.deepcopy(blocks.holder[linear.block])
        own, read = (_weight_in(block, blocks, one) for one in (linear, reader))  # (out, in)
        columns, changed = _last_unit(rows, _head(blocks, linear) if linear.role == "qkv" else 1)
        with torch.no_grad():
            read[:, columns] = 0
            expected = call.run(block, recording.hidden)
            own[changed] = own[changed] * -2 + 1
            gap = (call.run(block, recording.hidden) - expected).norm() / expected.norm()
        if gap <= NEAR.get(expected.dtype, NEAR_16):
            return width
    return None


def _weight_in(block: nn.Module, blocks: Blocks, linear: Linear) -> Tensor:
    """Return the weight (out, in) of the same linear in a copy of its block."""
    weight = block.get_submodule(_inside(blocks, linear)).get_parameter("weight").data
    return weight.T if isinstance(linear.module, Conv1D) else weight


def _head(blocks: Blocks, linear: Linear) -> int:
    """Return the width of an attention head, as the module around a projection states it."""
    return head_width(blocks.holder[linear.block].get_submodule(_inside(blocks, linear).rpartition(".")[0]))


def _rows(blocks: Blocks, linear: Linear, width: int) -> Rows:
    """Return the outputs of each part in an order; empty if the projection cannot have it."""
    outputs = linear.shape[0]
    if linear.role == "gate_up":
        return dict(zip(PARTS["gate_up"], _places([outputs // 2] * 2, 0), strict=True))
    head = _head(blocks, linear)
    reader = next(one for one in blocks.linears(linear.block) if one.role == READERS["qkv"])
    queries = reader.shape[1]
    keys = (outputs - queries) // 2
    if keys < head or (width and keys != queries):
        return {}
    return dict(zip(PARTS["qkv"], _places([queries, keys, keys], width), strict=True))


def _places(sizes: Sequence[int], width: int) -> list[Tensor]:
    """Return the outputs of a joined projection that each part of these sizes computes."""
    everything = torch.arange(sum(sizes))
    if not width:
        return list(everything.split(list(sizes)))
    return [part.flatten() for part in everything.view(-1, len(sizes), width).unbind(1)]


def _last_unit(rows: Rows, width: int) -> tuple[Tensor, Tensor]:
    """Return the inputs of the reader from the last channel or key-value head, and the outputs that compute them."""
    first, *others = rows.values()  # queries, or gates
    heads, shared = len(first) // width, len(others[0]) // width
    columns = spread(torch.arange(heads - heads // shared, heads), width)
    return columns, torch.cat([first[columns], *(other[-width:] for other in others)])
