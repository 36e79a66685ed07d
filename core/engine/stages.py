"""Dispatch of each kind of method to the function that runs it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, cast

from core.context import Context, StageInput, StageResult
from core.engine.amounts import fraction_to_remove
from core.engine.runners.by_block import round_blocks
from core.engine.runners.by_convolution import decompose_convolutions
from core.engine.runners.by_embedding_factors import factor_embedding
from core.engine.runners.by_embedding_quant import quantise_tables
from core.engine.runners.by_experts import remove_experts
from core.engine.runners.by_linear import compress_linears
from core.engine.runners.by_removal import remove_blocks, remove_hidden
from core.engine.runners.by_rotation import rotate_model
from core.engine.runners.by_runtime import install_hooks
from core.engine.runners.by_slicing import slice_model
from core.engine.runners.by_units import factor_and_remove_units, remove_units, remove_units_walking
from core.errors import UserError
from core.methods.base import Method
from core.methods.dense import Dense
from core.methods.terms import Kind
from core.models.parts.blocks import find_blocks
from core.models.parts.products import wide_products
from core.models.parts.sizes import is_language_model
from core.models.removal.projections import separate_projections
from core.registry import build_method
from core.training.base import Recovery, TrainPruneMethod

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    Runner = Callable[[PreTrainedModel, Method, StageInput, Context], StageResult]

Kinds = TypeVar("Kinds", bound=Method)


def _runner(function: Callable[[PreTrainedModel, Kinds, StageInput, Context], StageResult]) -> Runner:
    return cast("Runner", function)  # a runner gets only methods of its own kind


def _nothing(model: PreTrainedModel, method: Dense, given: StageInput, context: Context) -> StageResult:
    return StageResult([])


def _prune_while_training(
    model: PreTrainedModel, method: TrainPruneMethod, given: StageInput, context: Context
) -> StageResult:
    from core.training.apply import prune_while_training  # only here, as PEFT takes seconds to import

    return prune_while_training(model, method, given, context)


def _recover(model: PreTrainedModel, method: Recovery, given: StageInput, context: Context) -> StageResult:
    from core.training.apply import recover  # only here, as PEFT takes seconds to import

    return recover(model, method, given, context)


RUNNERS: dict[Kind, Runner] = {
    "dense": _runner(_nothing),
    "linears": _runner(compress_linears),
    "blocks of linears": _runner(round_blocks),
    "tables": _runner(quantise_tables),
    "convolutions": _runner(decompose_convolutions),
    "embedding": _runner(factor_embedding),
    "units": _runner(remove_units),
    "units in sequence": _runner(remove_units_walking),
    "factored units": _runner(factor_and_remove_units),
    "blocks": _runner(remove_blocks),
    "experts": _runner(remove_experts),
    "hidden size": _runner(remove_hidden),
    "slices": _runner(slice_model),
    "rotation": _runner(rotate_model),
    "pruning in training": _runner(_prune_while_training),
    "recovery": _runner(_recover),
    "runtime": _runner(install_hooks),
}

# Kinds that treat q, k and v, or gate and up, each on its own.
APART: frozenset[Kind] = frozenset(
    {"units", "units in sequence", "factored units", "hidden size", "slices", "rotation"}
)


def apply(model: PreTrainedModel, given: StageInput, context: Context) -> StageResult:
    """Apply a stage to the model in place.

    Raises:
        UserError: The stage does not fit the model, or its method ends the program.
    """
    method = build_method(given.stage)
    if is_language_model(model):
        given = replace(given, decoder=find_blocks(model))
    if given.stage.prunes:
        given = replace(given, fraction_to_remove=fraction_to_remove(method, given))
    with (
        separate_projections(model, given.blocks) if method.kind in APART else nullcontext(),
        wide_products(model.dtype),
    ):
        try:
            return RUNNERS[method.kind](model, method, given, context)
        except SystemExit as error:  # of a method of another package; it would end the program without a sentence
            raise UserError(
                f"{method.name} ended the program by sys.exit({error.code}); let it raise an error."
            ) from error
