"""Traits: what a stage leaves in the model, which later stages and export formats accept or refuse.

Chain checks and exports compare sets of traits, so they name no method.
"""

from collections.abc import Mapping
from typing import Literal, get_args

Trait = Literal[
    "zeros",  # weights of linears that must stay zero
    "pattern",  # N:M among these zeros
    "grid",  # linears with weights of a few bits
    "table grid",  # the same of embedding and head
    "shapes",  # fewer blocks or smaller linears
    "factors",  # two factors in place of a linear
    "embedding",  # factors in place of the embedding
    "convolutions",  # two convolutions in place of one
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
    "convolutions": "needs whole convolutions, which {label} factored",
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
    "convolutions": "factored convolutions",
    "rotation": "rotation",
    "basis": "rotated blocks",
    "runtime": "run-time change",
}
