"""Weights of a model that have left the memory: files from which the operating system pages them in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from safetensors import safe_open
from safetensors.torch import save_file

from core.cache.folders import writing
from core.errors import StorageError
from core.paths import cache_dir

if TYPE_CHECKING:
    from torch import nn

FREE_BYTES = 10**9  # that stay free on the disk


class Shelf:
    """The place of modules that have been compressed, whose weights are mapped from files of the user cache.

    A file loses its name at once, so its space is free again when its weights are replaced or the process ends.
    """

    def __init__(self, needed: int):
        """Prepare a shelf for `needed` bytes.

        Raises:
            StorageError: The disk has no room for them.
        """
        self._folder = cache_dir() / "shelf"
        check_disk(self._folder, needed)

    def take(self, module: nn.Module) -> None:
        """Copy the parameters of a module into memory before they change.

        Changed pages of a mapped file would stay in memory until all weights in that file are gone.
        """
        for parameter in module.parameters():
            parameter.data = parameter.data.clone()

    def put(self, module: nn.Module) -> None:
        """Write the parameters of a module to a file, and map them from it; their values and names stay.

        Raises:
            StorageError: The disk is full.
        """
        own = dict(module.named_parameters())
        with writing(self._folder), NamedTemporaryFile(dir=self._folder, suffix=".safetensors") as file:
            save_file({name: parameter.detach().cpu().contiguous() for name, parameter in own.items()}, file.name)
            with safe_open(file.name, "pt") as mapped:  # its tensors keep the mapping
                for name, parameter in own.items():
                    parameter.data = mapped.get_tensor(name)


@contextmanager
def changing(shelf: Shelf | None, module: nn.Module) -> Iterator[None]:
    """Change a module inside the context: with a shelf, it comes into memory before and leaves it afterwards."""
    if shelf:
        shelf.take(module)
    yield
    if shelf:
        shelf.put(module)


def check_disk(folder: Path, needed: int) -> None:
    """Create a folder; raise `StorageError` if its disk has no room for `needed` bytes."""
    with writing(folder):
        free = shutil.disk_usage(folder).free - FREE_BYTES
    if free < needed:
        raise StorageError(
            f"Streaming needs {needed / 1e9:.1f} GB of disk, but {folder} has only {max(free, 0) / 1e9:.1f} GB to "
            "spare. Free some space, or set SLIMSCOPE_CACHE to another disk."
        )
