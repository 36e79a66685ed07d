"""Codes of a few bits side by side in 32-bit words, as the pack-quantized form of compressed-tensors has them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

WORD = 32


def packed(codes: Tensor, bits: int) -> Tensor:
    """Return signed codes (out, in) as int32 (out, words), from the lowest bit on, also across the ends of words.

    What is stored of a code is its distance from the lowest. 32 codes take as many words as they have bits.
    """
    above = (codes + 2 ** (bits - 1)).numpy().astype(np.uint8)
    rows, inputs = above.shape
    each = np.unpackbits(above[..., None], axis=-1, count=bits, bitorder="little").reshape(rows, inputs * bits)
    whole = np.pad(each, ((0, 0), (0, -each.shape[1] % WORD)))
    return torch.from_numpy(np.packbits(whole, axis=-1, bitorder="little").view("<i4").astype(np.int32))
