"""One forward pass of a model that keeps its keys and values in a cache."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import Cache, PreTrainedModel


class Step(NamedTuple):
    """What a forward pass returns."""

    logits: Tensor  # (B, L, vocabulary), or (B, 1, vocabulary) of the last position
    cache: Cache


def step(model: PreTrainedModel, ids: Tensor, cache: Cache | None = None, last: bool = False) -> Step:
    """Run a model on tokens that follow those in a cache.

    Args:
        model: Causal LM.
        ids: Token ids, (B, L).
        cache: Keys and values of the tokens before; the pass adds to it.
        last: Compute only the logits of the last position.
    """
    # transformers 5 renamed `past_key_values`, and its next versions drop the old name.
    name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
    output = model(input_ids=ids, use_cache=True, logits_to_keep=int(last), **{name: cache})
    return Step(output.logits, getattr(output, name))
