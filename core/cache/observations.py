"""What a method observed of a whole model, kept in the user cache: gradients, sums of inputs, singular values.

It depends on the model, the calibration text and the kind of observation, and not on the ratio: the points of a curve
share it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.cache.checksums import intact
from core.cache.folders import keep
from core.paths import cache_dir
from core.specs import Stage, canonical_json, sha256

VERSION = 2  # of what the tensors mean
FILE = "observed.safetensors"

Tensors = dict[str, Tensor]


def observed(before: str | None, stage: Stage, kinds: Sequence[str], observe: Callable[[], Tensors]) -> Tensors:
    """Return `observe()`, or what was observed of this model and text before, if any of these `kinds` was.

    The first kind is what `observe` gives.
    `before` is the key of the variant that is observed; without one nothing is kept.
    """
    if before is None:
        return observe()
    what = {"version": VERSION, "calibration": str(stage.calibration), "seed": stage.seed, "layers": stage.layers}
    root = cache_dir() / "observed"
    folders = [root / sha256(before, canonical_json(what | {"kind": kind})) for kind in kinds]
    for folder in folders:
        if (found := _load(folder)) is not None:
            return found
    tensors = observe()
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    keep(folders[0], size, lambda place: save_file(tensors, place / FILE))
    return tensors


def _load(folder: Path) -> Tensors | None:
    """Return the kept tensors; None where there are none, or they are damaged."""
    try:
        tensors = load_file(folder / FILE) if intact(folder) else None
        os.utime(folder)
    except (OSError, SafetensorError):
        tensors = None
    if tensors is None:
        shutil.rmtree(folder, ignore_errors=True)
    return tensors
