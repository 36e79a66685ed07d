"""How each kind of method is carried out: the one place that asks."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from core.context import Context, Given, Outcome
from core.engine.by_linear import compress_linears
from core.engine.by_parts import remove_blocks, remove_hidden
from core.engine.by_rotation import rotate
from core.engine.by_units import factor_and_remove_units, remove_units, remove_units_walking
from core.methods.base import LinearMethod, Method
from core.methods.dense import Dense
from core.methods.structured.base import (
    BlockMethod,
    FactoredUnitMethod,
    HiddenMethod,
    RotationMethod,
    UnitMethod,
    WalkedUnitMethod,
)
from core.registry import METHODS, RECOVERIES, made
from core.training.apply import prune_while_training, recover
from core.training.base import Recovery, TrainedMethod

CarryOut = Callable[[nn.Module, Method, Given, Context], Outcome]


def _nothing(model: nn.Module, method: Method, given: Given, context: Context) -> Outcome:
    return Outcome([])


KINDS: dict[type[Method], CarryOut] = {
    Dense: _nothing,
    LinearMethod: compress_linears,
    UnitMethod: remove_units,
    WalkedUnitMethod: remove_units_walking,
    FactoredUnitMethod: factor_and_remove_units,
    BlockMethod: remove_blocks,
    HiddenMethod: remove_hidden,
    RotationMethod: rotate,
    TrainedMethod: prune_while_training,
    Recovery: recover,
}


def how(kind: type[Method]) -> CarryOut:
    """Return how methods of a class are carried out; a `TypeError` where it is of no kind that is known."""
    for base in kind.__mro__:
        if base in KINDS:
            return KINDS[base]
    raise TypeError(f"{kind.__name__} is of no kind that core.engine.stages can carry out.")


for _method in (*METHODS, *RECOVERIES):
    how(_method)  # so that a method of no kind is told when the program starts, not in a run


def apply(model: nn.Module, given: Given, context: Context) -> Outcome:
    """Apply a stage to the model in place.

    Raises `UserError` where the stage does not fit the model, before anything is changed.
    """
    method = made(given.stage)
    return how(type(method))(model, method, given, context)
