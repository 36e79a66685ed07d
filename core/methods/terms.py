"""Terms of a method's declaration: family, citation, data requirement, and places of weights."""

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
    "runtime",
]
# What a method decides about; the engine has a runner for each kind. A base class of methods declares its kind.
Kind = Literal[
    "dense",
    "linears",
    "blocks of linears",
    "tables",
    "convolutions",
    "embedding",
    "units",
    "units in sequence",
    "factored units",
    "blocks",
    "experts",
    "hidden size",
    "slices",
    "rotation",
    "pruning in training",
    "recovery",
    "runtime",
]
Reads = Literal["nothing", "calibration", "training"]
# Places of weights: linears in blocks; the embedding and the head; convolutions, which no language model has.
Place = Literal["linears", "tables", "convolutions"]
# What the blocks of a model must have: heads or FFN channels to remove, a structure to slice or rotate, or experts.
Structure = Literal["heads", "channels", "slices", "rotation", "experts"]

NEUTRAL = -1  # the page's text colour instead of a palette index


class Citation(Frozen):
    title: str
    authors: str
    year: int
    url: str
    part: str = ""  # part of the paper that the method follows, such as `equation 1`
