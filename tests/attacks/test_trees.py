"""Damaged values depend on their generator alone."""

import random

from tests.attacks.trees import as_json, mutate_tree


def test_a_damaged_tree_depends_on_its_seed_only():
    tree = {"a": [1, 2, {"b": "c"}], "d": {}, "e": []}

    def damage(seed):
        return as_json(mutate_tree(tree, random.Random(seed), most=8))

    first = [damage(seed) for seed in range(300)]
    assert [damage(seed) for seed in range(300)] == first
    assert len(set(first)) > 200
    assert tree == {"a": [1, 2, {"b": "c"}], "d": {}, "e": []}
