"""The configuration and the weights of a model that any tool compressed, to compare it with the dense model."""

import logging
import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from core.base.errors import UserError, echo
from core.base.progress import Progress, silent
from core.models.folders import is_quantised
from core.models.gguf_files import PlainReader, check_order, stated_fields
from core.models.kinds.gguf import GGUFKind
from core.models.loading import check_size, from_folder, sentences
from core.models.manifest import load_model_folder
from core.models.parts.blocks import move
from core.models.shape import SIZES, Config, text_part
from core.models.source import ModelSource
from core.models.sources import BY_KIND
from core.specs import Dtype

log = logging.getLogger(__name__)

# What a derived configuration states of the file itself, besides sizes: whether it has a head of its own.
_OF_FILE = (*SIZES, "tie_word_embeddings")
# Fields of a file that change its outputs, and their names in configurations.
_NUMBERS = {
    "attention.layer_norm_rms_epsilon": ("rms_norm_eps", "norm_eps", "layer_norm_epsilon"),
    "attention.layer_norm_epsilon": ("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps"),
    "attention.sliding_window": ("sliding_window",),
    "attention.sliding_window_pattern": ("layer_types",),
    "attn_logit_softcapping": ("attn_logit_softcapping",),
    "final_logit_softcapping": ("final_logit_softcapping",),
    "expert_used_count": ("num_experts_per_tok",),
}
_SLIDING, _FULL = "sliding_attention", "full_attention"
# Their names in the rotary parameters, the blocks that these are for, and their values in a plain rotation.
_ROPE = {
    "rope.freq_base": ("rope_theta", _FULL, None),
    "rope.freq_base_swa": ("rope_theta", _SLIDING, None),
    "rope.scaling.type": ("rope_type", _FULL, "default"),
    "rope.scaling.factor": ("factor", _FULL, 1.0),
    "rope.scaling.attn_factor": ("attention_factor", _FULL, 1.0),
    "rope.scaling.original_context_length": ("original_max_position_embeddings", _FULL, None),
}
# Sizes, which the tensors confirm, and facts without an effect on outputs.
_OTHERS = {
    *("vocab_size", "context_length", "embedding_length", "block_count", "feed_forward_length", "expert_count"),
    *("expert_feed_forward_length", "expert_shared_feed_forward_length", "rope.dimension_count", "attention.causal"),
    *("attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length"),
    *("ssm.conv_kernel", "ssm.state_size", "ssm.time_step_rank", "ssm.inner_size", "shortconv.l_cache"),
    *("rope.scaling.finetuned", "tensor_data_layout", "use_parallel_residual"),
}


def config_like(file: Path, derived: Config, dense: Config) -> Config:
    """Return the configuration of a GGUF file whose weights were compressed from a dense model.

    A file lacks fields such as the scale of attention, which transformers replaces by defaults. They are those of the
    dense model, if it has the same architecture. What the file states is its own. A warning names each stated field
    that differs, and whether it is used. Raises `UserError` for a number that is not finite, or an invalid
    configuration.
    """
    dense = text_part(dense)
    config = derived
    if dense["model_type"] == derived["model_type"]:
        config = {**dense, **{name: derived[name] for name in _OF_FILE if derived.get(name) is not None}}
        if config["num_hidden_layers"] != dense["num_hidden_layers"]:
            config["layer_types"] = derived.get("layer_types")
    with sentences(f"The configuration of {file.name} describes no causal language model"):
        known = AutoConfig.for_model(**deepcopy(config))
        stated = stated_fields(PlainReader(file))
    used = [_use(vars(known), name, value, file.name) for name, value in stated.items() if name not in _OTHERS]
    return known.to_dict() if any(used) else config


def _use(config: dict[str, Any], name: str, value: Any, file: str) -> bool:  # Any: JSON, or lists of a file
    """Set a field that a file states if it differs and can be used; return whether it was set."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{file} states {name} = {value}; give a file with a finite number.")
    fields, key, before = _place(config, name)
    if name == "attention.sliding_window_pattern" and isinstance(value, int | list):
        value = _layer_types(value, config["num_hidden_layers"])
    if name == "rope.scaling.type" and value == "none":
        value = "default"
    if _same(before, value):
        return False
    number = isinstance(value, int | float) and isinstance(before, int | float | None)
    usable = key in fields and "scaling" not in name and (number or key == "layer_types")
    if usable:
        fields[key] = value if before is None else type(before)(value)
    log.warning(
        "%s states %s = %s, but the dense model has %s; the comparison uses that of the %s.",
        *(file, name, echo(value), echo(before), "file" if usable else "dense model"),
    )
    return usable


def _place(config: dict[str, Any], name: str) -> tuple[dict[str, Any], str, Any]:  # Any: JSON
    """Return the part of a configuration in which a field of a file is, its name there, and its value."""
    if name in _ROPE:
        key, blocks, plain = _ROPE[name]
        rope = config.get("rope_parameters") or {}
        rope = rope.get(blocks, {} if _FULL in rope else rope)
        return rope, key, rope.get(key, plain)
    key = next((one for one in _NUMBERS.get(name, ()) if one in config), name)
    return config, key, config.get(key)


def _layer_types(pattern: int | list[Any], blocks: int) -> list[str]:  # Any: JSON
    """Return the kinds of blocks by llama.cpp's pattern: every n-th is full, or whether each is sliding."""
    sliding = pattern if isinstance(pattern, list) else [(place + 1) % max(pattern, 1) for place in range(blocks)]
    return [_SLIDING if one else _FULL for one in sliding]


def _same(before: Any, stated: Any) -> bool:  # Any: JSON
    """Return whether two values are equal; a file has numbers in single precision."""
    if isinstance(before, int | float) and isinstance(stated, int | float):
        return bool(np.float32(before) == np.float32(stated))
    return bool(before == stated)


def load_compressed(
    source: ModelSource, dtype: Dtype = "float32", device: str | torch.device = "cpu", progress: Progress = silent
) -> PreTrainedModel:
    """Return a causal LM on `device` with whole weights, as its outputs need no codes; its numbers are not checked.

    Weights of a GGUF file are dequantised. transformers does the same for codes of compressed-tensors. Raises
    `UserError` if the model is incomplete, or a package that reads its format is not installed.
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
