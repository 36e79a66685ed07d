"""The state of unfinished work, kept in the cache of variants, where interrupted work resumes."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from core.base.paths import variants_dir
from core.cache.disk import intact, room, writing
from core.cache.folders import CACHE_BYTES, build_once, make_room

ENDING = ".blocks"  # of the folder of an interrupted stage or pass
INTERVAL = 60.0  # seconds between two times at which work is kept
PAUSE = 20.0  # times the last writing, which thus takes at most a twentieth of the work
STATES, FILE = "states", "states.safetensors"
MORE = "more "  # before the name of a tensor that is no state


class Checkpoint:
    """The kept state of a stage or a pass, in a folder that its key names, so that no other work resumes there.

    Each part of the state has a folder of its own, which appears complete with its checksums, or not at all.

    Attributes:
        folder: The folder of all parts.
        earlier: Seconds that interrupted work took until the restored state.
    """

    def __init__(self, key: str) -> None:
        self.folder = variants_dir() / f"{key}{ENDING}"
        self.earlier = 0.0
        self._started = self._kept = time.perf_counter()
        self._rest = 0.0

    @property
    def seconds(self) -> float:
        """The time of the work so far, with that of interrupted work."""
        return time.perf_counter() - self._started + self.earlier

    @property
    def due(self) -> bool:
        """Whether it is time to keep the work."""
        return time.perf_counter() - self._kept >= max(INTERVAL, self._rest)

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Keep the work inside the context, after which the interval begins again."""
        started = time.perf_counter()
        yield
        self._kept = time.perf_counter()
        self._rest = PAUSE * (self._kept - started)

    def has_room(self, size: int) -> bool:
        """Return whether `size` bytes more can be kept, as others make room; a `StorageError` on a full disk."""
        root = self.folder.parent
        with writing(self.folder):
            own = sum(file.stat().st_size for file in self.folder.rglob("*"))
            if size > room(root):
                return False
            self.folder.touch()  # others are deleted first
            make_room(root, max(own, CACHE_BYTES - size))
        return True

    def write(self, part: str, fill: Callable[[Path], None]) -> None:
        """Write a part, in place of an earlier one of this name."""
        shutil.rmtree(self.folder / part, ignore_errors=True)
        build_once(self.folder / part, fill)

    def replace(self, kind: str, number: int, fill: Callable[[Path], None]) -> None:
        """Write the part of this kind and number; afterwards delete those of other numbers."""
        own = f"{kind}-{number}"
        self.write(own, fill)
        for other in self.folder.glob(f"{kind}-*"):
            if other.is_dir() and other.name != own:
                shutil.rmtree(other, ignore_errors=True)

    def newest(self, kind: str) -> tuple[int, Path] | None:
        """Return the number and the folder of what `replace` wrote; None if it is missing or damaged."""
        folders = (folder for folder in self.folder.glob(f"{kind}-*") if folder.is_dir() and intact(folder))
        return next(((int(folder.name.rpartition("-")[2]), folder) for folder in folders), None)

    def restore_states(self) -> tuple[int, list[Tensor], dict[str, Tensor]]:
        """Return the number of blocks that an interrupted pass kept, and the states after them; 0 and none without.

        The last part are the tensors by name that were kept with the states.
        """
        known = self.newest(STATES)
        if known is None:
            return 0, [], {}
        index, folder = known
        states, more, self.earlier = read_states(folder)
        return index + 1, states, more

    def write_states(self, index: int, states: Sequence[Tensor], more: Mapping[str, Tensor] | None = None) -> None:
        """Write the states after a block, and more tensors by name; afterwards delete older ones."""
        named = {str(place): one for place, one in enumerate(states)}
        named |= {f"{MORE}{name}": one for name, one in (more or {}).items()}
        tensors = {name: one.detach().cpu().contiguous() for name, one in named.items()}
        facts = {"seconds": str(self.seconds)}
        self.replace(STATES, index, lambda place: save_file(tensors, place / FILE, facts))

    def clear(self) -> None:
        """Delete the state once the work is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)


def read_states(folder: Path) -> tuple[list[Tensor], dict[str, Tensor], float]:
    """Return the states and the other tensors of `write_states`, mapped from their file, and the seconds."""
    with safe_open(folder / FILE, "pt") as file:
        names = list(file.keys())
        more = {name.removeprefix(MORE): file.get_tensor(name) for name in names if name.startswith(MORE)}
        states = [file.get_tensor(str(place)) for place in range(len(names) - len(more))]
        return states, more, float((file.metadata() or {}).get("seconds", 0.0))
