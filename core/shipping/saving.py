"""A saved model on its way to the disk: its size, and what is said of it; imports no torch."""

from __future__ import annotations

from pathlib import Path

from core.results import Footprint
from core.shipping.proof import read_proof
from core.specs import BYTES, Dtype

BY_CHANCE = 0.01  # share of weights that may be zero without having been pruned


def checkpoint_bytes(footprint: Footprint, dtype: Dtype) -> int:
    """Return about what a checkpoint takes on disk: its weights, zeros like others and tied tensors once, and the bits
    that say which of them are to stay zero.
    """
    pruned = footprint.block_zeros > BY_CHANCE * footprint.block_weights
    return footprint.model_parameters * BYTES[dtype] + (footprint.block_weights // 8 if pruned else 0)


def size_words(size: float, told: str) -> str:
    """Write a size and in what it is: `538 MB, fp32`."""
    digits = 0 if size >= 10e6 else 2
    return f"{size / 1e6:.{digits}f} MB, {told}"


def saved_words(folder: str, told: str, usual: str) -> str:
    """Say what has been saved and where, the size being that of the folder as it is now, and whether it is proved.

    `usual` says how far from ours such a proof usually is.
    """
    try:
        size = sum(file.stat().st_size for file in Path(folder).iterdir() if file.is_file())
        proof = read_proof(Path(folder))
    except OSError as error:
        return f"Saved to {folder} as {told}, which cannot be read now: {error.strerror}."
    said = f"Saved to {folder}, {size_words(size, told)}."
    if proof is None:
        return said
    return " ".join(filter(None, [said, proof.words(), usual if proof.reason is None else ""]))
