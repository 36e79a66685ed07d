"""Cache of whole-model statistics: gradients, sums over inputs, singular values.

The statistics depend on the model, the calibration data and their kind, but not on the ratio. The points of a curve
share them.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.base.paths import cache_dir
from core.cache.checkpoint import Checkpoint
from core.cache.disk import intact
from core.cache.folders import keep
from core.specs import Stage, canonical_json, sha256

VERSION = 2  # of the meaning of the tensors
FILE = "observed.safetensors"

Tensors = dict[str, Tensor]


def observed(
    before: str | None, stage: Stage, kinds: Sequence[str], observe: Callable[[str | None], Tensors]
) -> Tensors:
    """Return cached statistics of any of the `kinds`, tensors by name, or compute and cache those of the first.

    Args:
        before: Key of the variant before the stage; without one nothing is cached.
        stage: Stage with the calibration data, the seed and the layers.
        kinds: Names of sufficient statistics.
        observe: Computes the statistics. It receives the name of an interrupted pass that it resumes; None for none.
    """
    if before is None:
        return observe(None)
    shared = {"version": VERSION, "calibration": str(stage.calibration), "seed": stage.seed, "layers": stage.layers}
    root = cache_dir() / "observed"
    folders = [root / sha256(before, canonical_json(shared | {"kind": kind})) for kind in kinds]
    for folder in folders:
        if (found := _load(folder)) is not None:
            return found
    tensors = observe(folders[0].name)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    keep(folders[0], size, lambda place: save_file(tensors, place / FILE))
    Checkpoint(folders[0].name).clear()
    return tensors


def _load(folder: Path) -> Tensors | None:
    """Return the cached tensors, or None if they are missing or damaged."""
    try:
        tensors = load_file(folder / FILE) if intact(folder) else None
        os.utime(folder)
    except (OSError, SafetensorError):
        tensors = None
    if tensors is None:
        shutil.rmtree(folder, ignore_errors=True)
    return tensors
