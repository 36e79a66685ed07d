"""Smoke mode of the benchmarks: `--smoke` runs one on a tiny random model, texts and tasks, to test that it completes.

A benchmark calls `run(main, SMOKE)`, where `SMOKE` contains small arguments of `main`.
"""

import inspect
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import typer

from core.data.cards import SEVEN, TASKS
from core.data.texts import CORPORA
from tests.core.commands import WORDS
from tests.core.data.task_rows import ROWS, write
from tests.core.tiny_folder import write_tiny_folder

FLAG = "--smoke"
DOCUMENTS = 3  # of each task


def run(main: Callable[..., None], tiny: Mapping[str, Any]) -> None:
    """Run a benchmark as a command, or in smoke mode if `--smoke` is its argument."""
    if sys.argv[1:] == [FLAG]:
        smoke(main, tiny)
    else:
        typer.run(main)


def smoke(main: Callable[..., None], tiny: Mapping[str, Any]) -> None:
    """Run a benchmark on tiny inputs with small arguments."""
    with tiny_inputs() as model:
        of_model = {"model": str(model)} if "model" in inspect.signature(main).parameters else {}
        main(**{**of_model, **tiny})


@contextmanager
def tiny_inputs() -> Iterator[Path]:
    """Yield the folder of a tiny model, with temporary folders for data, cache and results."""
    with TemporaryDirectory() as temporary:
        place, draw = Path(temporary), random.Random(0)
        write_tiny_folder(place)
        for corpus in CORPORA:
            if not (corpus.instructions or corpus.embedded):
                write(place / corpus.file, [{corpus.column: " ".join(draw.choices(WORDS, k=100))} for _ in range(30)])
        for task in SEVEN:
            write(place / TASKS[task].file, ROWS[task] * DOCUMENTS)
        folders = {f"SLIMSCOPE_{name}": str(place / name.lower()) for name in ("CACHE", "RESULTS")}
        (place / "results").mkdir()
        with patch.dict(os.environ, {"SLIMSCOPE_DATA": temporary, "HF_HUB_OFFLINE": "1", **folders}):
            yield place / "tiny"
