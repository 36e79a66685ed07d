"""Base files as llama.cpp writes them, byte by byte."""

import struct

import numpy as np


def base_bytes(tokens, logits):
    """Return the bytes of a base file for tokens (N, L) and the logits of all positions, (N, L, V)."""
    count, length = tokens.shape
    vocabulary = logits.shape[2]
    parts = [b"_logits_", struct.pack("<3i", length, vocabulary, count), tokens.numpy().astype("<i4").tobytes()]
    for row in logits[:, length // 2 : -1].float().numpy().reshape(-1, vocabulary):
        highest = row.max()
        lowest = max(row.min(), highest - 16)
        scale = (highest - lowest) / 65535
        total = np.log(np.exp(row - highest).sum())
        codes = np.rint((row.clip(lowest) - lowest) / scale).astype("<u2")
        parts += [struct.pack("<2f", scale, lowest - highest - total), codes.tobytes(), b"\0\0" * (vocabulary % 2)]
    return b"".join(parts)
