"""Weights of a model that have left the memory: files from which the operating system pages them in."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from tempfile import NamedTemporaryFile

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from core.base.paths import cache_dir
from core.cache.disk import FileStamps, check_disk, writing

PAGE_BYTES = 4096


class Shelf:
    """The place of modules that have been compressed, whose weights are mapped from files of the user cache.

    A file loses its name at once, so its space is free again when its weights are replaced or the process ends.
    """

    def __init__(self, needed: int, sources: FileStamps | None = None):
        """Prepare a shelf for `needed` bytes; a `StorageError` if the disk has no room for them.

        The weights of the model are mapped from the files of `sources`.
        """
        self._folder = cache_dir() / "shelf"
        self._sources = sources or FileStamps()
        self._reader = ThreadPoolExecutor(1, "prefetch")
        check_disk(self._folder, needed, "Streaming")

    def take(self, module: nn.Module) -> None:
        """Copy the parameters of a module into memory before they change.

        Changed pages of a mapped file would stay in memory until all weights in that file are gone. Raises `UserError`
        if the model's files have changed since the run started.
        """
        self._sources.check()
        for parameter in module.parameters():
            parameter.data = parameter.data.clone()

    def prefetch(self, module: nn.Module) -> None:
        """Read the parameters of a module from their files in another thread, while the current module computes."""

        def read(data: torch.Tensor) -> None:
            data.flatten().view(torch.uint8)[::PAGE_BYTES].sum()

        for parameter in module.parameters():
            if parameter.device.type == "cpu":
                self._reader.submit(read, parameter.data)

    def put(self, module: nn.Module) -> None:
        """Write the parameters of a module to a file, and map them from it; a `StorageError` on a full disk."""
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


@contextmanager
def trying(shelf: Shelf | None, module: nn.Module) -> Iterator[None]:
    """Change a module that is restored inside the context: with a shelf, it is in memory only there."""
    mapped = {parameter: parameter.data for parameter in module.parameters()} if shelf else {}
    if shelf:
        shelf.take(module)
    yield
    for parameter, data in mapped.items():
        parameter.data = data
