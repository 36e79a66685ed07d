"""A model as a GGUF file, written tensor by tensor."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.models.parts.blocks import find_blocks
from core.models.removal.geometry import Geometry
from core.models.removal.units import find_units
from core.shipping.base import ProgressFn
from core.shipping.gguf.support import BITS, BLOCK, F16, Architecture
from core.shipping.gguf.tensors import Part, padded, parts_of
from core.shipping.gguf.tokenizer import add_tokenizer

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


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
    from gguf import GGML_QUANT_SIZES, GGML_QUANT_VERSION, GGMLQuantizationType, GGUFWriter, LlamaFileType

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
