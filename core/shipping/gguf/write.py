"""A GGUF file of a model, tensor by tensor."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.models.parts.blocks import find_blocks
from core.models.parts.geometry import Geometry
from core.models.parts.units import find_units
from core.shipping.base import ProgressFn
from core.shipping.gguf.architectures import Architecture
from core.shipping.gguf.tensors import Part, padded, parts_of
from core.shipping.gguf.tokenizer import add_tokenizer
from core.shipping.gguf.types import BITS, BLOCK, F16

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from transformers import PreTrainedModel


def write_gguf(
    model: PreTrainedModel,
    architecture: Architecture,
    tokenizer: Any,
    name: str,
    file: Path,
    kind: str,
    tell: ProgressFn,
) -> tuple[str, ...]:
    """Write a model whose linears are to be of a type; return what of it is not as that says."""
    from gguf import GGUFWriter

    blocks = find_blocks(model)
    shapes = [find_units(blocks, index).geometry for index in range(len(blocks.holder))]
    writer = GGUFWriter(file, architecture.name(_alike(shapes)))
    try:
        writer.add_name(name)
        _add_sizes(writer, model, shapes, kind)
        architecture.add_positions(writer, model.config)
        _add_types(writer, kind)
        add_tokenizer(writer, tokenizer, model.config.vocab_size)
        parts = list(parts_of(model, architecture, kind))
        for part in parts:
            _announce(writer, part)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for done, part in enumerate(parts):
            tell(done, len(parts))
            writer.write_tensor_data(part.make())
    except OSError as error:
        if error.errno is None:  # as of numpy, which says only how much it could not write
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
        raise
    finally:
        writer.close()
    return tuple(_notes(parts, shapes, kind))


def _notes(parts: list[Part], shapes: list[Geometry], kind: str) -> Iterator[str]:
    """Say what a reader of the file should know."""
    if wider := sum(padded(shape.channels, kind) != shape.channels for shape in shapes):
        yield f"The FFN of {wider} blocks is filled up with channels of zeros to a multiple of {BLOCK}, as {kind} asks."
    if kept := sum(part.exact for part in parts):
        yield f"{kept} matrices keep the codes and scales of their grid."
    if whole := sum(part.kind == F16 != kind for part in parts):
        yield f"{whole} matrices, whose rows are no multiple of {BLOCK}, are in F16."


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
    for say, counts in widths.items():
        say(counts[0] if _alike(shapes) else counts)
    # Left out, llama.cpp takes the width of the hidden states over the heads of the first block.
    for add in (writer.add_key_length, writer.add_value_length, writer.add_rope_dimension_count):
        add(first.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def _add_types(writer: GGUFWriter, kind: str) -> None:
    from gguf import GGML_QUANT_VERSION, LlamaFileType

    writer.add_file_type(LlamaFileType[f"MOSTLY_{kind}"])
    if kind in BITS:
        writer.add_quantization_version(GGML_QUANT_VERSION)


def _announce(writer: GGUFWriter, part: Part) -> None:
    """Say of a tensor what and how large it is."""
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    kind = GGMLQuantizationType[part.kind]
    weights, size = GGML_QUANT_SIZES[kind]
    taken = int(np.prod(part.shape)) // weights * size
    writer.add_tensor_info(part.name, part.shape, np.dtype(np.float32), taken, kind)  # the last says which
