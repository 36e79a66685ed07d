"""The import contract of the method families covers all of them."""

import tomllib

from core.base.paths import PROJECT


def test_the_independence_contract_lists_every_family():
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (listed,) = (contract["modules"] for contract in contracts if contract["type"] == "independence")
    folders = sorted(folder.parent.name for folder in (PROJECT / "core" / "methods").glob("*/__init__.py"))
    families = [f"core.methods.{folder}" for folder in folders if folder != "numerics"]  # functions of several families
    assert listed == families and len(families) == 6
