"""Codes of a few bits packed into 32-bit words, as in the pack-quantized format of compressed-tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

WORD = 32


def packed(codes: Tensor, bits: int) -> Tensor:
    """Pack signed codes (out, in) into int32 (out, words), from the lowest bit, across word boundaries.

    A code is stored as its distance from the lowest. 32 codes take as many words as they have bits.
    """
    above = (codes + 2 ** (bits - 1)).numpy().astype(np.uint8)
    rows, inputs = above.shape
    each = np.unpackbits(above[..., None], axis=-1, count=bits, bitorder="little").reshape(rows, inputs * bits)
    whole = np.pad(each, ((0, 0), (0, -each.shape[1] % WORD)))
    return torch.from_numpy(np.packbits(whole, axis=-1, bitorder="little").view("<i4").astype(np.int32))
