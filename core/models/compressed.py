"""Loading of a model that any tool compressed, to compare its outputs with those of the dense model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from core.base.progress import Progress, silent
from core.models.folders import is_quantised
from core.models.gguf.files import check_order
from core.models.kinds.gguf import GGUFKind
from core.models.loading import check_size, from_folder, sentences
from core.models.manifest import load_model_folder
from core.models.parts.blocks import move
from core.models.shape import Config
from core.models.source import ModelSource
from core.models.sources import BY_KIND
from core.specs import Dtype

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_compressed(
    source: ModelSource, dtype: Dtype = "float32", device: str | torch.device = "cpu", progress: Progress = silent
) -> PreTrainedModel:
    """Return a causal LM on `device` with whole weights, as its outputs need no codes; its numbers are not checked.

    Weights of a GGUF file are dequantised. transformers does the same for codes of compressed-tensors.

    Raises:
        UserError: The model is incomplete, or a package that reads its format is not installed.
    """
    precision = getattr(torch, dtype)

    def load(folder: Path, config: Config) -> PreTrainedModel:
        if source.kind == GGUFKind.name:
            check_order(folder, source.id)
            known = AutoConfig.for_model(**config)
            return from_folder(AutoModelForCausalLM, folder.parent, precision, source.id, known, folder.name)
        if "slimscope" in config:
            return load_model_folder(folder, precision)
        if not is_quantised(config) and not BY_KIND[source.kind].converted:
            check_size(AutoModelForCausalLM.from_config, folder, source.id)
        return from_folder(AutoModelForCausalLM, folder, precision, source.id)

    model = BY_KIND[source.kind].open_model(source, load, lambda name: True, progress)
    move(model, torch.device(device))
    with sentences(f"{source.id} could not be computed"), torch.inference_mode():
        model(torch.zeros(1, 1, dtype=torch.int64, device=model.device))  # unpacks codes
    return model.requires_grad_(False)
