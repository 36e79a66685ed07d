"""GGUF's tensor types: 16-bit numbers, and blocks of 32 weights that share a scale.

A block of Q4_0, Q5_0 or Q8_0 represents (code - middle) * d, one of Q4_1 or Q5_1 code * d + m, with d and m in 16 bits.
A linear's grid whose groups are whole blocks therefore becomes such blocks with the same codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.shipping.gguf.types import BITS, BLOCK, F16, exact_type

if TYPE_CHECKING:
    from core.models.parts.grids import Grid


def type_on(grid: Grid | None, wanted: str) -> str | None:
    """Return the `exact_type` of a grid, if there is one."""
    return None if grid is None else exact_type(grid.bits, grid.group, grid.zero is not None, wanted)


def encoded(weight: np.ndarray, kind: str) -> np.ndarray:
    """Return a matrix (out, in) fp32 in a type: fp16, or bytes with one row of blocks per output."""
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    return weight.astype(np.float16) if kind == F16 else quantize(weight, GGMLQuantizationType[kind])


def on_grid(weight: np.ndarray, grid: Grid, kind: str) -> np.ndarray:
    """Return a matrix (out, in) on a grid as blocks of `type_on`, bytes (out, blocks * bytes per block)."""
    import torch

    bits = BITS[kind]
    codes = grid.codes(torch.from_numpy(weight)).numpy()  # (out, in)
    if grid.zero is None and bits < 8:
        codes = codes + 2 ** (bits - 1)
    parts = [_spread(grid.scale.numpy(), grid.group)]
    if grid.zero is not None:
        parts.append(_spread((-grid.zero * grid.scale).numpy(), grid.group))
    halves = [part.astype(np.float16)[..., None].view(np.uint8) for part in parts]  # (out, blocks, 2) each
    return np.concatenate([*halves, *_packed(codes.reshape(len(codes), -1, BLOCK), bits)], -1).reshape(len(codes), -1)


def _spread(values: np.ndarray, group: int) -> np.ndarray:
    """Repeat each group's value for each of its blocks."""
    return np.repeat(values, group // BLOCK, 1)


def _packed(codes: np.ndarray, bits: int) -> list[np.ndarray]:
    """Return codes (out, blocks, 32) as bytes: fifth bits, if any, then both halves of a block as nibbles."""
    if bits == 8:
        return [codes.astype(np.int8).view(np.uint8)]
    whole = codes.astype(np.uint8)
    low = whole & 15
    nibbles = low[..., : BLOCK // 2] | low[..., BLOCK // 2 :] << 4
    return [nibbles] if bits == 4 else [np.packbits(whole >> 4, axis=-1, bitorder="little"), nibbles]
