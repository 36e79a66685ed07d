"""Training applied to a model in memory: adapters put on, trained, merged; by itself, or while the model is pruned."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from core.errors import UserError
from core.methods.base import Method
from core.methods.structured.base import View
from core.methods.structured.report import layer_reports
from core.models.blocks import execution_device, find_blocks
from core.models.sources import ModelSource
from core.models.units import check_heads, find_units
from core.progress import Progress
from core.results import LayerReport
from core.specs import Stage
from core.training.adapters import SparseLora, adapters_of, add_adapters, merge_adapters
from core.training.base import Recovery, RecoveryParameters, resolved_batch, resolved_rank
from core.training.examples import Batch, Example, Examples, read_examples
from core.training.loop import Budget, During, Loss, Training, train
from core.training.losses import text_loss
from core.training.masks import UnitMasks, WeightMasks
from core.training.teacher import Teacher


def recover(
    model: nn.Module,
    method: Recovery,
    stage: Stage,
    dense: ModelSource,
    tokenizer: Any,
    device: str,
    progress: Progress,
    checkpoint: Path | None,
) -> Training:
    """Train the model in place and return what the training did; one that was cancelled leaves the best so far.

    `dense` is what the model was made from, `checkpoint` where an interrupted training goes on from. Raises `UserError`
    where there is too little to train on, before anything is changed.
    """
    teacher = teacher_of(method, dense, str(model.dtype).removeprefix("torch."), device, progress)
    method.check(model, teacher)
    found = method.examples(stage.calibration, tokenizer, teacher, progress)
    if not method.compares:
        teacher = None  # its memory is needed

    def loss(batch: Batch) -> Tensor:
        return method.loss(model, teacher and teacher.model, batch)

    return _train(model, method, found, loss, device, progress, checkpoint)


def check_training(
    stage: Stage, method: Method, dense: ModelSource, dtype: str, tokenizer: Any, device: str, progress: Progress
) -> None:
    """Raise `UserError` where a stage has too little text, or a teacher that does not fit."""
    if isinstance(method, Recovery):
        method.check_text(stage.calibration, tokenizer, teacher_of(method, dense, dtype, device, progress))
    else:
        read_examples(stage.calibration, tokenizer, method.seed)


def teacher_of(method: Recovery, dense: ModelSource, dtype: str, device: str, progress: Progress) -> Teacher | None:
    """Return the model that teaches, not loaded yet; None for a recovery without one."""
    return Teacher.of(method.parameters.teacher, dense, dtype, device, progress) if method.has_teacher else None


def prune_while_training(
    model: nn.Module,
    method: Method,
    stage: Stage,
    tokenizer: Any,
    device: str,
    progress: Progress,
    checkpoint: Path | None,
) -> tuple[list[LayerReport], Training]:
    """Prune the model in place while it is trained; return one report a linear and what the training did.

    Raises `UserError` where the ratio cannot be reached or there is too little to train on, before anything is changed.
    """
    found = read_examples(stage.calibration, tokenizer, method.seed)

    def loss(batch: Batch) -> Tensor:
        return text_loss(model, batch)

    blocks = find_blocks(model)
    if method.family == "unstructured":
        training = _train(
            model,
            method,
            found,
            loss,
            device,
            progress,
            checkpoint,
            lambda adapters: WeightMasks(adapters, stage.ratio, method.parameters.rounds),
        )
        return [_report(linear) for linear in blocks.all_linears()], training
    views = [View(find_units(blocks, i, method.parameters.attention)) for i in range(len(blocks.holder))]
    for view in views:
        check_heads(view.units)
    removals = method.allocate(views, stage.ratio)
    masks: list[UnitMasks] = []

    def masking(adapters: dict[str, SparseLora]) -> UnitMasks:
        own = method.parameters
        masks.append(UnitMasks(views, removals, adapters, own.every, own.warmup, own.cooldown))
        return masks[0]

    training = _train(model, method, found, loss, device, progress, checkpoint, masking)
    reports: list[LayerReport] = []
    for view in views:
        before = view.units.sizes
        view.units.shrink(masks[0].kept(view))
        reports += layer_reports(view.units, before)
    return reports, training


def _report(linear: Any) -> LayerReport:
    zeros = (linear.weight == 0).sum().item()
    return LayerReport(
        name=linear.name,
        block=linear.block,
        role=linear.role,
        shape=tuple(linear.weight.shape),
        sparsity=zeros / linear.weight.numel(),
    )


def _train(
    model: nn.Module,
    method: Method,
    found: list[Example],
    loss: Loss,
    device: str,
    progress: Progress,
    checkpoint: Path | None,
    during: Callable[[dict[str, SparseLora]], During] | None = None,
) -> Training:
    parameters: RecoveryParameters = method.parameters
    examples = Examples(found, resolved_batch(parameters), parameters.held_out, method.seed)
    if not examples.training:
        raise UserError(
            f"There are {len(found)} examples and {parameters.held_out} are held out, so none is left to train on; "
            "give more."
        )
    steps = math.ceil(parameters.epochs * examples.steps_an_epoch)
    budget = Budget(min(steps, parameters.steps or steps), parameters.minutes or math.inf)
    home = next(model.parameters()).device
    model.to(execution_device(device))
    trained = add_adapters(model, resolved_rank(parameters), parameters.alpha, parameters.dropout, method.seed)
    training = train(
        model,
        trained,
        loss,
        examples,
        budget,
        parameters.learning_rate,
        parameters.patience,
        progress,
        checkpoint,
        during and during(adapters_of(model)),
    )
    merge_adapters(model)
    model.to(home)
    return training
