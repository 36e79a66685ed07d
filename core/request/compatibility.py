"""Which methods are for which models: those of language models, or those of convolutions; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from core.chain import DENSE, StageRequest
from core.errors import UserError
from core.methods.base import Method
from core.models.facts import config_of
from core.models.folders import encoder_of
from core.models.sources import ModelSource
from core.registry import STAGES, get_stage

# Of transformers; what else has convolutions is taken, too.
WITH_CONVOLUTIONS = "audio and vision encoders, such as Whisper, wav2vec2, ResNet, ConvNeXt and ViT"


def on_convolutions(method: Method | type[Method]) -> bool:
    """Whether a method is for models that have convolutions."""
    return "convolutions" in method.modifies


def needs_convolutions(method: Method | type[Method]) -> UserError:
    """Return the error for a language model."""
    return UserError(
        f"{method.label} works on convolutions, and a language model has none; {WITH_CONVOLUTIONS}, have them."
    )


def check_model_type(source: ModelSource, chain: Sequence[StageRequest], measured: bool) -> bool:
    """Return whether a model is a language model; `measured` is whether numbers are asked for that only those have.

    Raises `UserError` where a stage is for the other kind of model, or the model has no such numbers.
    """
    kind = encoder_of(config_of(source))
    for one in chain:
        method = get_stage(one.name)
        with one.error_context():
            if kind is None and on_convolutions(method):
                raise needs_convolutions(method)
            if kind is not None and not on_convolutions(method) and method.name != DENSE:
                others = " and ".join(found.name for found in STAGES if on_convolutions(found))
                raise UserError(
                    f"{method.label} is for language models, and {source.id} is a {kind}; {others} decompose its "
                    "convolutions."
                )
    if kind is not None and measured:
        raise UserError(
            f"{source.id} is a {kind}: perplexity, tasks, latency and scans are of language models; leave them out, "
            "and its weights are counted and compared."
        )
    return kind is None
