"""Installs the hooks of methods that change how a model computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.context import Context, StageInput, StageResult
from core.methods.runtime import RuntimeMethod
from core.registry import build_method
from core.specs import Stage

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def install_hooks(model: PreTrainedModel, method: RuntimeMethod, given: StageInput, context: Context) -> StageResult:
    """Install the hooks of one stage in place."""
    method.install(model, given.stage.amount)
    return StageResult([])


def reinstall_hooks(model: PreTrainedModel, stages: Sequence[Stage]) -> None:
    """Install the hooks of all runtime stages of a model that was loaded from a checkpoint, which has none."""
    for stage in stages:
        build_method(stage).install(model, stage.amount)
