"""A copy of a model's weights in another precision, from which they can be mapped without memory of their own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

from core.base.errors import UserError
from core.base.paths import cache_dir
from core.cache.checksums import intact
from core.cache.disk import check_disk
from core.cache.folders import build_once, make_room
from core.models.folders import weight_files, weight_shapes
from core.models.parts.shards import in_parts, write_parts
from core.specs import canonical_json, sha256

if TYPE_CHECKING:
    import torch
    from torch import Tensor

OTHERS = ("config.json", "generation_config.json")


def converted_folder(folder: Path, dtype: torch.dtype) -> Path:
    """Return a folder with a model's weights in a precision: the folder itself, or a copy of `cached_copy`.

    Raises:
        UserError: The weights are not in safetensors files.
        StorageError: The disk has no room for the copy.
    """
    files = weight_files(folder)
    if not files or any(file.suffix != ".safetensors" for file in files):
        raise UserError(f"{folder.name} has no safetensors files, from which alone a model streams; convert it first.")
    if _stored(files) <= {dtype}:
        return folder
    return cached_copy(folder, str(dtype), dtype.itemsize, lambda place: _write(folder, files, dtype, place))


def cached_copy(folder: Path, label: str, width: int, write: Callable[[Path], None]) -> Path:
    """Return a copy of the weights in `folder` that `write` makes in the user cache, which has one at a time.

    Args:
        folder: Folder of a model.
        label: What differs in the copy.
        width: Bytes of disk that `write` needs for each stored number.
        write: Writes the copy to a new folder.

    Raises:
        StorageError: The disk has no room for the copy.
    """
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in weight_files(folder)]
    copy = cache_dir() / "converted" / sha256(canonical_json(stats), label)
    if copy.is_dir() and not intact(copy):
        shutil.rmtree(copy)
    if not copy.is_dir():
        needed = sum(map(prod, weight_shapes(folder).values())) * width
        check_disk(copy.parent, needed, "Streaming")
        make_room(copy.parent, 0)
        build_once(copy, write)
    return copy


def _stored(files: list[Path]) -> set[torch.dtype]:
    """Return the precisions of the floating-point tensors in files."""
    found = set()
    for file in files:
        with safe_open(file, "pt") as opened:
            tensors = (opened.get_tensor(name) for name in opened.keys())  # noqa: SIM118 - no mapping
            found |= {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    return found


def _write(folder: Path, files: list[Path], dtype: torch.dtype, place: Path) -> None:
    """Write the tensors of files in another precision."""
    write_parts(in_parts(_tensors(files, dtype)), place)
    for name in OTHERS:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, place / name)


def _tensors(files: list[Path], dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    for file in files:
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - no mapping
                tensor = opened.get_tensor(name)
                yield name, tensor.to(dtype) if tensor.is_floating_point() else tensor
