"""ShortGPT: removes the whole blocks that change the hidden states least."""

from collections.abc import Sequence

from core.methods.structured.base import BlockRemovalMethod, StructuredBlockView
from core.methods.structured.budget import blocks_left
from core.methods.terms import Citation


class ShortGPT(BlockRemovalMethod):
    name = "shortgpt"
    label = "ShortGPT"
    citation = Citation(
        title="ShortGPT: Layers in Large Language Models are More Redundant Than You Expect",
        authors="Men et al.",
        year=2024,
        url="https://arxiv.org/abs/2403.03853",
        part="equation 1",
    )
    summary = "Removes the whole blocks whose output is most similar to their input."
    idea = (
        "A block whose output is almost its input does little. ShortGPT removes whole blocks, first those that "
        "change the direction of the hidden states least on the calibration data."
    )
    formulas = (
        r"S_b = 1 - \frac{1}{N} \sum_t "
        r"\frac{h_{b,t}^\top\, h_{b+1,t}}{\lVert h_{b,t} \rVert_2\, \lVert h_{b+1,t} \rVert_2}",
    )
    symbols = {
        "S_b": "influence of a block; the lowest are removed",
        "h_{b,t}": "hidden state of token t before block b",
        "N": "number of tokens",
    }
    data_requirement = "calibration"
    observes = "similarity"

    def keep_blocks(self, views: Sequence[StructuredBlockView], ratio: float) -> list[int]:
        """Keep the blocks of least similarity; the ratio is met to half a block."""
        stay = blocks_left(len(views), ratio)
        by_influence = sorted(range(len(views)), key=lambda index: views[index].similarity)
        return sorted(by_influence[:stay])
