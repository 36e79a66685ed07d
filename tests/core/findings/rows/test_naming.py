"""The names of points in addresses."""

import pandas as pd

from core.findings.rows import naming


def test_points_with_the_same_chain_have_different_addresses():
    shared = pd.DataFrame({"key": ["a", "b"], "chain": ["wanda@0.5+lora"] * 2, "series_label": ["x", "x (cancelled)"]})
    found = naming.addresses(shared)
    assert found == {"a": "wanda@0.5+lora", "b": "wanda@0.5+lora (x (cancelled))"}
    assert naming.addressed(found, "wanda@0.5 lora") == "a" and naming.addressed(found, "wanda@0.5") is None
