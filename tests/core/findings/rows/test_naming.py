"""The names of points in addresses."""

import pandas as pd
import pytest

from core.findings.rows import naming


def test_points_with_the_same_chain_have_different_addresses():
    shared = pd.DataFrame({"key": ["a", "b"], "chain": ["wanda@0.5+lora"] * 2, "series_label": ["x", "x (cancelled)"]})
    found = naming.addresses(shared)
    assert found == {"a": "wanda@0.5+lora", "b": "wanda@0.5+lora (x (cancelled))"}
    assert naming.addressed(found, "wanda@0.5 lora") == "a" and naming.addressed(found, "wanda@0.5") is None


@pytest.mark.parametrize(
    ("linked", "meant"),
    [
        ("RTN, 4 bit, ptb:4x8, seed 2 · rtn@4bit", "two"),
        ("RTN, 4 bit · rtn@4bit", "default"),
        ("RTN, 4 bit, ptb:4x8 · rtn@4bit", "default"),
        ("rtn@4bit", "default"),
        ("Wanda, 50 % · wanda@0.5", "first"),  # the default seed is not stored
        ("HQQ, 3 bit · hqq@3bit", "plain"),
        ("hqq@3bit", "plain"),
        ("RTN, 3 bit · rtn@3bit", None),
    ],
)
def test_a_link_without_a_seed_means_the_default_seed(linked, meant):
    names = {
        "two": "RTN, 4 bit, ptb:4x8, seed 2 · rtn@4bit",
        "default": "RTN, 4 bit, ptb:4x8, seed 0 · rtn@4bit",
        "first": "Wanda, 50 %, seed 1 · wanda@0.5",
        "other": "Wanda, 50 %, seed 2 · wanda@0.5",
        "plain": "HQQ, 3 bit · hqq@3bit",
        "same": "HQQ, 3 bit, ptb:4x8, seed 0 · hqq@3bit",
    }
    assert naming.addressed(names, linked) == meant
