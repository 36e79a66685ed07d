"""A model folder that changes before its run, during it, or is deleted during it."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.engine.runs import run
from core.errors import UserError
from core.request.complete import complete
from core.specs import Perplexity
from core.store.store import Store
from tests.attacks.family import Family
from tests.attacks.machine import Machine, prepare_machine
from tests.core.tiny import tiny

TEXT = "text.txt@32:4"


@dataclass(frozen=True)
class Case:
    """A change of a folder, and whether it comes during the run instead of before it."""

    change: Callable[[Path], object]
    during: bool


def other_weights(folder: Path) -> None:
    """Put the weights of another model into a folder."""
    (folder / "model.safetensors").unlink()
    tiny("llama-gqa", seed=1).save_pretrained(folder)


CASES = {
    "before": Case(other_weights, False),
    "during": Case(other_weights, True),
    "deleted": Case(shutil.rmtree, True),
}


def measured(folder: Path, place: Path, case: Case | None) -> float | None:
    """Return the perplexity of a run in which a case happens; None where it is refused in a sentence."""
    os.environ.update(SLIMSCOPE_CACHE=str(place / "cache"), SLIMSCOPE_RESULTS=str(place / "results"))
    spec = complete(str(folder), "magnitude@0.5", perplexity=[Perplexity.parse(TEXT)])
    happened = case is None or not case.during
    if case and happened:
        case.change(folder)

    def progress(stage: str, done: int, total: int, detail: str = "") -> None:
        nonlocal happened
        if not happened:
            happened = True
            assert case is not None
            case.change(folder)

    try:
        result = run(spec, Store(), progress)
    except UserError as error:
        assert str(error).strip()
        return None
    return next(row.value for row in result.measurements if row.metric == "perplexity")


def keeps_its_number(given: tuple[Machine, str], draw: random.Random, place: Path) -> str | None:
    """Compare the number of a run with that of the unchanged folder."""
    machine, name = given
    os.chdir(machine.folder)
    folder = place / "tiny"
    shutil.copytree(machine.folder / "tiny", folder)
    expected = measured(folder, place / "first", None)
    found = measured(folder, place / "second", CASES[name])
    if found is not None and found != expected:
        return f"{name}: the run gives {found}, and the unchanged folder {expected}."
    return None


FAMILIES = (Family("changed-folder", len(CASES), keeps_its_number, prepare_machine, cases=tuple(CASES), isolated=True),)
