"""Terms of a method's declaration: family, citation, data requirement, and effect on earlier stages."""

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
# Earlier stages' zeros that survive a stage: none, those of the remaining weights, or also their N:M pattern.
Keeps = Literal["nothing", "zeros", "all"]
# Places of weights: linears in blocks; the embedding and the head; convolutions, which no language model has.
Place = Literal["linears", "tables", "convolutions"]

NEUTRAL = -1  # the page's text colour instead of a palette index


class Citation(Frozen):
    title: str
    authors: str
    year: int
    url: str
    part: str = ""  # part of the paper that the method follows, such as `equation 1`
