"""Models whose blocks, embeddings or convolutions have shapes that no plain configuration describes.

This module needs torch and transformers only. It is copied beside the weights of every checkpoint of such a model.
`config.slimscope` lists the differences from the architecture of `config`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import transformers
from torch import Tensor, nn

ROWS = 4096  # rows of a factored embedding that are computed at once if all are needed


class Factors(nn.Sequential):
    """A linear stored as two thin factors: right (rank, in), then left (out, rank) with the bias."""

    def __init__(self, inputs: int, rank: int, outputs: int, bias: bool):
        super().__init__(nn.Linear(inputs, rank, bias=False), nn.Linear(rank, outputs, bias=bias))


class ConvolutionPair(nn.Sequential):
    """A convolution stored as two consecutive ones; the second has the bias.

    Models read the sizes and the type of some of their convolutions, so the pair has the same attributes.
    """

    def __init__(self, first: nn.Module, second: nn.Module):
        super().__init__(first, second)
        self.in_channels, self.out_channels = first.in_channels, second.out_channels
        for name in ("kernel_size", "stride"):  # along each axis, one of the two is 1
            near, far = getattr(first, name), getattr(second, name)
            setattr(self, name, tuple(one * other for one, other in zip(near, far, strict=True)))

    @property
    def weight(self) -> Any:
        """The weight of the second convolution; the full kernel is not stored."""
        return self[1].weight

    @property
    def bias(self) -> Any:
        return self[1].bias


class UnitNorm(nn.Module):
    """A norm that divides by the root mean square over the full width; its scale is in the next matrices."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.width, self.eps = width, eps

    def forward(self, hidden: Tensor) -> Tensor:
        wide = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        mean = wide.square().sum(-1, keepdim=True) / self.width
        return (wide * torch.rsqrt(mean + self.eps)).to(hidden.dtype)


class SlicedBlock(nn.Module):
    """A pre-norm block whose residuals change basis: SliceGPT (arXiv:2401.15024), section 3.

    Its modules have the names of the original block's. `parts` names attention, the norms of attention and FFN, and the
    modules of the FFN in order. `width` is the hidden size before slicing, `sliced` after.
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
        """Return the output of attention, which is added to the residual stream."""
        normed = getattr(self, self.parts["norms"][0])(hidden)
        return getattr(self, self.parts["attention"])(*args, hidden_states=normed, **kwargs)[0]

    def feed(self, hidden: Tensor) -> Tensor:
        """Return the output of the FFN, which is added to the residual stream."""
        hidden = getattr(self, self.parts["norms"][1])(hidden)
        for name in self.parts["ffn"]:
            hidden = getattr(self, name)(hidden)
        return hidden

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        hidden = self.attention_shortcut(hidden_states) + self.attend(hidden_states, *args, **kwargs)
        return self.ffn_shortcut(hidden) + self.feed(hidden)


class RotatedEmbedding(nn.Embedding):
    """An embedding whose rows are rotated after lookup; its table may be tied to the head."""

    def __init__(self, table: nn.Embedding, rotation: Tensor | None = None):
        super().__init__(table.num_embeddings, table.embedding_dim, table.padding_idx, device="meta")
        self.weight = table.weight
        self.turn = turning(table.weight, rotation)

    def forward(self, ids: Tensor) -> Tensor:
        return self.turn(super().forward(ids))


class FactoredEmbedding(nn.Module):
    """An embedding stored as factors: a row is computed at lookup and may then be rotated.

    Subclasses compute rows in `rows`. A lookup multiplies them by `scale`, as Gemma models do.
    """

    def __init__(self, tokens: int, width: int, turned: bool, scale: float):
        super().__init__()
        self.tokens, self.width, self.scale = tokens, width, scale
        self.turn = turning(torch.empty(0, width), None) if turned else None

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that build an embedding of the same shape."""
        scaled = {} if self.scale == 1 else {"scale": self.scale}
        return {"tokens": self.tokens, "width": self.width, "turned": self.turn is not None} | scaled

    @property
    def stored(self) -> int:
        """The number of stored values, without the rotation."""
        return sum(parameter.numel() for parameter in self.parameters(recurse=False))

    @property
    def row_macs(self) -> int:
        """The multiply-accumulates to compute one row."""
        raise NotImplementedError

    def head_macs(self, positions: int) -> int:
        """Return the multiply-accumulates of the logits at this many positions of one forward pass."""
        return self.tokens * (self.row_macs + positions * self.width)

    def rows(self, which: Tensor | slice) -> Tensor:
        """Return the rows (tokens, width) of token ids (tokens,) or of a slice of the vocabulary."""
        raise NotImplementedError

    def parts(self, size: int) -> Iterator[slice]:
        """Yield the vocabulary in slices of `size` tokens."""
        yield from (slice(start, min(start + size, self.tokens)) for start in range(0, self.tokens, size))

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the products (..., tokens) of hidden states (..., width) with all rows, one part at a time."""
        return torch.cat([nn.functional.linear(hidden, self.rows(part)) for part in self.parts(ROWS)], -1)

    def forward(self, ids: Tensor) -> Tensor:
        found = self.rows(ids.flatten()).view(*ids.shape, self.width) * self.scale
        return found if self.turn is None else self.turn(found)


class TensorTrainEmbedding(FactoredEmbedding):
    """An embedding with one tensor train per row: TensorGPT (arXiv:2307.00526).

    Entry i of a row is the product G_1[i_1] ... G_N[i_N] of one slice of each core. Its index is i = i_1 + i_2 I_1 +
    i_3 I_1 I_2 + ..., from 0. `shape` contains the I_k, `ranks` r_0 ... r_N. Entries beyond `width` are cut off.
    """

    def __init__(
        self,
        tokens: int,
        width: int,
        shape: Sequence[int],
        ranks: Sequence[int],
        turned: bool = False,
        scale: float = 1.0,
    ):
        super().__init__(tokens, width, turned, scale)
        self.shape, self.ranks = tuple(shape), tuple(ranks)
        self.sizes = [before * size * after for before, size, after in zip(ranks, shape, ranks[1:], strict=False)]
        # Each token has its cores in the order of multiplication, each as (r_k, I_k, r_(k-1)).
        self.cores = nn.Parameter(torch.empty(tokens, sum(self.sizes)))

    def rows(self, which: Tensor | slice) -> Tensor:
        cores = self.cores[which].split(self.sizes, 1)
        made = cores[0].new_ones(len(cores[0]), 1, 1)  # (tokens, r_k, I_1 ... I_k); I_1 varies fastest
        for core, before, after in zip(cores, self.ranks, self.ranks[1:], strict=False):
            made = (core.reshape(len(core), -1, before) @ made).reshape(len(core), after, -1)
        return made[:, 0, : self.width]

    @property
    def settings(self) -> dict[str, Any]:
        return super().settings | {"shape": self.shape, "ranks": self.ranks}

    @property
    def row_macs(self) -> int:
        return sum(size * math.prod(self.shape[:place]) for place, size in enumerate(self.sizes))


class LowRankEmbedding(FactoredEmbedding):
    """An embedding table stored as two thin matrices: left (tokens, rank) and right (rank, width)."""

    def __init__(self, tokens: int, width: int, rank: int, turned: bool = False, scale: float = 1.0):
        super().__init__(tokens, width, turned, scale)
        self.left = nn.Parameter(torch.empty(tokens, rank))
        self.right = nn.Parameter(torch.empty(rank, width))

    def rows(self, which: Tensor | slice) -> Tensor:
        return self.left[which] @ self.right

    def logits(self, hidden: Tensor) -> Tensor:
        return nn.functional.linear(nn.functional.linear(hidden, self.right), self.left)

    @property
    def settings(self) -> dict[str, Any]:
        return super().settings | {"rank": len(self.right)}

    @property
    def row_macs(self) -> int:
        return self.right.numel()

    def head_macs(self, positions: int) -> int:
        return positions * (self.left.numel() + self.right.numel())


class FactoredHead(nn.Module):
    """An output head tied to a factored embedding, without weights of its own."""

    def __init__(self, table: FactoredEmbedding):
        super().__init__()
        self._of = [table]  # in a list, so that only the embedding stores the weights

    @property
    def table(self) -> FactoredEmbedding:
        return self._of[0]

    @property
    def in_features(self) -> int:
        return self.table.width

    @property
    def out_features(self) -> int:
        return self.table.tokens

    def forward(self, hidden: Tensor) -> Tensor:
        return self.table.logits(hidden)


class RotatedNorm(nn.Module):
    """A norm whose inputs are first rotated back."""

    def __init__(self, norm: nn.Module, rotation: Tensor | None = None):
        super().__init__()
        self.norm = norm
        self.turn = turning(norm.get_parameter("weight"), rotation)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.norm(self.turn(hidden))


def turning(like: Tensor, rotation: Tensor | None) -> nn.Linear:
    """Return a linear with the weight `rotation` (width, width); without it, the weight is not set.

    Device, type and `requires_grad` are those of `like` (..., width).
    """
    width = like.shape[-1]
    found = nn.Linear(width, width, bias=False, device="meta")
    weight = like.new_empty(width, width) if rotation is None else rotation.to(like)
    found.weight = nn.Parameter(weight.contiguous(), like.requires_grad)
    return found


def norm_eps(norm: nn.Module) -> float:
    """Return the number that a norm adds to the variance, under either of its attribute names."""
    return getattr(norm, "variance_epsilon", 0.0) or getattr(norm, "eps", 0.0)


def put(model: nn.Module, name: str, module: nn.Module) -> None:
    """Replace the module that has this dotted name."""
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)


def reshape(model: nn.Module, shapes: dict[str, dict[str, Any]]) -> None:
    """Give a newly built model the shapes of a compressed one; its weights are not set."""
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
    for name in shapes.get("turns", ()):  # checkpoints of earlier versions lack this key and others
        module = model.get_submodule(name)
        put(model, name, RotatedEmbedding(module) if isinstance(module, nn.Embedding) else RotatedNorm(module))
    for name, sizes in shapes.get("tables", {}).items():
        put(model, name, (TensorTrainEmbedding if "ranks" in sizes else LowRankEmbedding)(**sizes))
    for name, table in shapes.get("heads", {}).items():
        factored: Any = model.get_submodule(table)
        put(model, name, FactoredHead(factored))
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
    """Return a transformers architecture's class whose instances take the shapes of `config.slimscope`."""

    def __init__(self, config, *args, **kwargs):
        base.__init__(self, config, *args, **kwargs)
        reshape(self, config.slimscope)

    return type(base.__name__, (base,), {"__init__": __init__, "__module__": __name__})
