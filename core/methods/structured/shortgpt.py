"""ShortGPT: whole blocks go, those that change the hidden states least.

References: Men et al., ShortGPT: Layers in Large Language Models are More Redundant Than You Expect, 2024
(arXiv:2403.03853), equation 1: the influence of a block is 1 - E[cos(input, output)].
"""

from __future__ import annotations

from collections.abc import Sequence

from core.methods.base import Citation
from core.methods.structured.base import BlockMethod, View
from core.methods.structured.budget import blocks_left


class ShortGPT(BlockMethod):
    name = "shortgpt"
    label = "ShortGPT"
    citation = Citation(
        title="ShortGPT: Layers in Large Language Models are More Redundant Than You Expect",
        authors="Men et al.",
        year=2024,
        url="https://arxiv.org/abs/2403.03853",
    )
    summary = "Drops the whole blocks whose output is most like their input."
    colour = 2
    dash = "longdash"
    reads = "calibration"
    observes = "similarity"

    def keep_blocks(self, views: Sequence[View], ratio: float) -> list[int]:
        """Keep the blocks of least similarity; `ratio` is met to half a block."""
        stay = blocks_left(len(views), ratio)
        by_influence = sorted(range(len(views)), key=lambda index: views[index].similarity)
        return sorted(by_influence[:stay])
