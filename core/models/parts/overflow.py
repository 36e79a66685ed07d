"""Activations of paused sequences: in memory up to a limit, the others in files from which they are mapped."""

import os
from collections.abc import Hashable, Iterable, Iterator
from tempfile import NamedTemporaryFile
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor

from core.base.memory import return_free_pages
from core.base.paths import cache_dir
from core.cache.disk import writing


class Overflow:
    """The activations of several owners, which together take at most `limit` bytes of memory; None: no limit."""

    def __init__(self, limit: int | None = None):
        self.limit = limit
        self._held: dict[Hashable, int] = {}  # bytes in memory by owner
        self._folder = cache_dir() / "shelf"

    def store(self, owner: Hashable, tensors: Iterable[Tensor]) -> list[Tensor]:
        """Move the activations of an owner, which replace its earlier ones, to files if they exceed the limit.

        Their values stay, and tensors that share memory share it afterwards. Returns the tensors that were moved, which
        are on the CPU now.
        """
        if self.limit is None:
            return []
        known = {id(tensor): tensor for tensor in tensors if tensor.untyped_storage().filename is None}
        storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in known.values()}
        size = sum(storage.nbytes() for storage in storages.values())
        self._held[owner] = 0
        if sum(self._held.values()) + size <= self.limit:
            self._held[owner] = size
            return []
        mapped = {place: self._mapped(storage) for place, storage in storages.items()}
        for tensor in known.values():
            copy = mapped[tensor.untyped_storage().data_ptr()].untyped_storage()
            layout = tensor.storage_offset(), tensor.size(), tensor.stride()
            tensor.data = torch.empty(0, dtype=tensor.dtype).set_(copy, *layout)
        return list(known.values())

    def trim(self) -> None:
        """Return memory of moved activations to the system, which the allocator would keep for later ones."""
        if self.limit is not None:
            return_free_pages()

    def _mapped(self, storage: torch.UntypedStorage) -> Tensor:
        """Copy a storage to a file without a name, which the operating system pages in and out."""
        size = storage.nbytes()
        with writing(self._folder), NamedTemporaryFile(dir=self._folder) as file:
            if size and hasattr(os, "posix_fallocate"):  # else a full disk would end the process
                os.posix_fallocate(file.fileno(), 0, size)
            copy = torch.from_file(file.name, shared=True, size=size, dtype=torch.uint8)
        source = torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage, 0, (size,), (1,))
        return copy.copy_(source)


def live_tensors(frame: FrameType | None, outermost: CodeType) -> Iterator[Tensor]:
    """Yield the tensors in the local variables of a frame and of its callers, up to the function `outermost`.

    Parameters are left out.
    """
    while frame is not None and frame.f_code is not outermost:
        yield from _tensors(frame.f_locals)
        frame = frame.f_back


def _tensors(value: Any) -> Iterator[Tensor]:  # Any: local variables of any type
    if isinstance(value, Tensor):
        if not isinstance(value, torch.nn.Parameter):
            yield value
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from _tensors(one)
