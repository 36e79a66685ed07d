"""transformers' loading: whole models or none, and its failures as sentences."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from torch import nn
from transformers.utils.logging import disable_progress_bar

from core.errors import UserError, out_of_memory
from core.models.folders import is_causal

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)


def from_folder(kind: Any, folder: Path, dtype: torch.dtype, name: str, **more: Any) -> PreTrainedModel:
    """Return `kind.from_pretrained(folder)` in evaluation mode; a `UserError` where the weights are not whole.

    `name` is what the model is called in that sentence. No code in the folder is run.
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
            output_loading_info=True,
            **more,
        )
    if loading["missing_keys"]:
        raise UserError(f"The weights of {name} lack {min(loading['missing_keys'])}, so the model is not whole.")
    return model.eval()


def class_of(architecture: str, name: str) -> Any:
    """Return the class of transformers that has the name of an architecture; a `UserError` where it has none."""
    with sentences(f"{name} could not be loaded as a {architecture}"):  # some need packages of their own
        found = getattr(transformers, architecture, None)
    if not (isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)):
        raise UserError(f"{name} is a {architecture}, which transformers {transformers.__version__} does not have.")
    return found


@torch.no_grad()
def check_numbers(model: nn.Module, name: str) -> None:
    """Raise `UserError` where a weight of the model `name` is no finite number, or all matrices are zero."""
    for tensor, parameter in model.named_parameters():
        if not parameter.sum(dtype=torch.float64).isfinite():
            kind = str(parameter.dtype).removeprefix("torch.")
            raise UserError(f"The weights of {name} are not all numbers: {tensor} holds NaN or infinity in {kind}.")
    if not any(parameter.any() for parameter in model.parameters() if parameter.dim() > 1):
        raise UserError(f"The weights of {name} are all zero, so there is nothing to compress or to measure.")


@contextmanager
def sentences(failed: str) -> Iterator[None]:
    """Turn whatever a library raises about files that it does not understand into a `UserError` that begins so."""
    try:
        yield
    except pickle.UnpicklingError:
        raise UserError(
            f"{failed}: its pickled weights hold more than tensors, so they are not opened; "
            "convert them to safetensors where you trust them."
        ) from None
    except Exception as error:
        if isinstance(error, UserError) or out_of_memory(error):
            raise
        log.info("%s", failed, exc_info=True)
        first = (str(error).strip().splitlines() or [""])[0]
        raise UserError(f"{failed}: {first} ({type(error).__name__}).") from None
