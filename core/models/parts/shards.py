"""Weights written to several files with their index, of which one file at a time is in memory."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from core.models.modeling_slimscope import Experts
from core.models.parts.experts import stacked

PART_BYTES = 2**28  # of a file whose tensors need not be together


def stored_names(model: PreTrainedModel) -> set[str]:
    """Return the names of the tensors in a model's checkpoint; tied ones are stored once."""
    every = dict(model.named_parameters(remove_duplicate=False)).keys()
    return set(model.state_dict()) - (every - dict(model.named_parameters()).keys())


def in_parts(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
    """Yield named tensors in parts of about `PART_BYTES`."""
    part: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors:
        part[name] = tensor
        size += tensor.nbytes
        if size > PART_BYTES:
            yield part
            part, size = {}, 0
    if part:
        yield part


def write_parts(parts: Iterable[Mapping[str, Tensor]], folder: Path) -> None:
    """Write each part to a file of safetensors, and the index of all."""
    held: list[list[str]] = []
    size = 0
    for part in parts:
        tensors = {name: tensor.contiguous() for name, tensor in part.items()}
        save_file(tensors, folder / f"{len(held)}.part", metadata={"format": "pt"})
        held.append(list(tensors))
        size += sum(tensor.nbytes for tensor in tensors.values())
    homes: dict[str, str] = {}
    for place, names in enumerate(held):
        file = f"model-{place + 1:05}-of-{len(held):05}.safetensors"
        (folder / f"{place}.part").rename(folder / file)
        homes |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": size}, "weight_map": homes}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def save_mixture(model: PreTrainedModel, layers: Mapping[str, Experts], folder: Path, original: bool) -> None:
    """Write a model inside `stacked_shapes` to an empty folder; the tensors of one layer of experts are made at a time.

    With `original`, tensors get the names and layouts of published checkpoints, as by transformers.
    """
    model.save_pretrained(folder, state_dict={})  # only the configuration
    parts = _stored(model, layers)
    write_parts((revert_weight_conversion(model, part) for part in parts) if original else parts, folder)


def _stored(model: PreTrainedModel, layers: Mapping[str, Experts]) -> Iterator[dict[str, Tensor]]:
    """Yield the tensors of each layer of experts, then the others; tied ones once."""
    for name, experts in layers.items():
        yield {f"{name}.{own}": tensor for own, tensor in stacked(experts).items()}
    names = stored_names(model)
    yield {name: one for name, one in model.state_dict().items() if name in names and not one.is_meta}
