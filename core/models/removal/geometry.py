"""The units of a decoder block that structured pruning removes: attention heads and FFN channels.

A query head (with the key and value head it reads) and an FFN channel are coupled across matrices: rows of q, k, v,
gate and up, columns of o and down. Query head i reads key-value head floor(i / group).

If query heads share key-value heads, an attention *step* is the smallest removal that leaves a regular model. It is a
whole group (mode `groups`), or one query head of every group (mode `even`).
"""

from dataclasses import dataclass
from typing import Literal

Mode = Literal["auto", "groups", "even"]
LEAST_GROUPS = 8  # minimum key-value heads for `auto` to remove whole groups


@dataclass(frozen=True)
class Geometry:
    """The sizes of one block; weights are those of its linears, without biases."""

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
        """The number of attention steps that can be removed so that one remains."""
        return (self.kv_heads if self.mode == "groups" else self.group) - 1

    @property
    def step_weights(self) -> int:
        """Weights that one attention step removes."""
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
    """Return how attention shrinks; `auto` removes whole groups if there are many, or if heads share nothing."""
    if mode != "auto":
        return mode
    return "groups" if kv_heads >= LEAST_GROUPS or kv_heads == query_heads else "even"
