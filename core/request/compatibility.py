"""Checks that methods for language models or for convolutions match the model; imports no torch."""

from collections.abc import Sequence

from core.base.errors import UserError
from core.methods.base import Method
from core.models.facts import config_of
from core.models.folders import encoder_of
from core.models.inspection import inspected
from core.models.shape import is_known
from core.models.source import ModelSource
from core.notation.chain import DENSE, StageRequest
from core.registry import STAGES, get_stage

# Examples from transformers; other models with convolutions work, too.
WITH_CONVOLUTIONS = "audio and vision encoders, such as Whisper, wav2vec2, ResNet, ConvNeXt and ViT"


def on_convolutions(method: Method | type[Method]) -> bool:
    """Return whether a method compresses convolutions."""
    return "convolutions" in method.modifies


def needs_convolutions(method: Method | type[Method]) -> UserError:
    """Return the error of a method for convolutions on a language model."""
    return UserError(
        f"{method.label} compresses convolutions, and a language model has none; choose one of {WITH_CONVOLUTIONS}."
    )


def check_model_type(source: ModelSource, chain: Sequence[StageRequest], measured: bool) -> bool:
    """Return whether a model is a language model, not an encoder; `measured` runs request numbers of language models.

    Raises:
        UserError: A stage or a requested number does not apply to this type of model.
    """
    config = config_of(source)
    kind = encoder_of(config)
    for one in chain:
        method = get_stage(one.name)
        with one.error_context():
            if kind is None and on_convolutions(method):
                raise needs_convolutions(method)
            mixture = kind is None and method.requires == "experts"
            if mixture and (is_known(config) or inspected(config).experts is None):
                raise UserError(f"{method.label} removes experts, and {source.id} has none; use another method.")
            if kind is not None and not on_convolutions(method) and method.name != DENSE:
                others = " and ".join(found.name for found in STAGES if on_convolutions(found))
                raise UserError(
                    f"{method.label} is for language models, and {source.id} is a {kind}; use {others}, "
                    "which decompose convolutions."
                )
    if kind is not None and measured:
        raise UserError(
            f"{source.id} is a {kind}, without perplexity, tasks, latency and scans; leave them out. "
            "The run then counts and compares its weights."
        )
    return kind is None
