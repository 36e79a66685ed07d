"""A model whose blocks or convolutions have shapes of their own: the module that a compressed checkpoint brings along.

It needs torch and transformers only, and is copied as it is beside the weights of every checkpoint whose shapes no
plain configuration describes. `config.slimscope` lists what differs from the architecture of `config`.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import Tensor, nn


class Factors(nn.Sequential):
    """A linear stored as the product of two thin ones: right (rank, in), then left (out, rank) with the bias."""

    def __init__(self, inputs: int, rank: int, outputs: int, bias: bool):
        super().__init__(nn.Linear(inputs, rank, bias=False), nn.Linear(rank, outputs, bias=bias))


class ConvolutionPair(nn.Sequential):
    """A convolution stored as two that follow each other; the second has its bias.

    Models ask some of their convolutions how they are built, or of what type they are: it answers for both.
    """

    def __init__(self, first: nn.Module, second: nn.Module):
        super().__init__(first, second)
        self.in_channels, self.out_channels = first.in_channels, second.out_channels
        for name in ("kernel_size", "stride"):  # of which one of the two is 1 along each axis
            near, far = getattr(first, name), getattr(second, name)
            setattr(self, name, tuple(one * other for one, other in zip(near, far, strict=True)))

    @property
    def weight(self) -> Any:
        """A weight of it; the whole kernel is nowhere."""
        return self[1].weight

    @property
    def bias(self) -> Any:
        return self[1].bias


class UnitNorm(nn.Module):
    """Divide by the root mean square that the states had in their full width; the scale is in the next matrices."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.width, self.eps = width, eps

    def forward(self, hidden: Tensor) -> Tensor:
        wide = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        mean = wide.square().sum(-1, keepdim=True) / self.width
        return (wide * torch.rsqrt(mean + self.eps)).to(hidden.dtype)


class SlicedBlock(nn.Module):
    """A pre-norm block whose residuals change basis: SliceGPT (arXiv:2401.15024), section 3.

    It keeps the names of the original's parts. `parts` names attention, its norm and the FFN's, and the modules that
    make up the FFN in order; `width` is that of the hidden states before slicing, `sliced` after.
    """

    def __init__(self, block: nn.Module, parts: dict[str, Any], width: int, sliced: int):
        super().__init__()
        for name, child in block.named_children():
            self.add_module(name, child)
        self.parts, self.width = parts, width
        for name in parts["norms"]:
            self.add_module(name, UnitNorm(width, norm_eps(getattr(block, name))))
        self.attention_type = getattr(block, "attention_type", None)
        self.attention_shortcut = nn.Linear(sliced, sliced, bias=False)
        self.ffn_shortcut = nn.Linear(sliced, sliced, bias=False)

    def attend(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return what attention adds to the residual stream."""
        normed = getattr(self, self.parts["norms"][0])(hidden)
        return getattr(self, self.parts["attention"])(*args, hidden_states=normed, **kwargs)[0]

    def feed(self, hidden: Tensor) -> Tensor:
        """Return what the FFN adds to the residual stream."""
        hidden = getattr(self, self.parts["norms"][1])(hidden)
        for name in self.parts["ffn"]:
            hidden = getattr(self, name)(hidden)
        return hidden

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        hidden = self.attention_shortcut(hidden_states) + self.attend(hidden_states, *args, **kwargs)
        return self.ffn_shortcut(hidden) + self.feed(hidden)


class TurnedEmbedding(nn.Embedding):
    """A table of embeddings whose rows are turned as they are read; the table itself may be tied to the head."""

    def __init__(self, table: nn.Embedding, rotation: Tensor | None = None):
        super().__init__(table.num_embeddings, table.embedding_dim, table.padding_idx, device="meta")
        self.weight = table.weight
        self.turn = turning(table.weight, rotation)

    def forward(self, ids: Tensor) -> Tensor:
        return self.turn(super().forward(ids))


class TurnedNorm(nn.Module):
    """A norm after its inputs are turned back."""

    def __init__(self, norm: nn.Module, rotation: Tensor | None = None):
        super().__init__()
        self.norm = norm
        self.turn = turning(norm.get_parameter("weight"), rotation)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.norm(self.turn(hidden))


def turning(like: Tensor, rotation: Tensor | None) -> nn.Linear:
    """Return a linear of a rotation (width, width), or of none yet, of the kind of another weight (..., width)."""
    width = like.shape[-1]
    found = nn.Linear(width, width, bias=False, device="meta")
    weight = like.new_empty(width, width) if rotation is None else rotation.to(like)
    found.weight = nn.Parameter(weight.contiguous(), like.requires_grad)
    return found


def norm_eps(norm: nn.Module) -> float:
    """Return what a norm adds to the variance, by either of the names that norms use."""
    return getattr(norm, "variance_epsilon", 0.0) or getattr(norm, "eps", 0.0)


def put(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in the place of the one with this dotted name."""
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)


def reshape(model: nn.Module, shapes: dict[str, dict[str, Any]]) -> None:
    """Give a freshly made model the shapes of a compressed one; the weights are not set."""
    for name, sliced in shapes["blocks"].items():
        put(model, name, SlicedBlock(model.get_submodule(name), **sliced))
    for name, (width, eps) in shapes["norms"].items():
        put(model, name, UnitNorm(width, eps))
    for name, size in shapes["vectors"].items():
        norm = model.get_submodule(name)
        for part, vector in list(norm.named_parameters(recurse=False)):
            setattr(norm, part, nn.Parameter(vector.new_empty(size)))
        if isinstance(norm, (nn.LayerNorm, nn.RMSNorm)):
            norm.normalized_shape = (size,)
    for name, dimension in shapes["embeddings"].items():
        table = model.get_submodule(name)
        old = table.get_parameter("weight")
        table.weight = nn.Parameter(old.new_empty(old.shape[0], dimension))
        table.embedding_dim = dimension
    for name in shapes.get("turns", ()):  # those of checkpoints without have none
        module = model.get_submodule(name)
        put(model, name, TurnedEmbedding(module) if isinstance(module, nn.Embedding) else TurnedNorm(module))
    for name, (inputs, outputs, bias) in shapes["linears"].items():
        put(model, name, nn.Linear(inputs, outputs, bias=bias))
    for name, (inputs, rank, outputs, bias) in shapes["factors"].items():
        put(model, name, Factors(inputs, rank, outputs, bias))
    for name, pair in shapes.get("convolutions", {}).items():
        kind: Any = nn.Conv2d if isinstance(model.get_submodule(name), nn.Conv2d) else nn.Conv1d
        put(model, name, ConvolutionPair(*(kind(**one) for one in pair)))
    for name, counts in shapes["counts"].items():
        for attribute, value in counts.items():
            setattr(model.get_submodule(name), attribute, value)


def slimmed(base: type[transformers.PreTrainedModel]) -> type[transformers.PreTrainedModel]:
    """Return the class of a transformers architecture whose instances take the shapes of `config.slimscope`."""

    def __init__(self, config, *args, **kwargs):
        base.__init__(self, config, *args, **kwargs)
        reshape(self, config.slimscope)

    return type(base.__name__, (base,), {"__init__": __init__, "__module__": __name__})
