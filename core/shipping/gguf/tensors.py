"""The tensors of a Llama model as GGUF has them: other names, q and k with their rows in another order.

llama.cpp turns neighbouring numbers of a head where transformers turns those half a head apart, so that the rows of q
and k, and their biases, change places.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from core.errors import UserError
from core.models.parts.blocks import Linear, find_blocks
from core.models.parts.grids import grid_of
from core.models.parts.units import Units, find_units
from core.shipping.gguf.blocks import encoded, exact_type, on_grid, type_for
from core.shipping.gguf.types import BITS, BLOCK, F16, Q8

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel

ROLES = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
NORMS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
F32 = "F32"
KNOWN = (
    r"(model\.(embed_tokens|norm)|lm_head)\.weight|model\.layers\.\d+\."
    r"((input|post_attention)_layernorm\.weight|(self_attn\.[qkvo]|mlp\.(gate|up|down))_proj\.(weight|bias))"
)


@dataclass(frozen=True)
class Part:
    """A tensor to be written. `shape` is torch's; `make` gives numbers, or of a type with blocks the bytes."""

    name: str
    kind: str  # of GGUF's types
    shape: tuple[int, ...]
    make: Callable[[], NDArray[Any]]
    exact: bool = False  # whether it keeps the codes of a grid


def padded(channels: int, kind: str) -> int:
    """Return the FFN width that is written: rows of the down projection are whole blocks."""
    return channels + (-channels % BLOCK if kind in BITS else 0)


def check_known(model: PreTrainedModel) -> None:
    """Raise `UserError` where a model has weights that a plain Llama has not, and that a file could not hold."""
    for name, _ in model.named_parameters():
        if not re.fullmatch(KNOWN, name):
            raise UserError(f"GGUF has no form for {name}, which no plain Llama model has; export it as huggingface.")


def parts_of(model: PreTrainedModel, kind: str) -> Iterator[Part]:
    """Yield every tensor of a model whose linears are to be of a type."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    yield _table("token_embd.weight", embedding, kind)
    blocks = find_blocks(model)
    for index, block in enumerate(blocks.holder):
        prefix, units = f"blk.{index}.", find_units(blocks, index)
        for norm, name in NORMS.items():
            yield _vector(f"{prefix}{name}.weight", _weight(block.get_submodule(norm)))
        for role, linear in units.linears.items():
            yield from _linear(prefix + ROLES[role], linear, units, kind)
    yield _vector("output_norm.weight", _weight(model.base_model.get_submodule("norm")))
    if _weight(head) is not _weight(embedding):
        yield _table("output.weight", head, kind)
    if (factors := rope_factors(model)) is not None:
        yield _vector("rope_freqs.weight", factors)


def rope_factors(model: PreTrainedModel) -> Tensor | None:
    """Return by what each frequency of the rotation is divided (head / 2,); None where they are the plain ones."""
    own = model.base_model.get_submodule("rotary_emb").get_buffer("inv_freq").float().cpu()
    steps = torch.arange(0, 2 * len(own), 2, dtype=torch.int64).float() / (2 * len(own))
    plain = 1.0 / model.config.rope_parameters["rope_theta"] ** steps
    return None if torch.allclose(own, plain, rtol=1e-5) else plain / own


def _weight(module: nn.Module) -> Tensor:
    return module.get_parameter("weight")


def _table(name: str, table: nn.Module, kind: str) -> Part:
    """Return the embedding or the head: of fewer bits than Q8_0 only where it lies on such a grid."""
    weight, grid = _weight(table), grid_of(table)
    exact = exact_type(grid, kind) or (exact_type(grid, Q8) if kind in BITS else None)
    written = exact or type_for(weight.shape[1], F16 if kind == F16 else Q8)

    def make() -> NDArray[Any]:
        return on_grid(_numbers(weight), grid, exact) if exact and grid else encoded(_numbers(weight), written)

    return Part(name, written, tuple(weight.shape), make, exact is not None)


def _vector(name: str, values: Tensor) -> Part:
    return Part(name, F32, tuple(values.shape), lambda: _numbers(values))


def _linear(name: str, linear: Linear, units: Units, kind: str) -> Iterator[Part]:
    rows, inputs = linear.shape
    channels = padded(units.geometry.channels, kind) - units.geometry.channels  # that are added
    more = channels if linear.role in ("gate", "up") else 0  # outputs
    width = inputs + (channels if linear.role == "down" else 0)
    grid = grid_of(linear.module)
    exact = exact_type(grid, kind) if width == inputs else None
    written = exact or type_for(width, kind)

    def make() -> NDArray[Any]:
        weight = _numbers(linear.weight)
        if exact and grid is not None:
            made = on_grid(weight, grid, exact)
        else:
            made = encoded(np.pad(weight, ((0, 0), (0, width - inputs))), written)
        return np.pad(_ordered(made, linear.role, units), ((0, more), (0, 0)))  # bytes of 0 are weights of 0

    yield Part(f"{name}.weight", written, (rows + more, width), make, exact is not None)
    if (bias := linear.module.bias) is not None:
        yield Part(
            f"{name}.bias", F32, (rows + more,), lambda: np.pad(_ordered(_numbers(bias), linear.role, units), (0, more))
        )


def _ordered(rows: NDArray[Any], role: str, units: Units) -> NDArray[Any]:
    """Return the rows (out, ...) of a linear in llama.cpp's order: of each head of q and k the halves in turn."""
    shape = units.geometry
    heads = {"q": shape.query_heads, "k": shape.kv_heads}.get(role)
    if heads is None:
        return rows
    return rows.reshape(heads, 2, shape.head_dim // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def _numbers(tensor: Tensor) -> NDArray[Any]:
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy())
