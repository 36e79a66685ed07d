"""Check that the tiers together contain all tests: `python -m tools.tiers [FILE ...]`, by default for all files.

A separate process collects each tier. The tool reports tests in no tier, and tests in both `make test` and `make full`.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import pytest
import typer

from core.paths import PROJECT

COLLECT = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-o", "addopts=--strict-markers", "-m", "not gpu"]


def main(files: Annotated[list[str] | None, typer.Argument(help="Test files; default: all.")] = None) -> None:
    """Print the number of tests of each tier, and fail unless the tiers together contain all tests."""
    files = files or []
    everything = collected(*files)
    tiers = {tier: collected("--tier", tier, *files) for tier in ("quick", "test", "full")}
    for tier, found in {"all": everything, **tiers}.items():
        print(f"{tier:>5}: {len(found):5} tests of {len({one.partition('[')[0] for one in found}):4} functions")
    missing = everything - set().union(*tiers.values())
    twice, unknown = tiers["test"] & tiers["full"], set().union(*tiers.values()) - everything
    for problem, found in {"in no tier": missing, "in test and full": twice, "not among all": unknown}.items():
        for one in sorted(found):
            print(f"{problem}: {one}")
    if missing or twice or unknown:
        raise typer.Exit(1)
    print("The tiers together contain all tests; test and full share none.")


def collected(*arguments: str) -> set[str]:
    """Return the ids of the tests that pytest collects."""
    done = subprocess.run([*COLLECT, *arguments], cwd=PROJECT, capture_output=True, text=True)
    if done.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise SystemExit(done.stdout + done.stderr)
    return {line for line in done.stdout.splitlines() if "::" in line}


if __name__ == "__main__":
    typer.run(main)
