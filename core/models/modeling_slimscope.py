"""A model whose blocks or convolutions have shapes of their own: the module that a compressed checkpoint brings along.

It needs torch and transformers only, and is copied as it is beside the weights of every checkpoint whose shapes no
plain configuration describes. `config.slimscope` lists what differs from the architecture of `config`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import transformers
from torch import Tensor, nn

ROWS = 4096  # of an embedding in factors that are made at once where all of them are needed


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


class RotatedEmbedding(nn.Embedding):
    """A table of embeddings whose rows are turned as they are read; the table itself may be tied to the head."""

    def __init__(self, table: nn.Embedding, rotation: Tensor | None = None):
        super().__init__(table.num_embeddings, table.embedding_dim, table.padding_idx, device="meta")
        self.weight = table.weight
        self.turn = turning(table.weight, rotation)

    def forward(self, ids: Tensor) -> Tensor:
        return self.turn(super().forward(ids))


class FactoredEmbedding(nn.Module):
    """A table of embeddings that is kept in factors: a row is made of them when it is read, and may then be turned.

    Subclasses say in `rows` how. What is read is `scale` times the row, as Gemma's models have it.
    """

    def __init__(self, tokens: int, width: int, turned: bool, scale: float):
        super().__init__()
        self.tokens, self.width, self.scale = tokens, width, scale
        self.turn = turning(torch.empty(0, width), None) if turned else None

    @property
    def settings(self) -> dict[str, Any]:
        """What an embedding of the same shape is made with."""
        scaled = {} if self.scale == 1 else {"scale": self.scale}
        return {"tokens": self.tokens, "width": self.width, "turned": self.turn is not None} | scaled

    @property
    def stored(self) -> int:
        """The numbers that are kept, without those that turn."""
        return sum(parameter.numel() for parameter in self.parameters(recurse=False))

    @property
    def row_macs(self) -> int:
        """The multiply-accumulates of making one row."""
        raise NotImplementedError

    def head_macs(self, positions: int) -> int:
        """The multiply-accumulates of the logits at so many positions of one forward."""
        return self.tokens * (self.row_macs + positions * self.width)

    def rows(self, which: Tensor | slice) -> Tensor:
        """Return the rows (tokens, width) of some tokens, ids (tokens,) or a slice of the vocabulary."""
        raise NotImplementedError

    def parts(self, size: int) -> Iterator[slice]:
        """Yield the vocabulary in slices of so many tokens."""
        yield from (slice(start, min(start + size, self.tokens)) for start in range(0, self.tokens, size))

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the products of hidden states (..., width) with all rows, (..., tokens), made a part at a time."""
        return torch.cat([nn.functional.linear(hidden, self.rows(part)) for part in self.parts(ROWS)], -1)

    def forward(self, ids: Tensor) -> Tensor:
        found = self.rows(ids.flatten()).view(*ids.shape, self.width) * self.scale
        return found if self.turn is None else self.turn(found)


class TensorTrainEmbedding(FactoredEmbedding):
    """Every row a tensor train of its own: TensorGPT (arXiv:2307.00526).

    Entry i of a row, i = i_1 + i_2 I_1 + i_3 I_1 I_2 + ... from 0 on, is the product G_1[i_1] ... G_N[i_N] of a slice
    of each of its cores. `shape` holds the I_k, `ranks` r_0 ... r_N; of a row the shape goes beyond, the rest is cut.
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
        # Of each token its cores after one another, each as (r_k, I_k, r_(k-1)), as they are multiplied.
        self.cores = nn.Parameter(torch.empty(tokens, sum(self.sizes)))

    def rows(self, which: Tensor | slice) -> Tensor:
        cores = self.cores[which].split(self.sizes, 1)
        made = cores[0].new_ones(len(cores[0]), 1, 1)  # (tokens, r_k, I_1 ... I_k), I_1 the fastest
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
    """The table as the product of two thin matrices: left (tokens, rank) and right (rank, width)."""

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
    """An output head that is tied to an embedding in factors, and has no weights of its own."""

    def __init__(self, table: FactoredEmbedding):
        super().__init__()
        self._of = [table]  # in a list, so that its weights are stored once, as the embedding's

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
        put(model, name, RotatedEmbedding(module) if isinstance(module, nn.Embedding) else RotatedNorm(module))
    for name, told in shapes.get("tables", {}).items():
        put(model, name, (TensorTrainEmbedding if "ranks" in told else LowRankEmbedding)(**told))
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
    """Return the class of a transformers architecture whose instances take the shapes of `config.slimscope`."""

    def __init__(self, config, *args, **kwargs):
        base.__init__(self, config, *args, **kwargs)
        reshape(self, config.slimscope)

    return type(base.__name__, (base,), {"__init__": __init__, "__module__": __name__})
