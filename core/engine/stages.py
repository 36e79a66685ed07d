"""Dispatch of each kind of method to the function that runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, cast

from core.context import Context, StageInput, StageResult
from core.engine.amounts import fraction_to_remove
from core.engine.runners.by_block import round_blocks
from core.engine.runners.by_convolution import decompose_convolutions
from core.engine.runners.by_embedding_factors import factor_embedding
from core.engine.runners.by_embedding_quant import quantise_tables
from core.engine.runners.by_linear import compress_linears
from core.engine.runners.by_removal import remove_blocks, remove_hidden
from core.engine.runners.by_rotation import rotate_model
from core.engine.runners.by_slicing import slice_model
from core.engine.runners.by_units import factor_and_remove_units, remove_units, remove_units_walking
from core.methods.base import Method
from core.methods.convolution.base import ConvMethod
from core.methods.dense import Dense
from core.methods.embedding.base import EmbeddingMethod
from core.methods.linear import LinearMethod
from core.methods.preparation import TransformMethod
from core.methods.quantised.blocks import BlockQuantMethod
from core.methods.structured.base import (
    BlockRemovalMethod,
    FactoredUnitMethod,
    HiddenSizeMethod,
    SequentialUnitMethod,
    SliceMethod,
    UnitMethod,
)
from core.methods.tables import TableQuantMethod
from core.registry import STAGES, build_method
from core.training.apply import prune_while_training, recover
from core.training.base import Recovery, TrainPruneMethod

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    Runner = Callable[[PreTrainedModel, Method, StageInput, Context], StageResult]

Kind = TypeVar("Kind", bound=Method)


def _by(
    kind: type[Kind], runner: Callable[[PreTrainedModel, Kind, StageInput, Context], StageResult]
) -> tuple[type[Method], Runner]:
    """Pair a kind of method with its runner."""
    return kind, cast("Runner", runner)  # `runner_for` selects by class, so a runner gets only its own kind


def _nothing(model: PreTrainedModel, method: Method, given: StageInput, context: Context) -> StageResult:
    return StageResult([])


RUNNERS = dict(
    [
        _by(Dense, _nothing),
        _by(LinearMethod, compress_linears),
        _by(BlockQuantMethod, round_blocks),
        _by(TableQuantMethod, quantise_tables),
        _by(ConvMethod, decompose_convolutions),
        _by(EmbeddingMethod, factor_embedding),
        _by(UnitMethod, remove_units),
        _by(SequentialUnitMethod, remove_units_walking),
        _by(FactoredUnitMethod, factor_and_remove_units),
        _by(BlockRemovalMethod, remove_blocks),
        _by(HiddenSizeMethod, remove_hidden),
        _by(SliceMethod, slice_model),
        _by(TransformMethod, rotate_model),
        _by(TrainPruneMethod, prune_while_training),
        _by(Recovery, recover),
    ]
)


def runner_for(kind: type[Method]) -> Runner:
    """Return the function that runs methods of a class.

    Raises:
        TypeError: No base class has a runner.
    """
    for base in kind.__mro__:
        if base in RUNNERS:
            return RUNNERS[base]
    raise TypeError(f"{kind.__name__} has no runner in core.engine.stages; derive it from a class in RUNNERS.")


for _method in STAGES:
    runner_for(_method)  # a method without a runner fails at the start of the program, not in a run


def apply(model: PreTrainedModel, given: StageInput, context: Context) -> StageResult:
    """Apply a stage to the model in place.

    Raises:
        UserError: The stage does not fit the model.
    """
    method = build_method(given.stage)
    if given.stage.removes:
        given = replace(given, fraction_to_remove=fraction_to_remove(model, method, given))
    return runner_for(type(method))(model, method, given, context)
