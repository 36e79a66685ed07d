"""Loading with transformers: incomplete models are rejected, and failures become `UserError`s."""

import logging
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import torch
import transformers
from torch import nn
from transformers.utils.logging import disable_progress_bar

from core.base.errors import UserError, out_of_memory, short
from core.models.folders import is_causal, weight_shapes
from core.models.lazy import PreTrainedConfig, PreTrainedModel
from core.models.parts.experts import separate_experts

# Any: transformers does not declare that `from_pretrained` can return a pair, and its auto classes have no common base
ModelClass: TypeAlias = Any

log = logging.getLogger(__name__)

CHECKED = 2**22  # numbers at once
ALIGNMENT = 64  # bytes, of the memory that torch allocates
MOST_REASON = 300  # characters of a library's error, which may echo fields of a file
MOST_SHARED = 4  # times that a stored tensor may be used in a model


def from_folder(
    kind: ModelClass,
    folder: Path,
    dtype: torch.dtype,
    name: str,
    config: PreTrainedConfig | None = None,
    gguf_file: str | None = None,
    scratch: Path | None = None,
) -> PreTrainedModel:
    """Return `kind.from_pretrained(folder)` in evaluation mode; raise `UserError` for incomplete weights.

    `name` is the model's name in the error, and `gguf_file` a GGUF file in the folder. No code in the folder is run.
    With the folder `scratch`, the weights lie on disk and the experts of a mixture stay stacked. accelerate's hooks
    read the weights of one module at a time.
    """
    disable_progress_bar()
    wanted = "causal language model" if is_causal(kind.__name__) else kind.__name__
    with sentences(f"{name} could not be loaded as a {wanted}"):
        model, loading = kind.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            weights_only=True,
            use_kernels=False,  # transformers would fetch them from the hub, and they compute other bits
            output_loading_info=True,
            config=config,
            gguf_file=gguf_file,
            **({} if scratch is None else {"device_map": {"": "disk"}, "offload_folder": scratch}),
        )
    if loading["missing_keys"]:
        raise UserError(f"The weights of {name} lack {min(loading['missing_keys'])}, so the model is incomplete.")
    loaded: PreTrainedModel = model.eval()
    if getattr(loaded.config, "rescale_every", 0):
        # RWKV would divide weights in place at its first call; once saved, they would be divided again.
        loaded.config.rescale_every = 0
    if scratch is None:
        separate_experts(loaded)
    return loaded


def copy_to_memory(model: nn.Module) -> None:
    """Copy weights that are mapped from files to memory of their own, in place.

    The files align them as their headers happen to, and the last bits of some products depend on the alignment.
    """
    for parameter in model.parameters():
        if parameter.data_ptr() % ALIGNMENT:
            parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)


def check_size(build: Callable[..., PreTrainedModel], folder: Path, name: str) -> None:
    """Raise `UserError` if the model `name` needs far more parameters than its folder stores.

    It is built from its configuration without memory, because transformers would fill missing weights until memory runs
    out.
    """
    stored = sum(map(prod, weight_shapes(folder).values()))
    with sentences(f"{name} could not be loaded as its configuration describes it"), torch.device("meta"):
        model = build(transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False))
        needed = sum(parameter.numel() for parameter in model.parameters())
    if stored and needed > MOST_SHARED * stored:
        raise UserError(
            f"The configuration of {name} describes a {type(model).__name__} with {needed:,} parameters, but its "
            f"weights have {stored:,}; give the matching configuration."
        )


def class_of(architecture: str, name: str) -> type[PreTrainedModel]:
    """Return the transformers class of an architecture; raise `UserError` if there is none."""
    with sentences(f"{name} could not be loaded as a {architecture}"):  # some classes need more packages
        found = getattr(transformers, architecture, None)
    if not (isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)):
        raise UserError(f"{name} is a {architecture}, which transformers {transformers.__version__} does not have.")
    return found


@torch.no_grad()
def check_numbers(model: nn.Module, name: str) -> None:
    """Raise `UserError` if a weight of the model `name` is not finite, or all matrices are zero."""
    for tensor, parameter in model.named_parameters():
        # In parts, as the sum converts all numbers first.
        if not all(part.sum(dtype=torch.float64).isfinite() for part in parameter.reshape(-1).split(CHECKED)):
            kind = str(parameter.dtype).removeprefix("torch.")
            raise UserError(f"The weights of {name} are not all finite: {tensor} contains NaN or infinity in {kind}.")
    if not any(parameter.any() for parameter in model.parameters() if parameter.dim() > 1):
        raise UserError(f"The weights of {name} are all zero, so there is nothing to compress or measure.")


@contextmanager
def sentences(failed: str) -> Iterator[None]:
    """Turn any error of a library about invalid files into a `UserError` that starts with `failed`."""
    try:
        yield
    except pickle.UnpicklingError:
        raise UserError(
            f"{failed}: its pickled weights contain more than tensors, so they are not loaded; "
            "convert them to safetensors if you trust them."
        ) from None
    except Exception as error:
        if isinstance(error, UserError) or out_of_memory(error):
            raise
        log.info("%s", failed, exc_info=True)
        first = (str(error).strip().splitlines() or [""])[0]
        raise UserError(f"{failed}: {short(first, MOST_REASON)} ({type(error).__name__}).") from None
