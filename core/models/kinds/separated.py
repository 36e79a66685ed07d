"""A copy of a mixture of experts on disk with separate experts, from which they can be mapped.

transformers stacks the experts of a layer in memory, so a mixture cannot stream from its own files.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch
import transformers
from accelerate.utils import align_module_device

from core.models.kinds.converted import cached_copy
from core.models.loading import ModelClass, from_folder, sentences
from core.models.modeling_slimscope import Experts, projections
from core.models.parts.blocks import base_class
from core.models.parts.experts import stacks_experts
from core.models.parts.shards import in_parts, stored_names, write_parts

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel


def separated_folder(
    build: Callable[..., PreTrainedModel],
    kind: ModelClass,
    folder: Path,
    dtype: torch.dtype,
    name: str,
) -> Path | None:
    """Return a copy in the user cache whose experts are separate; None for a model that stacks none.

    Args:
        build: Builds a model from a transformers configuration.
        kind: The class that loads the folder.
        folder: Folder of the model.
        dtype: Precision of the copy.
        name: Name of the model in an error.

    Raises:
        UserError: The model is incomplete.
        StorageError: The disk has no room for the copy and the stacked tensors.
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
