"""Models whose blocks or embeddings have shapes that no plain configuration describes.

This module needs torch and transformers only. It is copied beside the weights of every checkpoint of such a model.
`config.slimscope` lists the differences from the architecture of `config`, by the tags of `KINDS`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple, TypedDict

import torch
import transformers
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

Shapes = dict[str, Any]  # Any: each kind has descriptions of its own
Settings = dict[str, Any]  # Any: arguments of a constructor
Sizes = int | list[int] | dict[str, int] | None  # of a module of the architecture's own class
ROWS = 4096  # rows of a factored embedding that are computed at once if all are needed
# Names that attention modules use for the counts of query heads and of key-value heads.
QUERY_COUNTS = ("num_heads", "num_attention_heads", "n_heads")
KV_COUNTS = ("num_key_value_heads", "num_kv_heads")
WIDTHS = ("split_size", "embed_dim")  # of all query heads, by which some split a joined projection
CONFIGURED = "config.num_attention_heads"  # the count of query heads that some attention modules read there


class Parts(TypedDict):
    """Names of the modules of a pre-norm block."""

    attention: str
    norms: list[str]  # of attention, then of the FFN
    ffn: list[str]  # in order


class Place(NamedTuple):
    """A module of a model, and the module with this name in a new model of the same configuration."""

    model: nn.Module
    name: str
    module: Any  # Any: of any class
    plain: Any  # Any: of any class; None if the new model has no module with this name


class ModuleKind:
    """One kind of reshaped module: how a checkpoint describes it, and how it is built again.

    A module with a class of its own derives from this class too, and needs only a tag and its constructor's arguments
    as the list `settings`. `KINDS` lists every kind.
    """

    tag: ClassVar[str]  # key of `config.slimscope`, which has the modules of this kind by name
    names_only: ClassVar[bool] = False  # the checkpoint lists the names, without descriptions

    @classmethod
    def matches(cls, place: Place) -> bool:
        """Return whether the module is of this kind."""
        return isinstance(place.module, cls)

    @classmethod
    def describe(cls, place: Place) -> Any:  # Any: as of each kind
        """Return the description from which `build` makes the module, ready for JSON."""
        return None if cls.names_only else place.module.settings

    @classmethod
    def build(cls, place: Place, description: Any) -> nn.Module:  # Any: as of each kind
        """Return the module that replaces the one of a new model, or that module resized; no weight is set."""
        module: Any = cls  # Any: a subclass that is a module
        built: nn.Module = module(*description)
        return built


class Factors(ModuleKind, nn.Sequential):
    """A linear stored as two thin factors: right (rank, in), then left (out, rank) with the bias."""

    tag = "factors"

    def __init__(self, inputs: int, rank: int, outputs: int, bias: bool):
        super().__init__(nn.Linear(inputs, rank, bias=False), nn.Linear(rank, outputs, bias=bias))

    @property
    def settings(self) -> list[Any]:  # Any: `nn.Sequential` hides the class of its modules
        """The arguments that build a module of the same shape."""
        right, left = self
        return [right.in_features, right.out_features, left.out_features, left.bias is not None]


class Expert(nn.Module):
    """One expert of a mixture of experts, whose projections are linears of their own.

    `fused` is the module of transformers with all experts of the layer as stacked tensors. It has the activation.
    """

    def __init__(self, fused: nn.Module, number: int):
        super().__init__()
        self._of = [fused]  # in a list, so that its tensors are not stored
        for name, weight, bias in projections(fused, number):
            linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
            linear.weight = nn.Parameter(weight.contiguous(), weight.requires_grad)
            if bias is not None:
                linear.bias = nn.Parameter(bias.contiguous(), bias.requires_grad)
            self.add_module(name, linear)

    @property
    def awaited(self) -> bool:
        """Whether hooks on its linears wait for an input, even for one without tokens."""
        return any(linear._forward_pre_hooks for linear in self.children())

    def forward(self, hidden: Tensor) -> Tensor:
        fused: Any = self._of[0]  # Any: of the architecture's own class
        *first, down = self.children()
        if fused.has_gate:
            gate, up = (linear(hidden) for linear in first)  # (tokens, channels)
            joined = torch.cat([gate, up], -1) if fused.is_concatenated else torch.stack([gate, up], -1).flatten(-2)
            inner = fused._apply_gate(joined)
        else:
            inner = fused.act_fn(first[0](hidden))
        outputs: Tensor = down(inner)
        return outputs


class Experts(ModuleKind, nn.ModuleList):
    """The experts of one layer as separate modules, in place of the stacked tensors of transformers.

    Each token runs through the experts that its router chose. Experts in `unrouted` also run on all other tokens, whose
    outputs are dropped: calibration collects their inputs.
    """

    tag = "experts"
    names_only = True

    def __init__(self, fused: nn.Module):
        super().__init__(Expert(fused, number) for number in range(len(fused.get_parameter("down_proj"))))
        for name in list(fused._parameters):
            fused._parameters[name] = None
        self._of = [fused]
        self.unrouted: frozenset[int] = frozenset()

    @property
    def fused(self) -> nn.Module:
        """The module of transformers, without its tensors."""
        return self._of[0]

    def forward(self, hidden: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """Return the weighted sum (tokens, width) of the outputs of each token's `chosen` experts (tokens, k)."""
        total = torch.zeros_like(hidden)
        for number, expert in enumerate(self):
            slots, rows = torch.where(chosen.T.eq(number))
            if not (len(rows) or expert.awaited or torch.is_grad_enabled()):
                continue
            outputs = expert(hidden)[rows] if number in self.unrouted else expert(hidden[rows])  # (rows, width)
            weighted = outputs * weights[rows, slots, None]
            total.index_add_(0, rows, weighted.to(total.dtype))
        return total

    @classmethod
    def build(cls, place: Place, description: None) -> nn.Module:
        return cls(place.module)


def projections(fused: nn.Module, number: int) -> Iterator[tuple[str, Tensor, Tensor | None]]:
    """Yield name, weight (out, in) and bias (out,) of each projection of one expert, as views of stacked tensors."""
    for name in ("gate_up_proj", "up_proj", "down_proj"):
        if (stacked := fused._parameters.get(name)) is None:
            continue
        biases = fused._parameters.get(f"{name}_bias")
        weight, bias = stacked.detach()[number], None if biases is None else biases.detach()[number]
        weight = weight.T if fused.is_transposed else weight
        if name != "gate_up_proj":
            yield name, weight, bias
            continue
        for half, rows in zip(("gate_proj", "up_proj"), halves(fused, len(weight)), strict=True):
            yield half, weight[rows], None if bias is None else bias[rows]


def halves(fused: nn.Module, rows: int) -> tuple[slice, slice]:
    """Return which rows of a joined projection (rows, in) are those of gate and of up."""
    if fused.is_concatenated:
        return slice(0, rows // 2), slice(rows // 2, rows)
    return slice(0, rows, 2), slice(1, rows, 2)


class Joined(ModuleKind, nn.Module):
    """A projection that computes q, k and v, or gate and up, with a linear for each of them.

    The outputs have the order of the projection that it replaces: part after part, or with a head `width` the parts of
    one head after those of another.
    """

    tag = "joined"

    def __init__(self, parts: dict[str, nn.Linear], width: int = 0):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.width = width

    def forward(self, hidden: Tensor) -> Tensor:
        parts = [part(hidden) for part in self.children()]
        if not self.width:
            return torch.cat(parts, -1)
        heads = [part.unflatten(-1, (-1, self.width)) for part in parts]  # (..., heads, width)
        return torch.cat(heads, -1).flatten(-2)

    @property
    def settings(self) -> Settings:
        """The arguments that build a projection of the same shape; a list, as JSON sorts names."""
        sizes = []
        for name, part in self.named_children():
            near, far = part if isinstance(part, Factors) else (part, part)
            sizes.append([name, near.in_features, far.out_features, far.bias is not None])
        return {"sizes": sizes, "width": self.width}

    @classmethod
    def build(cls, place: Place, description: Settings) -> nn.Module:
        sizes = description["sizes"]
        parts = {name: nn.Linear(inputs, outputs, bias=bias) for name, inputs, outputs, bias in sizes}
        return cls(parts, description["width"])


class UnitNorm(ModuleKind, nn.Module):
    """A norm that divides by the root mean square over the full width; its scale is in the next matrices."""

    tag = "norms"

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.width, self.eps = width, eps

    def forward(self, hidden: Tensor) -> Tensor:
        wide = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        mean = wide.square().sum(-1, keepdim=True) / self.width
        return (wide * torch.rsqrt(mean + self.eps)).to(hidden.dtype)

    @classmethod
    def matches(cls, place: Place) -> bool:
        parent = place.model.get_submodule(place.name.rpartition(".")[0])
        return super().matches(place) and not isinstance(parent, SlicedBlock)  # which builds its own norms

    @property
    def settings(self) -> list[float]:
        """The arguments that build an equal norm."""
        return [self.width, self.eps]


class SlicedBlock(ModuleKind, nn.Module):
    """A pre-norm block whose residuals change basis: SliceGPT (arXiv:2401.15024), section 3.

    Its modules have the names of the original block's. `parts` names attention, the norms of attention and FFN, and the
    modules of the FFN in order. `width` is the hidden size before slicing, `sliced` after.
    """

    tag = "blocks"

    def __init__(self, block: nn.Module, parts: Parts, width: int, sliced: int):
        super().__init__()
        for name, child in block.named_children():
            self.add_module(name, child)
        self.parts, self.width = parts, width
        for name in parts["norms"]:
            self.add_module(name, UnitNorm(width, norm_eps(getattr(block, name))))
        self.attention_type = getattr(block, "attention_type", None)
        self.attention_shortcut = nn.Linear(sliced, sliced, bias=False)
        self.ffn_shortcut = nn.Linear(sliced, sliced, bias=False)

    def attend(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:  # Any: as of the block
        """Return the output of attention, which is added to the residual stream."""
        normed = getattr(self, self.parts["norms"][0])(hidden)
        added: Tensor = getattr(self, self.parts["attention"])(normed, *args, **kwargs)[0]
        return added

    def feed(self, hidden: Tensor) -> Tensor:
        """Return the output of the FFN, which is added to the residual stream."""
        hidden = getattr(self, self.parts["norms"][1])(hidden)
        for name in self.parts["ffn"]:
            hidden = getattr(self, name)(hidden)
        return hidden

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:  # Any: as of the block
        hidden = self.attention_shortcut(hidden_states) + self.attend(hidden_states, *args, **kwargs)
        added: Tensor = self.ffn_shortcut(hidden) + self.feed(hidden)
        return added

    @property
    def settings(self) -> Settings:
        """The arguments that build a block of the same shape, without the original block."""
        return {"parts": self.parts, "width": self.width, "sliced": self.attention_shortcut.in_features}

    @classmethod
    def build(cls, place: Place, description: Settings) -> nn.Module:
        return cls(place.module, **description)


class RotatedEmbedding(nn.Embedding):
    """An embedding whose rows are rotated after lookup; its table may be tied to the head."""

    def __init__(self, table: nn.Embedding, rotation: Tensor | None = None):
        super().__init__(table.num_embeddings, table.embedding_dim, table.padding_idx, device="meta")
        self.weight = table.weight
        self.turn = turning(table.weight, rotation)

    def forward(self, ids: Tensor) -> Tensor:
        turned: Tensor = self.turn(super().forward(ids))
        return turned


class FactoredEmbedding(nn.Module):
    """An embedding stored as factors: a row is computed at lookup and may then be rotated.

    Subclasses compute rows in `rows`. A lookup multiplies them by `scale`, as Gemma models do.
    """

    def __init__(self, tokens: int, width: int, turned: bool, scale: float):
        super().__init__()
        self.tokens, self.width, self.scale = tokens, width, scale
        self.turn = turning(torch.empty(0, width), None) if turned else None

    @property
    def settings(self) -> Settings:
        """The arguments that build an embedding of the same shape."""
        scaled = {} if self.scale == 1 else {"scale": self.scale}
        return {"tokens": self.tokens, "width": self.width, "turned": self.turn is not None} | scaled

    @property
    def weight(self) -> Tensor:
        """A stored factor, from which some models read device and precision; the table itself is not stored."""
        return next(self.parameters(recurse=False))

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
        rows: Tensor = made[:, 0, : self.width]
        return rows

    @property
    def settings(self) -> Settings:
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
    def settings(self) -> Settings:
        return super().settings | {"rank": len(self.right)}

    @property
    def row_macs(self) -> int:
        return self.right.numel()

    def head_macs(self, positions: int) -> int:
        return positions * (self.left.numel() + self.right.numel())


class Tables(ModuleKind):
    """The embeddings stored as factors."""

    tag = "tables"

    @classmethod
    def matches(cls, place: Place) -> bool:
        return isinstance(place.module, (TensorTrainEmbedding, LowRankEmbedding))

    @classmethod
    def build(cls, place: Place, description: Settings) -> nn.Module:
        return (TensorTrainEmbedding if "ranks" in description else LowRankEmbedding)(**description)


class FactoredHead(ModuleKind, nn.Module):
    """An output head tied to a factored embedding, without weights of its own."""

    tag = "heads"

    def __init__(self, table: FactoredEmbedding):
        super().__init__()
        self._of = [table]  # in a list, so that only the embedding stores the weights

    @property
    def table(self) -> FactoredEmbedding:
        return self._of[0]

    @property
    def weight(self) -> Tensor:
        """A factor of the embedding, from which some models read device and precision."""
        return self.table.weight

    @property
    def in_features(self) -> int:
        return self.table.width

    @property
    def out_features(self) -> int:
        return self.table.tokens

    def forward(self, hidden: Tensor) -> Tensor:
        return self.table.logits(hidden)

    @classmethod
    def describe(cls, place: Place) -> str:
        """Return the name of the embedding."""
        found: str = next(name for name, module in place.model.named_modules() if module is place.module.table)
        return found

    @classmethod
    def build(cls, place: Place, description: str) -> nn.Module:
        table: Any = place.model.get_submodule(description)  # Any: a factored embedding
        return cls(table)


class RotatedNorm(nn.Module):
    """A norm whose inputs are first rotated back."""

    def __init__(self, norm: nn.Module, rotation: Tensor | None = None):
        super().__init__()
        self.norm = norm
        self.turn = turning(norm.get_parameter("weight"), rotation)

    def forward(self, hidden: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.turn(hidden))
        return normed


class Turns(ModuleKind):
    """The embeddings and norms that rotate."""

    tag = "turns"
    names_only = True

    @classmethod
    def matches(cls, place: Place) -> bool:
        return isinstance(place.module, (RotatedEmbedding, RotatedNorm))

    @classmethod
    def build(cls, place: Place, description: None) -> nn.Module:
        return (RotatedEmbedding if isinstance(place.module, nn.Embedding) else RotatedNorm)(place.module)


class Resized(ModuleKind):
    """A module of the architecture's own class with other sizes."""

    @classmethod
    def matches(cls, place: Place) -> bool:
        return type(place.module) is type(place.plain) and cls.sizes(place.module) != cls.sizes(place.plain)

    @classmethod
    def describe(cls, place: Place) -> Sizes:
        return cls.sizes(place.module)

    @classmethod
    def sizes(cls, module: nn.Module) -> Sizes:
        """Return the sizes of a module, ready for JSON; None for a module without such sizes."""
        raise NotImplementedError


class Vectors(Resized):
    """The norms of another width; those of a sliced block are listed too, without a width."""

    tag = "vectors"

    @classmethod
    def matches(cls, place: Place) -> bool:
        return isinstance(place.module, UnitNorm) or super().matches(place)

    @classmethod
    def sizes(cls, module: nn.Module) -> int | None:
        own = [tuple(parameter.shape) for parameter in module.parameters(recurse=False)]
        return own[0][0] if own and all(len(shape) == 1 for shape in own) else None

    @classmethod
    def build(cls, place: Place, description: int | None) -> nn.Module:
        norm: nn.Module = place.module
        if description is None:
            return norm  # the sliced block has built it
        for name, vector in list(norm.named_parameters(recurse=False)):
            setattr(norm, name, nn.Parameter(vector.new_empty(description)))
        if isinstance(norm, (nn.LayerNorm, nn.RMSNorm)):
            norm.normalized_shape = (description,)
        return norm


class Embeddings(Resized):
    """The embeddings of another width."""

    tag = "embeddings"

    @classmethod
    def sizes(cls, module: nn.Module) -> int | None:
        return module.weight.shape[1] if isinstance(module, nn.Embedding) else None

    @classmethod
    def build(cls, place: Place, description: int) -> nn.Module:
        table: nn.Embedding = place.module
        table.weight = nn.Parameter(table.weight.new_empty(len(table.weight), description))
        table.embedding_dim = description
        return table


class Linears(Resized):
    """The linears with another number of inputs or outputs."""

    tag = "linears"

    @classmethod
    def sizes(cls, module: nn.Module) -> list[int] | None:
        if isinstance(module, Conv1D):
            return [*module.weight.shape, True]
        if not isinstance(module, nn.Linear):
            return None
        outputs, inputs = module.weight.shape
        return [inputs, outputs, module.bias is not None]

    @classmethod
    def build(cls, place: Place, description: list[int]) -> nn.Module:
        inputs, outputs, bias = description
        if isinstance(place.module, Conv1D):
            return Conv1D(outputs, inputs)
        kind: type[nn.Linear] = type(place.module)
        built: nn.Linear = kind(inputs, outputs, bias=bool(bias))
        return built


class Counts(Resized):
    """The modules that count other numbers of heads."""

    tag = "counts"

    @classmethod
    def sizes(cls, module: nn.Module) -> dict[str, int]:
        names = (*QUERY_COUNTS, *KV_COUNTS, *WIDTHS, "num_key_value_groups")
        found = {name: getattr(module, name) for name in names if hasattr(module, name)}
        if hasattr(module, "head_dim") and "config" in vars(module):
            found[CONFIGURED] = vars(module)["config"].num_attention_heads
        return found

    @classmethod
    def describe(cls, place: Place) -> dict[str, int]:
        """Return the numbers that differ."""
        before = cls.sizes(place.plain)
        return {name: count for name, count in cls.sizes(place.module).items() if count != before.get(name)}

    @classmethod
    def build(cls, place: Place, description: dict[str, int]) -> nn.Module:
        module: nn.Module = place.module
        for name, count in description.items():
            if name == CONFIGURED:
                configure_heads(module, count)
            else:
                setattr(module, name, count)
        return module


# In the order of building: blocks before the modules inside them, and heads after their embeddings. A module is of the
# first kind that matches it.
KINDS: list[type[ModuleKind]] = [
    SlicedBlock,
    Experts,
    Joined,
    UnitNorm,
    Turns,
    Vectors,
    Embeddings,
    Tables,
    FactoredHead,
    Linears,
    Factors,
    Counts,
]


def turning(like: Tensor, rotation: Tensor | None) -> nn.Linear:
    """Return a linear with the weight `rotation` (width, width); without it, the weight is not set.

    Device, type and `requires_grad` are those of `like` (..., width).
    """
    width = like.shape[-1]
    found = nn.Linear(width, width, bias=False, device="meta")
    weight = like.new_empty(width, width) if rotation is None else rotation.to(like)
    found.weight = nn.Parameter(weight.contiguous(), like.requires_grad)
    return found


def configure_heads(attention: nn.Module, count: int) -> None:
    """Give an attention module a configuration of its own with another number of query heads."""
    config = copy.copy(vars(attention)["config"])
    config.num_attention_heads = count
    vars(attention)["config"] = config


def norm_eps(norm: nn.Module) -> float:
    """Return the number that a norm adds to the variance, under either of its attribute names."""
    return getattr(norm, "variance_epsilon", 0.0) or getattr(norm, "eps", 0.0)


def put(model: nn.Module, name: str, module: nn.Module) -> None:
    """Replace the module that has this dotted name."""
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)


def describe(model: nn.Module, plain: nn.Module) -> Shapes:
    """Return the shapes that `reshape` needs to give a plain model those of this one."""
    others = dict(plain.named_modules())
    found: dict[str, Shapes] = {kind.tag: {} for kind in KINDS}
    for name, module in model.named_modules():
        place = Place(model, name, module, others.get(name))
        for kind in KINDS:
            if kind.matches(place):
                found[kind.tag][name] = kind.describe(place)
                break
    return {kind.tag: list(found[kind.tag]) if kind.names_only else found[kind.tag] for kind in KINDS}


def reshape(model: nn.Module, shapes: Shapes) -> None:
    """Give a new model the shapes of a compressed one; its weights are not set.

    Raises `ValueError` for modules of a kind that `KINDS` lacks.
    """
    if unknown := [tag for tag in shapes if shapes[tag] and tag not in {kind.tag for kind in KINDS}]:
        raise ValueError(f"this program has no module kind {', '.join(unknown)}")
    for kind in KINDS:
        listed = shapes.get(kind.tag, {})  # checkpoints of earlier versions lack some tags
        for name in listed:
            module = model.get_submodule(name)
            built = kind.build(Place(model, name, module, module), None if kind.names_only else listed[name])
            if built is not module:
                put(model, name, built)


def slimmed(base: type[transformers.PreTrainedModel]) -> type[transformers.PreTrainedModel]:
    """Return a transformers architecture's class whose instances take the shapes of `config.slimscope`."""

    def __init__(
        self: transformers.PreTrainedModel,
        config: transformers.PreTrainedConfig,
        *args: Any,  # Any: as of the class
        **kwargs: Any,  # Any: as of the class
    ) -> None:
        base.__init__(self, config, *args, **kwargs)
        reshape(self, config.slimscope)

    @torch.no_grad()
    def initialize_weights(self: transformers.PreTrainedModel) -> None:
        base.initialize_weights(self)
        # In code of others, transformers skips models without weights of their own, such as Falcon-H1, which sets
        # buffers of its blocks.
        for module in self.modules():
            if isinstance(module, transformers.PreTrainedModel):
                module._init_weights(module)

    methods = {"__init__": __init__, "initialize_weights": initialize_weights}
    return type(base.__name__, (base,), {**methods, "__module__": __name__})
