"""The linears that a stage has finished, kept in the user cache until all of it is: an interrupted one goes on there.

They lie under the key of the variant that the stage makes, which follows from the variant before and the stage.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from core.cache.folders import CACHE_BYTES, FREE_BYTES, make_room, read_small, write_small, writing
from core.paths import cache_dir
from core.specs import Stage, canonical_json, sha256

ROOT = "linears"


class Finished:
    """The finished linears of a stage on the variant of a key; without a key nothing is kept."""

    def __init__(self, before: str | None, stage: Stage):
        self.folder: Path | None = None
        if before is not None:
            self.folder = cache_dir() / ROOT / sha256(before, canonical_json(stage.model_dump(exclude_none=True)))

    def read(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the tensors, on the CPU, and facts of a linear; None where none were kept, or they are damaged."""
        content = self.folder and read_small(self.folder / sha256(name))
        if not content:
            return None
        facts, _, tensors = content.partition(b"\n")
        return load(tensors), json.loads(facts)

    def write(self, name: str, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Keep the tensors and facts of a linear, if there is room for them."""
        if self.folder is None:
            return
        root = self.folder.parent
        with writing(root):
            if not self.folder.is_dir():
                make_room(root, CACHE_BYTES)  # where nobody went on with others
            full = shutil.disk_usage(root).free < FREE_BYTES
        if not full:
            ours = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
            write_small(self.folder / sha256(name), json.dumps(facts).encode() + b"\n" + save(ours))

    def clear(self) -> None:
        """Forget all of them: the stage is whole."""
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
