"""What the tests of the command line share."""

import shutil
from pathlib import Path

import pytest

WORDS = [f"w{i}" for i in range(96)]  # of the tiny model and its text

RUN = ["run", "./tiny", "sparsegpt", "--calibration", "text.txt:4x32", "--perplexity", "text.txt@32:4"]
SWEEP = ["sweep", "--models", "./tiny", "--calibration", "text.txt:2x32", "--perplexity", "text.txt@32:2"]


def and_then(stages: str) -> list[str]:
    """Return the command of `RUN` with more stages."""
    command = list(RUN)
    command[2] += f"+{stages}"
    return command


def finish(place: Path, folder: Path, *commands: list[str]) -> Path:
    """Run commands in the folder of the model, on an empty machine whose results and cache are in `place`."""
    from core.base import paths
    from core.cli.app import main

    with pytest.MonkeyPatch.context() as patch:
        for name in ("results", "cache"):
            patch.setenv(f"SLIMSCOPE_{name.upper()}", str(place / name))
        for name in ("SLIMSCOPE_DATA", "SLIMSCOPE_DB"):
            patch.delenv(name, raising=False)
        patch.setattr(paths, "SHIPPED_MEASURED", place / "measured")
        patch.chdir(folder)
        for command in commands:
            assert main(command) == 0
    return place


def copy_machine(finished: Path, place: Path) -> None:
    """Copy the results and the cache of `finish` to a test's own place, which may change them."""
    for name in ("results", "cache"):
        shutil.copytree(finished / name, place / name, dirs_exist_ok=True)
