"""What a method says of itself: its family and citation, and what it reads, keeps and changes."""

from typing import Literal

from core.specs import Frozen

Family = Literal[
    "dense",
    "unstructured",
    "structured",
    "low rank",
    "convolution",
    "quantisation",
    "embedding",
    "reconstruction",
    "recovery",
]
Reads = Literal["nothing", "calibration", "training"]
# What of earlier stages' zeros outlives a stage: none, those of the weights that stay, or their N:M pattern, too.
Keeps = Literal["nothing", "zeros", "all"]
# Weights of a model: linears in blocks; the embedding and the head; convolutions, which no language model has.
Place = Literal["linears", "tables", "convolutions"]

NEUTRAL = -1  # the colour of a page's text, in place of one of the palette


class Citation(Frozen):
    title: str
    authors: str
    year: int
    url: str
    part: str = ""  # what of the paper the method follows, such as `equation 1`
