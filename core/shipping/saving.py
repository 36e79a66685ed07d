"""A checkpoint on its way to the disk: its precision, its size, and what is said of it; imports no torch."""

from __future__ import annotations

from pathlib import Path

from core.results import Footprint
from core.specs import BYTES, Dtype, precision_name

BY_CHANCE = 0.01  # share of weights that may be zero without having been pruned


def checkpoint_bytes(footprint: Footprint, dtype: Dtype) -> int:
    """Return about what a checkpoint takes on disk: its weights, zeros like others and tied tensors once, and the bits
    that say which of them are to stay zero."""
    pruned = footprint.block_zeros > BY_CHANCE * footprint.block_weights
    return footprint.model_parameters * BYTES[dtype] + (footprint.block_weights // 8 if pruned else 0)


def size_words(size: float, dtype: Dtype) -> str:
    """Write a size and a precision: `538 MB, fp32`."""
    digits = 0 if size >= 10e6 else 2
    return f"{size / 1e6:.{digits}f} MB, {precision_name(dtype)}"


def saved_words(folder: str, dtype: Dtype) -> str:
    """Say what has been saved and where, the size being that of the folder as it is now."""
    try:
        size = sum(file.stat().st_size for file in Path(folder).iterdir() if file.is_file())
    except OSError as error:
        return f"Saved to {folder} as {precision_name(dtype)}, which cannot be read now: {error.strerror}"
    return f"Saved to {folder}, {size_words(size, dtype)}"
