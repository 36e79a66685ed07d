"""A model as a GGUF file, written tensor by tensor: renamed, and for a Llama with reordered rows of q and k.

llama.cpp rotates neighbouring numbers of a head; transformers rotates numbers half a head apart. Therefore the rows of
q and k, and their biases, change places.
"""

import errno
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGML_QUANT_VERSION, GGMLQuantizationType, GGUFWriter, LlamaFileType
from gguf.quants import quantize
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.base.errors import UserError
from core.models.parts.blocks import Linear, find_blocks
from core.models.parts.grids import Grid, grid_of
from core.models.removal.geometry import Geometry
from core.models.removal.units import Units, find_units
from core.shipping.base import ProgressFn
from core.shipping.gguf.support import BITS, BLOCK, F16, Architecture, exact_type, table_type, type_for
from core.shipping.gguf.tokenizer import add_tokenizer

ROLES = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
F32 = "F32"
TABLES = r"(model\.(embed_tokens|norm)|lm_head)\.weight"
LINEARS = r"(self_attn\.[qkvo]|mlp\.(gate|up|down))_proj\.(weight|bias)"


def type_on(grid: Grid | None, wanted: str) -> str | None:
    """Return the `exact_type` of a grid, if there is one."""
    return None if grid is None else exact_type(grid.bits, grid.group, grid.zero is not None, wanted)


def encoded(weight: np.ndarray, kind: str) -> np.ndarray:
    """Return a matrix (out, in) fp32 in a type: fp16, or bytes with one row of blocks per output."""
    return weight.astype(np.float16) if kind == F16 else quantize(weight, GGMLQuantizationType[kind])


def on_grid(weight: np.ndarray, grid: Grid, kind: str) -> np.ndarray:
    """Return a matrix (out, in) on a grid as blocks of `type_on`, bytes (out, blocks * bytes per block)."""
    import torch

    bits = BITS[kind]
    codes = grid.codes(torch.from_numpy(weight)).numpy()  # (out, in)
    if grid.zero is None and bits < 8:
        codes = codes + 2 ** (bits - 1)
    values = [grid.scale] if grid.zero is None else [grid.scale, -grid.zero * grid.scale]
    spread = [np.repeat(each.numpy(), grid.group // BLOCK, 1) for each in values]  # of each group for its blocks
    halves = [part.astype(np.float16)[..., None].view(np.uint8) for part in spread]  # (out, blocks, 2) each
    return np.concatenate([*halves, *_packed(codes.reshape(len(codes), -1, BLOCK), bits)], -1).reshape(len(codes), -1)


def _packed(codes: np.ndarray, bits: int) -> list[np.ndarray]:
    """Return codes (out, blocks, 32) as bytes: fifth bits, if any, then both halves of a block as nibbles."""
    if bits == 8:
        return [codes.astype(np.int8).view(np.uint8)]
    whole = codes.astype(np.uint8)
    low = whole & 15
    nibbles = low[..., : BLOCK // 2] | low[..., BLOCK // 2 :] << 4
    return [nibbles] if bits == 4 else [np.packbits(whole >> 4, axis=-1, bitorder="little"), nibbles]


@dataclass(frozen=True)
class Part:
    """A tensor to write, with torch's shape; `make` returns numbers, or bytes for a type with blocks."""

    name: str
    kind: str  # a GGUF type
    shape: tuple[int, ...]
    make: Callable[[], np.ndarray]
    exact: bool = False  # whether it has the codes of a grid


def padded(channels: int, kind: str) -> int:
    """Return the FFN width to write: rows of the down projection must be whole blocks."""
    return channels + (-channels % BLOCK if kind in BITS else 0)


def check_known(model: PreTrainedModel, architecture: Architecture) -> None:
    """Raise `UserError` if a model has weights that plain models lack and a file cannot store."""
    norms = "|".join(map(re.escape, architecture.norms))
    known = rf"{TABLES}|model\.layers\.\d+\.(({norms})\.weight|{LINEARS})"
    for name, _ in model.named_parameters():
        if not re.fullmatch(known, name):
            raise UserError(
                f"GGUF does not support {name}, which no plain {architecture.label} has; export it as huggingface."
            )


def parts_of(model: PreTrainedModel, architecture: Architecture, kind: str) -> Iterator[Part]:
    """Yield every tensor of a model; `kind` is the type of its linears."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    yield _table("token_embd.weight", embedding, kind)
    blocks = find_blocks(model)
    for index, block in enumerate(blocks.holder):
        prefix, units = f"blk.{index}.", find_units(blocks, index)
        for norm, name in architecture.norms.items():
            yield _vector(f"{prefix}{name}.weight", _weight(block.get_submodule(norm)), architecture.shift)
        for role, linear in units.linears.items():
            yield from _linear(prefix + ROLES[role], linear, units, kind, architecture.turned)
    yield _vector("output_norm.weight", _weight(model.base_model.get_submodule("norm")), architecture.shift)
    if _weight(head) is not _weight(embedding):
        yield _table("output.weight", head, kind)
    if (factors := architecture.rope_factors(model)) is not None:
        yield _vector("rope_freqs.weight", factors)


def _weight(module: nn.Module) -> Tensor:
    return module.get_parameter("weight")


def _table(name: str, table: nn.Module, kind: str) -> Part:
    """Return the embedding or the head, in fewer bits than Q8_0 only if it is on such a grid."""
    weight, grid = _weight(table), grid_of(table)
    exact = type_on(grid, kind) or type_on(grid, table_type(kind))
    written = exact or type_for(weight.shape[1], table_type(kind))

    def make() -> np.ndarray:
        return on_grid(_numbers(weight), grid, exact) if exact and grid else encoded(_numbers(weight), written)

    return Part(name, written, tuple(weight.shape), make, exact is not None)


def _vector(name: str, values: Tensor, shift: float = 0.0) -> Part:
    return Part(name, F32, tuple(values.shape), lambda: _numbers(values) + np.float32(shift))


def _linear(name: str, linear: Linear, units: Units, kind: str, turned: bool) -> Iterator[Part]:
    rows, inputs = linear.shape
    channels = padded(units.geometry.channels, kind) - units.geometry.channels  # of padding
    more = channels if linear.role in ("gate", "up") else 0  # outputs
    width = inputs + (channels if linear.role == "down" else 0)
    grid = grid_of(linear.module)
    exact = type_on(grid, kind) if width == inputs else None
    written = exact or type_for(width, kind)

    def ordered(rows: np.ndarray) -> np.ndarray:
        return _reordered(rows, linear.role, units) if turned else rows

    def make() -> np.ndarray:
        weight = _numbers(linear.weight)
        if exact and grid is not None:
            data = on_grid(weight, grid, exact)
        else:
            data = encoded(np.pad(weight, ((0, 0), (0, width - inputs))), written)
        return np.pad(ordered(data), ((0, more), (0, 0)))  # zero bytes encode zero weights

    yield Part(f"{name}.weight", written, (rows + more, width), make, exact is not None)
    if (bias := linear.module.bias) is not None:
        yield Part(f"{name}.bias", F32, (rows + more,), lambda: np.pad(ordered(_numbers(bias)), (0, more)))


def _reordered(rows: np.ndarray, role: str, units: Units) -> np.ndarray:
    """Return the rows (out, ...) of a linear in llama.cpp's order: both halves of each q or k head interleaved."""
    shape = units.geometry
    heads = {"q": shape.query_heads, "k": shape.kv_heads}.get(role)
    if heads is None:
        return rows
    return rows.reshape(heads, 2, shape.head_dim // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def _numbers(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy())


def write_gguf(
    model: PreTrainedModel,
    architecture: Architecture,
    tokenizer: PreTrainedTokenizerBase,
    name: str,
    file: Path,
    kind: str,
    progress: ProgressFn,
) -> tuple[str, ...]:
    """Write a model with linears of type `kind`; return notes on exceptions to that type."""
    blocks = find_blocks(model)
    shapes = [find_units(blocks, index).geometry for index in range(len(blocks.holder))]
    writer = GGUFWriter(file, architecture.name(_alike(shapes)))
    try:
        writer.add_name(name)
        _add_sizes(writer, model, shapes, kind)
        architecture.add_positions(writer, model.config)
        writer.add_file_type(LlamaFileType[f"MOSTLY_{kind}"])
        if kind in BITS:
            writer.add_quantization_version(GGML_QUANT_VERSION)
        add_tokenizer(writer, tokenizer, model.config.vocab_size)
        parts = list(parts_of(model, architecture, kind))
        for part in parts:
            of = GGMLQuantizationType[part.kind]
            weights, size = GGML_QUANT_SIZES[of]
            size_bytes = math.prod(part.shape) // weights * size
            writer.add_tensor_info(part.name, part.shape, np.dtype(np.float32), size_bytes, of)  # which overrides fp32
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for done, part in enumerate(parts):
            progress(done, len(parts))
            writer.write_tensor_data(part.make())
    except OSError as error:
        if error.errno is None:  # numpy's errors for a full disk have none
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
        raise
    finally:
        writer.close()
    return tuple(_notes(parts, shapes, kind))


def _notes(parts: list[Part], shapes: list[Geometry], kind: str) -> Iterator[str]:
    """Yield notes for readers of the card."""
    if wider := sum(padded(shape.channels, kind) != shape.channels for shape in shapes):
        yield f"The FFN of {wider} blocks is padded with zero channels to a multiple of {BLOCK}, as {kind} requires."
    if kept := sum(part.exact for part in parts):
        yield f"{kept} matrices keep the codes and scales of their grid."
    if whole := sum(part.kind == F16 != kind for part in parts):
        yield f"{whole} matrices are in F16, because their rows are not a multiple of {BLOCK}."


def _alike(shapes: list[Geometry]) -> bool:
    return len({(shape.query_heads, shape.kv_heads, shape.channels) for shape in shapes}) == 1


def _add_sizes(writer: GGUFWriter, model: PreTrainedModel, shapes: list[Geometry], kind: str) -> None:
    config, (first, *_) = model.config, shapes
    writer.add_block_count(len(shapes))
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(first.hidden)
    writer.add_vocab_size(config.vocab_size)
    widths = {
        writer.add_feed_forward_length: [padded(shape.channels, kind) for shape in shapes],
        writer.add_head_count: [shape.query_heads for shape in shapes],
        writer.add_head_count_kv: [shape.kv_heads for shape in shapes],
    }
    for write, counts in widths.items():
        write(counts[0] if _alike(shapes) else counts)
    # By default, llama.cpp divides the hidden size by the heads of the first block.
    for add in (writer.add_key_length, writer.add_value_length, writer.add_rope_dimension_count):
        add(first.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
