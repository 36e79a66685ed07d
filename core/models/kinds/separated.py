"""Copies of weights on disk from which they can be mapped: in another precision, or with separate experts.

transformers stacks the experts of a layer in memory, so a mixture cannot stream from its own files.
"""

import copy
import logging
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import transformers
from accelerate.utils import align_module_device
from safetensors import safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel

from core.base.errors import UserError
from core.base.paths import cache_dir
from core.cache.disk import check_disk, intact
from core.cache.folders import build_once, make_room
from core.models.folders import weight_files, weight_shapes
from core.models.loading import ModelClass, from_folder, sentences
from core.models.modeling_slimscope import Experts, projections
from core.models.parts.blocks import base_class
from core.models.parts.experts import stacks_experts
from core.models.parts.shards import in_parts, stored_names, write_parts
from core.specs import canonical_json, sha256

OTHERS = ("config.json", "generation_config.json")


def converted_folder(folder: Path, dtype: torch.dtype) -> Path:
    """Return a folder with a model's weights in a precision: the folder itself, or a copy of `cached_copy`.

    Raises `UserError` for weights that are not in safetensors files.
    """
    files = weight_files(folder)
    if not files or any(file.suffix != ".safetensors" for file in files):
        raise UserError(f"{folder.name} has no safetensors files, from which alone a model streams; convert it first.")
    if _stored(files) <= {dtype}:
        return folder
    return cached_copy(folder, str(dtype), dtype.itemsize, lambda place: _write_converted(folder, files, dtype, place))


def cached_copy(folder: Path, label: str, width: int, write: Callable[[Path], None]) -> Path:
    """Return a copy of the weights in `folder` that `write` makes in the user cache, which has one at a time.

    `label` tells what differs in the copy, and `width` the bytes of disk that `write` needs for each stored number.
    Raises `StorageError` if the disk has no room for the copy.
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


def _write_converted(folder: Path, files: list[Path], dtype: torch.dtype, place: Path) -> None:
    """Write the tensors of files in another precision."""
    write_parts(in_parts(_converted(files, dtype)), place)
    for name in OTHERS:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, place / name)


def _converted(files: list[Path], dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    for file in files:
        with safe_open(file, "pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - no mapping
                tensor = opened.get_tensor(name)
                yield name, tensor.to(dtype) if tensor.is_floating_point() else tensor


def separated_folder(
    build: Callable[..., PreTrainedModel],
    kind: ModelClass,
    folder: Path,
    dtype: torch.dtype,
    name: str,
) -> Path | None:
    """Return a copy in the user cache whose experts are separate; None for a model that stacks none.

    `build` makes a model from a transformers configuration, and `kind` is the class that loads the folder. Raises
    `UserError` for an incomplete model, and `StorageError` without room for the copy and the stacked tensors.
    """
    with sentences(f"{name} could not be loaded as its configuration describes it"), torch.device("meta"):
        plain = build(transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False))
    if not any(map(stacks_experts, plain.modules())):
        return None
    return cached_copy(folder, f"{dtype} separate", 2 * dtype.itemsize, partial(_write, kind, folder, dtype, name))


def _write(kind: ModelClass, folder: Path, dtype: torch.dtype, name: str, place: Path) -> None:
    """Write a checkpoint with separate experts and its configuration to `place`."""
    logging.getLogger("accelerate.big_modeling").setLevel(logging.ERROR)  # that weights are on disk is wanted
    with TemporaryDirectory(dir=place) as scratch:
        model = from_folder(kind, folder, dtype, name, scratch=Path(scratch))
        write_parts(in_parts(_tensors(model)), place)
    config = copy.deepcopy(model.config)
    shapes = getattr(config, "slimscope", {})
    stacked = [own for own, module in model.named_modules() if stacks_experts(module)]
    config.slimscope = shapes | {Experts.tag: [*shapes.get(Experts.tag, ()), *stacked]}
    config.architectures = [base_class(model).__name__]
    config.save_pretrained(place)
    if model.generation_config is not None:
        model.generation_config.save_pretrained(place)


def _tensors(model: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    """Yield the stored tensors of a model whose weights lie on disk; those of one module at a time are in memory."""
    stored = stored_names(model)
    for name, module in model.named_modules():
        with align_module_device(module):
            if stacks_experts(module):
                yield from _experts(name, module)
                continue
            for own, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
                if (key := f"{name}.{own}".lstrip(".")) in stored:
                    yield key, tensor.data


def _experts(name: str, module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for number in range(len(module.get_parameter("down_proj"))):
        for linear, weight, bias in projections(module, number):
            yield f"{name}.{number}.{linear}.weight", weight
            if bias is not None:
                yield f"{name}.{number}.{linear}.bias", bias
