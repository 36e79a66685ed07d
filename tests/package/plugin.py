"""A package outside the project with a method, as an installer leaves it: modules and their metadata in one folder."""

from pathlib import Path

MODULE = """
import torch

from core.methods.base import Method
from core.methods.terms import NEUTRAL
from core.methods.unstructured.scored import ScoreMethod


class RandomPruning(ScoreMethod):
    name = "random"
    label = "Random"
    summary = "Zeroes weights at random."
    idea = "Each weight has the same chance to become zero."
    formulas = ("S_{ij} = u_{ij}",)
    colour = NEUTRAL
    draws = True

    def score(self, weight, statistics):
        return torch.rand(weight.shape, generator=statistics.generator)


class Kindless(Method):
    name = "kindless"


class Nameless(RandomPruning):
    name = None


class Chained(RandomPruning):
    name = "a+b@c,d="


class Leaving(RandomPruning):
    name = "leaving"

    def score(self, weight, statistics):
        raise SystemExit(3)


class Undefined(RandomPruning):
    name = "undefined"

    def score(self, weight, statistics):
        return torch.full_like(weight, torch.nan)
"""
ENTRIES = """[slimscope.methods]
random = random_pruning:RandomPruning
broken = random_pruning.absent:Nothing
kindless = random_pruning:Kindless
taken = core.methods.unstructured.wanda:Wanda
nameless = random_pruning:Nameless
chained = random_pruning:Chained
leaving = random_pruning:Leaving
undefined = random_pruning:Undefined
"""


def write_plugin(place: Path) -> Path:
    """Write a package with a method that works, two that fail in their score, and five that cannot be used.

    These fail to import, are of no kind, and have a taken name, none, and one with characters of chains.
    """
    (place / "random_pruning.py").write_text(MODULE)
    known = place / "random_pruning-1.0.dist-info"
    known.mkdir()
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: random-pruning\nVersion: 1.0\n")
    (known / "entry_points.txt").write_text(ENTRIES)
    return place
