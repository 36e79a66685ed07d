"""Cache of the linears that an unfinished stage has compressed, from which an interrupted run resumes.

Its key combines the key of the variant before the stage with the stage.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TypedDict

from safetensors.torch import load, save
from torch import Tensor

from core.cache.folders import CACHE_BYTES, FREE_BYTES, make_room, read_small, write_small, writing
from core.paths import cache_dir
from core.specs import Stage, canonical_json, sha256

ROOT = "linears"


class Facts(TypedDict):
    """The facts about a finished linear."""

    damping: float | None
    note: str | None
    seconds: float


class Finished:
    """The finished linears of a stage on the variant with the key `before`; without a key nothing is cached."""

    def __init__(self, before: str | None, stage: Stage):
        self.folder: Path | None = None
        if before is not None:
            self.folder = cache_dir() / ROOT / sha256(before, canonical_json(stage.model_dump(exclude_none=True)))

    def read(self, name: str) -> tuple[dict[str, Tensor], Facts] | None:
        """Return the tensors (on the CPU) and facts of a linear; None if they are not cached or damaged."""
        content = self.folder and read_small(self.folder / sha256(name))
        if not content:
            return None
        facts, _, tensors = content.partition(b"\n")
        return load(tensors), json.loads(facts)

    def write(self, name: str, tensors: dict[str, Tensor], facts: Facts) -> None:
        """Cache the tensors and facts of a linear if the disk has room."""
        if self.folder is None:
            return
        root = self.folder.parent
        with writing(root):
            if not self.folder.is_dir():
                make_room(root, CACHE_BYTES)  # deletes old stages that no run resumed
            full = shutil.disk_usage(root).free < FREE_BYTES
        if not full:
            ours = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
            write_small(self.folder / sha256(name), json.dumps(facts).encode() + b"\n" + save(ours))

    def clear(self) -> None:
        """Delete the cached linears once the stage is finished."""
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
