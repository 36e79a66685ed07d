"""Scales that a block's weights take and undo: on every architecture the model computes the same."""

import pytest
import torch

from core.context import Context
from core.engine.walking.walker import make_walker
from core.models.parts.blocks import find_blocks
from core.models.parts.folds import find_folds
from tests.core.tiny import ARCHITECTURES, OTHERS, layout_of, tiny, windows

ATTENTION, FFN, DOWN, OUT = ("q", "k", "v"), ("gate", "up"), ("down",), ("o",)
FOLDED = {  # by what is scaled; up reaches down through more than a product where a GELU lies between
    "llama-gqa": [ATTENTION, FFN, DOWN],
    "llama-mha": [ATTENTION, FFN, OUT, DOWN],
    "opt": [("k", "v", "q"), ("up",), OUT, DOWN],
    "gpt2": [("qkv",), ("up",)],
    "gemma2": [ATTENTION, FFN, DOWN],
    "phi3": [("qkv",), ("gate_up",)],
    "cohere": [(*ATTENTION, *FFN), DOWN],
    "olmo2": [DOWN],  # its norms come after what they are of
}


def scaled(model, factors):
    """Scale all folds of a model by factors of their width, and return the roles that read each, by block."""
    blocks, found, context = find_blocks(model), [], Context(torch.device("cpu"))
    walker = make_walker(model, blocks, windows(), lambda role: frozenset(), context, list(blocks.all_linears()))

    def scale(index, run, dense):
        folds = find_folds(blocks.holder[index], blocks.linears(index), lambda: run(0))
        for fold in folds:
            fold.scale(factors(fold.readers[0].shape[1]))
        found.append([tuple(reader.role for reader in fold.readers) for fold in folds])

    walker.change(scale)
    return found


@pytest.mark.matrix(name=lambda name: name if name in FOLDED else layout_of(name))
@pytest.mark.parametrize("name", [*ARCHITECTURES, *OTHERS])
@torch.no_grad()
def test_scaled_folds_preserve_the_outputs(name):
    model, draw = tiny(name), torch.Generator().manual_seed(0)
    before = model(windows()).logits
    found = scaled(model, lambda width: torch.rand(width, generator=draw) + 0.5)
    torch.testing.assert_close(model(windows()).logits, before, rtol=1e-4, atol=1e-4)
    assert all(one == FOLDED.get(name, found[0]) for one in found) and all(found)
