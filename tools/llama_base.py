"""The base file of llama.cpp's `--kl-divergence-base`: the tokens of a text and a model's log-probabilities in 16 bits.

After a magic word it has three int32 (window length L, vocabulary V, windows N), the tokens, and a row per scored
position. A row has two fp32, scale and lowest value, and a uint16 code per token of the vocabulary, padded to an even
number. A code stands for code * scale + lowest. llama.cpp only scores the second half of each window.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

MAGIC = b"_logits_"
HEADER = 4  # uint16 of a row before its codes


@dataclass(frozen=True)
class BaseFile:
    """The content of a base file."""

    tokens: Tensor  # (N, L) int64
    rows: np.ndarray  # (N, scored, HEADER + V, rounded up to an even number) uint16
    vocabulary: int

    def log_probabilities(self, window: int) -> Tensor:
        """Return the log-probabilities of every next token at the scored positions of a window, (scored, V) fp32."""
        rows = self.rows[window]
        scale, lowest = rows[:, :HEADER].copy().view(np.float32).T[..., None]  # (scored, 1) each
        return torch.from_numpy(scale * rows[:, HEADER : HEADER + self.vocabulary] + lowest)


def read_base(file: Path) -> BaseFile:
    """Read a base file; its rows are mapped from the disk.

    Raises:
        ValueError: It is no base file, or an incomplete one.
    """
    with file.open("rb") as opened:
        if opened.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"{file} is not a base file of llama.cpp; write one with --kl-divergence-base.")
        length, vocabulary, count = np.frombuffer(opened.read(12), np.int32).tolist()
        tokens = np.frombuffer(opened.read(4 * count * length), np.int32).reshape(count, length)
        start = opened.tell()
    shape = count, length - 1 - first_scored(length), HEADER + vocabulary + vocabulary % 2
    rows = np.memmap(file, np.uint16, "r", start, shape)
    return BaseFile(torch.from_numpy(tokens.astype(np.int64)), rows, vocabulary)


def first_scored(length: int) -> int:
    """Return the first position of a window of `length` tokens whose next token llama.cpp scores."""
    return length // 2
