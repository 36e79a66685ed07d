"""The import contract of the method families covers all of them."""

import tomllib

from core.paths import PROJECT


def test_the_independence_contract_lists_every_family():
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (listed,) = (contract["modules"] for contract in contracts if contract["type"] == "independence")
    families = sorted(folder.parent.name for folder in (PROJECT / "core" / "methods").glob("*/__init__.py"))
    assert listed == [f"core.methods.{family}" for family in families] and len(families) == 6
