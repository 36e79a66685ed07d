"""Dispatch of each kind of method to the function that runs it, and the hooks of run-time methods."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace

from transformers import PreTrainedModel

from core.base.errors import UserError
from core.context import Context, StageInput, StageResult
from core.engine.amounts import fraction_to_remove
from core.engine.runners.by_embedding import factor_embedding, quantise_tables
from core.engine.runners.by_linear import compress_linears, round_blocks
from core.engine.runners.by_removal import remove_blocks, remove_experts, remove_hidden
from core.engine.runners.by_slicing import rotate_model, slice_model
from core.engine.runners.by_units import remove_units, remove_units_walking
from core.methods.base import Method
from core.methods.terms import Kind
from core.models.parts.blocks import find_blocks
from core.models.parts.products import wide_products
from core.models.removal.projections import separate_projections
from core.registry import build_method
from core.specs import Stage
from core.training.base import Recovery, TrainPruneMethod

# Kinds that treat q, k and v, or gate and up, each on its own.
APART: frozenset[Kind] = frozenset(
    {"units", "units in sequence", "factored units", "hidden size", "slices", "rotation"}
)


def _train(
    model: PreTrainedModel, method: Recovery | TrainPruneMethod, given: StageInput, context: Context
) -> StageResult:
    from core.training.apply import train_stage  # only here, as PEFT takes seconds to import

    return train_stage(model, method, given, context)


def install_hooks(model: PreTrainedModel, method: Method, given: StageInput, context: Context) -> StageResult:
    """Install the hooks of one stage in place; the dense model has none."""
    method.install(model, given.stage.amount)
    return StageResult([])


def reinstall_hooks(model: PreTrainedModel, stages: Sequence[Stage]) -> None:
    """Install the hooks of all runtime stages of a model that was loaded from a checkpoint, which has none."""
    for stage in stages:
        build_method(stage).install(model, stage.amount)


# A runner gets the model, a method of its own kind, the stage and the context.
RUNNERS: dict[Kind, Callable[..., StageResult]] = {
    "dense": install_hooks,
    "linears": compress_linears,
    "blocks of linears": round_blocks,
    "tables": quantise_tables,
    "embedding": factor_embedding,
    "units": remove_units,
    "units in sequence": remove_units_walking,
    "factored units": remove_units_walking,
    "blocks": remove_blocks,
    "experts": remove_experts,
    "hidden size": remove_hidden,
    "slices": slice_model,
    "rotation": rotate_model,
    "pruning in training": _train,
    "recovery": _train,
    "runtime": install_hooks,
}


def apply(model: PreTrainedModel, given: StageInput, context: Context) -> StageResult:
    """Apply a stage to the model in place; raise `UserError` if it does not fit, or its method ends the program."""
    method = build_method(given.stage)
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
