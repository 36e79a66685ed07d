"""The parts of a block that read and write the hidden states, for methods that rotate or slice these."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.base.errors import UserError
from core.models.modeling_slimscope import Parts, norm_eps
from core.models.parts.blocks import Blocks
from core.models.parts.recorder import Recorder
from core.models.removal.units import Units


def block_submodules(block: nn.Module, unit: Units) -> Parts:
    """Return the names of a block's attention, of the norms before attention and FFN, and of the FFN's modules.

    Raises `UserError` if the block has other norms, its attention is inside another module, or attention and FFN read
    the same states.
    """
    children = dict(block.named_children())
    attention = next((name for name, child in children.items() if child is unit.attention), None)
    norms = [
        name
        for name, child in children.items()
        if [tuple(p.shape) for p in child.parameters(recurse=False)][:1] == [(unit.geometry.hidden,)]
    ]
    config = getattr(block, "config", None)
    parallel = getattr(block, "use_parallel_residual", False) or getattr(config, "parallel_attn", False)
    if attention is None or len(norms) != 2 or parallel or not all(_is_plain(children[name]) for name in norms):
        raise unfit()
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


@torch.no_grad()
def _is_plain(norm: nn.Module) -> bool:
    """Return whether a norm, also one without memory, is a LayerNorm or an RMS norm that its weight scales."""
    if isinstance(norm, nn.LayerNorm):
        return True
    tried = copy.deepcopy(norm).to_empty(device="cpu").float()
    weight = tried.get_parameter("weight")  # (hidden,)
    weight.copy_(torch.linspace(0.5, 1.5, len(weight)))
    states = torch.linspace(-1, 1, len(weight))[None]  # (1, hidden)
    scaled = weight * states * torch.rsqrt(states.square().mean(-1, keepdim=True) + norm_eps(norm))
    return torch.allclose(tried(states), scaled, rtol=1e-3, atol=1e-3)


def rotatable_table(model: PreTrainedModel, blocks: Blocks, parts: Parts) -> nn.Embedding:
    """Return the embedding of a model; raise `UserError` unless it is plain and the norms are RMS norms."""
    table, norm = model.get_input_embeddings(), blocks.holder[0].get_submodule(parts["norms"][0])
    if type(table) is not nn.Embedding or isinstance(norm, nn.LayerNorm):
        raise UserError("A rotation needs a plain embedding and RMS norms; this model has others.")
    return table


def unfit() -> UserError:
    """Return the error on a model whose blocks have another structure."""
    return UserError(
        "Rotating hidden states needs blocks with one plain norm before attention and one before the FFN; this model's "
        "blocks differ. Choose another method."
    )


def fold_norm(linear: nn.Linear, norm: nn.Module) -> None:
    """Fold a norm's scale, and its shift if it has one, into a linear that reads it."""
    shift = getattr(norm, "bias", None)
    if shift is not None:
        bias = linear.weight.double() @ shift.double() + (0 if linear.bias is None else linear.bias.double())
        linear.bias = like(linear.weight, bias)
    linear.weight = like(linear.weight, linear.weight.double() * norm.get_parameter("weight").double())


def write(linear: nn.Linear, change: Callable[[Tensor], Tensor]) -> None:
    """Transform the outputs of a linear; `change` maps (out, n) to (new out, n)."""
    if linear.bias is not None:
        linear.bias = like(linear.weight, change(linear.bias.double()[:, None])[:, 0])
    linear.weight = like(linear.weight, change(linear.weight.double()))


def like(weight: Tensor, value: Tensor) -> nn.Parameter:
    """Convert `value` to a parameter with the dtype and `requires_grad` of `weight`."""
    return nn.Parameter(value.to(weight.dtype), weight.requires_grad)


def check_blocks(blocks: Blocks, parts: Parts, windows: Tensor, recorder: Recorder, device: torch.device) -> None:
    """Raise `UserError` unless the first block computes x + f(norm(x)) twice."""
    [recording] = recorder.record([windows[:1, :64]])
    block = blocks.holder[0].to(device)
    call, states = recording.calls[0].to(device), recording.hidden
    expected = call.run(block, states)
    norms = [getattr(block, name) for name in parts["norms"]]
    try:
        hidden = states + getattr(block, parts["attention"])(norms[0](states), *call.args, **call.kwargs)[0]
        added = norms[1](hidden)
        for name in parts["ffn"]:
            added = getattr(block, name)(added)
        found = hidden + added
    except TypeError:  # attention or the FFN takes other arguments, or returns more than its output
        raise unfit() from None
    near = 1e-3 if states.dtype == torch.float32 else 0.05
    if not torch.allclose(found, expected, rtol=near, atol=near):
        raise unfit()


def final_norm(model: PreTrainedModel, blocks: Blocks) -> tuple[nn.Module, str]:
    """Return the module that contains the norm after the last block, and the norm's name in it."""
    holder = model.get_submodule(blocks.name.rpartition(".")[0])
    names = [
        name
        for name, child in holder.named_children()
        if child is not blocks.holder and not isinstance(child, nn.Embedding) and any(True for _ in child.parameters())
    ]
    if len(names) != 1:
        raise unfit()
    return holder, names[0]
