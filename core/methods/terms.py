"""Terms of a method's declaration: family, citation, data requirement, places of weights, and traits.

Traits are what a stage leaves in the model, which later stages and export formats accept or refuse. Chain checks and
exports compare sets of traits, so they name no method.
"""

from collections.abc import Mapping
from typing import Literal, get_args

from core.specs import Frozen

Family = Literal[
    "dense",
    "unstructured",
    "structured",
    "low rank",
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
# Places of weights: linears in blocks; the embedding and the head.
Place = Literal["linears", "tables"]
# What the blocks of a model must have: heads or FFN channels to remove, a structure to slice or rotate, or experts.
Structure = Literal["heads", "channels", "slices", "rotation", "experts"]

NEUTRAL = -1  # the page's text colour instead of a palette index
Trait = Literal[
    "zeros",  # weights of linears that must stay zero
    "pattern",  # N:M among these zeros
    "grid",  # linears with weights of a few bits
    "table grid",  # the same of embedding and head
    "shapes",  # fewer blocks or smaller linears
    "factors",  # two factors in place of a linear
    "embedding",  # factors in place of the embedding
    "rotation",  # hidden states rotated by one matrix
    "basis",  # hidden states in another basis in every block
    "runtime",  # another computation with the same weights
]
TRAITS: frozenset[Trait] = frozenset(get_args(Trait))
STORED: frozenset[Trait] = TRAITS - {"runtime"}  # of the weights and modules, which a checkpoint stores
GRIDS: frozenset[Trait] = frozenset({"grid", "table grid"})
# Why a method refuses a trait, after its label, in the order in which reasons are given.
REASONS: Mapping[Trait, str] = {
    "grid": "would undo the quantisation by {label}",
    "table grid": "would undo the quantisation by {label}",
    "shapes": "needs the dense shapes, which {label} changed",
    "rotation": "cannot cut the rotated hidden states of {label}",
    "embedding": "needs a whole embedding, which {label} factored",
    "pattern": "would not preserve the {amount} sparsity of {label}",
    "zeros": "would not preserve the zeros of {label}",
    "factors": "needs whole matrices, which {label} factored",
    "basis": "needs the same hidden basis in every block, and {label} rotated each block differently",
    "runtime": "may replace modules that {label} changes at run time",
}
# What a trait is called in the error of an export format, before the label of the method that leaves it.
NOUNS: Mapping[Trait, str] = {
    "zeros": "zeros",
    "pattern": "N:M sparsity",
    "grid": "quantised weights",
    "table grid": "quantised embedding",
    "shapes": "changed shapes",
    "factors": "low-rank factors",
    "embedding": "embedding factors",
    "rotation": "rotation",
    "basis": "rotated blocks",
    "runtime": "run-time change",
}


class Citation(Frozen):
    title: str
    authors: str
    year: int
    url: str
    part: str = ""  # part of the paper that the method follows, such as `equation 1`
