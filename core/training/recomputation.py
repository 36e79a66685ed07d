"""Backward passes that store less: blocks run again instead of storing their activations."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from core.models.parts.blocks import find_blocks


@contextmanager
def recomputed(model: PreTrainedModel, wanted: bool = True) -> Iterator[None]:
    """Let each block store only its input in a forward pass, and run again in the backward pass, if `wanted`.

    Its random numbers are the same again, so the gradients are equal.
    """
    blocks = list(find_blocks(model).holder) if wanted else []
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward
