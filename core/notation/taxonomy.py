"""The taxonomy of compression methods, as the pages show it.

The family of a stage determines its kind. The kind of a recovery follows from its use of a teacher.
"""

from collections.abc import Sequence
from typing import NamedTuple

from core.methods.base import Method
from core.methods.terms import Family
from core.training.base import Recovery


class Leaf(NamedTuple):
    """One kind of methods."""

    name: str
    about: str  # a sentence
    family: Family | None = None  # of its methods; None: recoveries, some with a teacher


class Branch(NamedTuple):
    """A group of kinds."""

    name: str
    about: str  # a sentence
    leaves: tuple[Leaf, ...]


class Kind(NamedTuple):
    """A kind with its methods."""

    leaf: Leaf
    methods: tuple[type[Method], ...]


WEIGHTS = Leaf("Weights", "Sets single weights to zero; the matrices keep their shapes.", "unstructured")
NEURONS = Leaf("Neurons", "Removes heads, channels, directions or whole blocks, so the matrices shrink.", "structured")
LOW_RANK = Leaf("Low rank", "Factors every matrix into two thin ones.", "low rank")
EMBEDDINGS = Leaf("Embeddings", "Replaces the table of token vectors by products of small factors.", "embedding")
QUANTISATION = Leaf("Quantisation", "Stores weights as integers of a few bits, with scales.", "quantisation")
WHITE_BOX = Leaf("White box", "The compressed model learns from the teacher's prediction of every token.")
BLACK_BOX = Leaf("Black box", "The compressed model learns from the text of the teacher's answers.")
RECONSTRUCTION = Leaf("Reconstruction", "Re-solves the weights that a mask keeps, without training.", "reconstruction")
RUNTIME = Leaf("Runtime", "Changes how the model computes; the weights stay the same.", "runtime")
FINE_TUNING = Leaf("Fine-tuning", "Trains the compressed model on text.")

BRANCHES = (
    Branch("Pruning", "Removes parts of the model.", (WEIGHTS, NEURONS)),
    Branch("Decomposition", "Replaces matrices by products of smaller ones.", (LOW_RANK, EMBEDDINGS)),
    Branch("Parameter type", "Stores numbers with fewer bits.", (QUANTISATION, RUNTIME)),
    Branch("Distillation", "A compressed model learns from a teacher.", (WHITE_BOX, BLACK_BOX)),
    Branch("Repair", "Improves a compressed model without a teacher.", (RECONSTRUCTION, FINE_TUNING)),
)


def leaf_of(method: type[Method]) -> Leaf | None:
    """Return the kind of a stage, or None for the dense model."""
    if issubclass(method, Recovery):
        return (WHITE_BOX if method.compares else BLACK_BOX) if method.has_teacher else FINE_TUNING
    return next((leaf for branch in BRANCHES for leaf in branch.leaves if leaf.family == method.family), None)


def populated_branches(stages: Sequence[type[Method]]) -> list[tuple[Branch, list[Kind]]]:
    """Return the branches and kinds that contain any of these stages."""
    found = []
    for branch in BRANCHES:
        kinds = [Kind(leaf, tuple(one for one in stages if leaf_of(one) is leaf)) for leaf in branch.leaves]
        if kinds := [kind for kind in kinds if kind.methods]:
            found.append((branch, kinds))
    return found
