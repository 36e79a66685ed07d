"""Where each stage stands among the ways to make a model smaller, the one map of them for people.

A stage's place follows from its declaration: from its family and, of what trains, from what it learns of a teacher.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from core.methods.base import Method
from core.methods.terms import Family
from core.training.base import Recovery


class Leaf(NamedTuple):
    """Methods of one kind."""

    name: str
    about: str  # a sentence


class Branch(NamedTuple):
    """Kinds that have one thing in common."""

    name: str
    about: str  # a sentence
    leaves: tuple[Leaf, ...]


class Kind(NamedTuple):
    """A kind that has methods, and these."""

    leaf: Leaf
    methods: tuple[type[Method], ...]


WEIGHTS = Leaf("Weights", "Single weights become zero and the matrices keep their shapes.")
NEURONS = Leaf("Neurons", "Heads, channels, directions or whole blocks are cut out, so matrices get smaller.")
LOW_RANK = Leaf("Low rank", "Every matrix becomes the product of two thin ones.")
EMBEDDINGS = Leaf("Embeddings", "The table of token vectors becomes products of small factors.")
CONVOLUTIONS = Leaf(
    "Convolutions",
    "Every convolution becomes two smaller ones, in audio and vision encoders; language models have none.",
)
QUANTISATION = Leaf("Quantisation", "Weights are kept as whole numbers of a few bits and a scale.")
WHITE_BOX = Leaf("White box", "The teacher's predictions are seen, token by token.")
BLACK_BOX = Leaf("Black box", "Only the text of the teacher's answers is seen.")
RECONSTRUCTION = Leaf("Reconstruction", "Weights that a mask has kept are solved for again, without training.")
FINE_TUNING = Leaf("Fine-tuning", "What is left is trained on a text.")

BRANCHES = (
    Branch("Pruning", "Parts of the model go.", (WEIGHTS, NEURONS)),
    Branch("Decomposition", "Matrices become products of smaller ones.", (LOW_RANK, EMBEDDINGS, CONVOLUTIONS)),
    Branch("Parameter type", "Numbers take fewer bits.", (QUANTISATION,)),
    Branch("Distillation", "A compressed model learns from a teacher.", (WHITE_BOX, BLACK_BOX)),
    Branch("Repair", "What a method has left is made better, without a teacher.", (RECONSTRUCTION, FINE_TUNING)),
)
OF_FAMILY: dict[Family, Leaf] = {
    "unstructured": WEIGHTS,
    "structured": NEURONS,
    "low rank": LOW_RANK,
    "embedding": EMBEDDINGS,
    "convolution": CONVOLUTIONS,
    "quantisation": QUANTISATION,
    "reconstruction": RECONSTRUCTION,
}


def leaf_of(method: type[Method]) -> Leaf | None:
    """Return the kind of a stage; None of the model as it is."""
    if issubclass(method, Recovery):
        return (WHITE_BOX if method.compares else BLACK_BOX) if method.has_teacher else FINE_TUNING
    return OF_FAMILY.get(method.family)


def populated_branches(stages: Sequence[type[Method]]) -> list[tuple[Branch, list[Kind]]]:
    """Return the branches that have methods among these, each with its kinds that do."""
    found = []
    for branch in BRANCHES:
        kinds = [Kind(leaf, tuple(one for one in stages if leaf_of(one) is leaf)) for leaf in branch.leaves]
        if kinds := [kind for kind in kinds if kind.methods]:
            found.append((branch, kinds))
    return found
