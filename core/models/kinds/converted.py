"""A copy of a model's weights in another precision, from which they can be mapped without memory of their own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open
from safetensors.torch import save_file

from core.cache.checksums import intact
from core.cache.folders import build_once, make_room
from core.cache.shelf import check_disk
from core.errors import UserError
from core.models.folders import weight_files, weight_shapes
from core.paths import cache_dir
from core.specs import canonical_json, sha256

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PART_BYTES = 2**28  # of a file, which is in memory while it is written
OTHERS = ("config.json", "generation_config.json")


def converted_folder(folder: Path, dtype: torch.dtype) -> Path:
    """Return a folder with a model's weights in a precision: the folder itself, or a copy in the user cache.

    The cache has one such copy at a time.

    Raises:
        UserError: The weights are not in safetensors files.
        StorageError: The disk has no room for the copy.
    """
    files = weight_files(folder)
    if not files or any(file.suffix != ".safetensors" for file in files):
        raise UserError(f"{folder.name} has no safetensors files, from which alone a model streams; convert it first.")
    if _stored(files) <= {dtype}:
        return folder
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    copy = cache_dir() / "converted" / sha256(canonical_json(stats), str(dtype))
    if copy.is_dir() and not intact(copy):
        shutil.rmtree(copy)
    if not copy.is_dir():
        check_disk(copy.parent, sum(map(prod, weight_shapes(folder).values())) * dtype.itemsize)
        make_room(copy.parent, 0)
        build_once(copy, lambda place: _write(folder, files, dtype, place))
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
    """Write the tensors of files in another precision, in parts of about `PART_BYTES`, with their index."""
    homes: dict[str, str] = {}
    for number, part in enumerate(_parts(files, dtype)):
        name = f"model-{number:05}.safetensors"
        save_file(part, place / name, metadata={"format": "pt"})
        homes |= dict.fromkeys(part, name)
    (place / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": homes}))
    for name in OTHERS:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, place / name)


def _parts(files: list[Path], dtype: torch.dtype) -> Iterator[dict[str, Tensor]]:
    part: dict[str, Tensor] = {}
    size = 0
    for file in files:
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - no mapping
                tensor = opened.get_tensor(name)
                part[name] = tensor.to(dtype) if tensor.is_floating_point() else tensor
                size += part[name].nbytes
                if size > PART_BYTES:
                    yield part
                    part, size = {}, 0
    if part:
        yield part
