"""The units of a decoder block that structured pruning removes: attention heads and FFN channels.

A query head with the key and value head it reads, and an FFN channel, are coupled across matrices: rows of q, k, v,
gate and up, columns of o and down. Query head i reads key-value head floor(i / group). Where key-value heads are
shared, an attention *step* is the least that can go and leave a regular model: a whole group (mode `groups`), or one
query head out of every group (mode `even`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["auto", "groups", "even"]
LEAST_GROUPS = 8  # key-value heads from which on whole groups are fine-grained enough


@dataclass(frozen=True)
class Geometry:
    """The sizes of one block. Weights are those of its linears, biases not counted."""

    hidden: int
    query_heads: int
    kv_heads: int
    head_dim: int
    channels: int
    ffn_matrices: int  # 3 with a gate, 2 without
    mode: Literal["groups", "even"] = "groups"

    @property
    def group(self) -> int:
        """Query heads that share one key-value head."""
        return self.query_heads // self.kv_heads

    @property
    def steps(self) -> int:
        """How many attention steps can go and leave one."""
        return (self.kv_heads if self.mode == "groups" else self.group) - 1

    @property
    def step_weights(self) -> int:
        """Weights that go with one attention step."""
        heads = 2 * (self.group + 1) if self.mode == "groups" else 2 * self.kv_heads
        return heads * self.hidden * self.head_dim

    @property
    def attention_weights(self) -> int:
        return 2 * self.hidden * self.head_dim * (self.query_heads + self.kv_heads)

    @property
    def channel_weights(self) -> int:
        return self.ffn_matrices * self.hidden

    @property
    def weights(self) -> int:
        return self.attention_weights + self.channels * self.channel_weights


def choose_mode(mode: Mode, query_heads: int, kv_heads: int) -> Literal["groups", "even"]:
    """Return how attention shrinks; `auto` takes whole groups where there are many, or where heads share nothing."""
    if mode != "auto":
        return mode
    return "groups" if kv_heads >= LEAST_GROUPS or kv_heads == query_heads else "even"
