"""What families prepare: a small model with its text, and a few of the bundled results instead of all."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import paths
from core.cli.app import main
from core.store.store import Store
from tests.core.commands import RUN
from tests.core.tiny_folder import write_tiny_folder

BUNDLED = paths.SHIPPED_MEASURED
FILES = ("smollm2-135m-quantised.jsonl", "smollm2-135m-structured.jsonl")


@dataclass(frozen=True)
class Machine:
    """A folder with `tiny` and `text.txt`, their results, and a few bundled rows."""

    folder: Path
    results: Path
    keys: tuple[str, ...]  # of all results, the user's own first

    def copy_results(self, place: Path) -> Path:
        """Copy the results for one try, and make the copy those of this process."""
        copied = place / "results"
        shutil.copytree(self.results, copied)
        os.environ["SLIMSCOPE_RESULTS"] = str(copied)
        return copied

    def enter(self, place: Path) -> None:
        """Make a try's folder the current one, with links to model and text, a copy of the results and a cache."""
        for name in ("tiny", "text.txt"):
            (place / name).symlink_to(self.folder / name)
        self.copy_results(place)
        os.environ["SLIMSCOPE_CACHE"] = str(place / "cache")
        os.chdir(place)


def prepare_machine(folder: Path) -> Machine:
    """Write the model and few bundled rows, and run a variant of the model; this process has them from here on."""
    write_tiny_folder(folder)
    rows = use_few_bundled(folder / "bundled")
    os.chdir(folder)
    own = folder / "results"
    if main([*RUN, "--json"]) != 0:
        raise RuntimeError("The variant that all tries start from could not be measured.")
    local = sorted(Store().local_keys())
    keys = (*local, *(row["variant"]["key"] for row in rows))
    for words in (["results", "--csv"], ["compare", *local], ["laws"], ["methods"]):
        main(words)  # imports what each try would import again
    return Machine(folder, own, keys)


def use_few_bundled(place: Path, rows: int = 4) -> list[dict[str, Any]]:
    """Let this process read a few bundled rows of each of `FILES`, the dense model's among them; return them."""
    place.mkdir()
    kept = []
    for name in FILES:
        lines = [json.loads(line) for line in (BUNDLED / name).read_text().splitlines()[:rows]]
        (place / name).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        kept += lines
    paths.SHIPPED_MEASURED = place
    return kept
