"""Hidden states of a pass through the blocks, kept in the cache of variants, where an interrupted pass resumes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open
from safetensors.torch import save_file

from core.cache.checksums import intact
from core.cache.disk import room, writing
from core.cache.folders import CACHE_BYTES, build_once, make_room
from core.paths import variants_dir

if TYPE_CHECKING:
    from torch import Tensor

ENDING = ".blocks"  # of the folder of an interrupted stage or pass
INTERVAL = 60.0  # seconds between two times at which a pass is kept
STATES, FILE = "states", "states.safetensors"


class KeptStates:
    """The states of a pass after its last kept block.

    Attributes:
        seconds: Time that interrupted passes spent on the restored blocks.
    """

    def __init__(self, name: str) -> None:
        self.seconds = 0.0
        self.folder = variants_dir() / f"{name}{ENDING}"
        self._started = self._kept = time.perf_counter()

    @property
    def due(self) -> bool:
        """Whether it is time to keep the pass."""
        return time.perf_counter() - self._kept >= INTERVAL

    def restore(self) -> tuple[int, list[Tensor]]:
        """Return the number of blocks that an interrupted pass kept, and the states after them; 0 and none without."""
        known = newest(self.folder, STATES)
        if known is None:
            return 0, []
        index, folder = known
        states, self.seconds = read_states(folder)
        return index + 1, states

    def keep(self, done: int, states: Sequence[Tensor]) -> None:
        """Keep the states after `done` blocks if it is time, and if the disk and the cache have room.

        Raises:
            StorageError: The disk is full.
        """
        if self.due and has_room(self.folder, sum(one.nbytes for one in states)):
            now = time.perf_counter()
            write_states(self.folder, done - 1, states, now - self._started + self.seconds)
            self._kept = now

    def clear(self) -> None:
        """Delete the states once the pass is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)


def has_room(folder: Path, size: int) -> bool:
    """Return whether `size` bytes more can be kept in a folder, for which its siblings make room."""
    root = folder.parent
    with writing(folder):
        own = sum(file.stat().st_size for file in folder.rglob("*"))
        if size > room(root):
            return False
        folder.touch()  # others are deleted first
        make_room(root, max(own, CACHE_BYTES - size))
    return True


def write_states(root: Path, index: int, states: Sequence[Tensor], seconds: float = 0.0) -> None:
    """Write the states after a block, and the seconds until then; afterwards delete older ones."""
    tensors = {str(place): one.detach().cpu().contiguous() for place, one in enumerate(states)}
    replace_newest(root, STATES, index, lambda place: save_file(tensors, place / FILE, {"seconds": str(seconds)}))


def newest(root: Path, kind: str) -> tuple[int, Path] | None:
    """Return the number and the folder of what `replace_newest` wrote; None if it is missing or damaged."""
    folders = (folder for folder in root.glob(f"{kind}-*") if folder.is_dir() and intact(folder))
    return next(((int(folder.name.rpartition("-")[2]), folder) for folder in folders), None)


def replace_newest(root: Path, kind: str, index: int, write: Callable[[Path], None]) -> None:
    """Write the folder of this kind and number; afterwards delete those of other numbers."""
    own = root / f"{kind}-{index}"
    shutil.rmtree(own, ignore_errors=True)
    build_once(own, write)
    for other in root.glob(f"{kind}-*"):
        if other.is_dir() and other != own:
            shutil.rmtree(other, ignore_errors=True)


def read_states(folder: Path) -> tuple[list[Tensor], float]:
    """Return the states of `write_states`, mapped from their file, and the seconds."""
    with safe_open(folder / FILE, "pt") as file:
        states = [file.get_tensor(str(place)) for place in range(len(file.keys()))]
        return states, float((file.metadata() or {}).get("seconds", 0.0))
