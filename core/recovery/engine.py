"""A recovery applied to a model in memory: adapters put on, trained, the best ones merged."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.errors import UserError
from core.models.blocks import execution_device
from core.models.sources import ModelSource
from core.progress import Progress
from core.recovery.adapters import add_adapters, merge_adapters
from core.recovery.base import Recovery
from core.recovery.examples import Examples
from core.recovery.teacher import Teacher
from core.recovery.training import Budget, Training, train
from core.specs import Stage


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
    parameters = method.parameters
    where = execution_device(device)
    teacher = None
    if method.has_teacher:
        dtype = str(model.dtype).removeprefix("torch.")
        teacher = Teacher.of(parameters.teacher, dense, dtype, device, progress)
    method.check(tokenizer, teacher)
    found = method.examples(stage.calibration, tokenizer, teacher, progress)
    examples = Examples(found, method.batch, parameters.held_out, method.seed)
    if not examples.training:
        raise UserError(
            f"{stage.calibration} gives {len(found)} examples and {parameters.held_out} are held out, so none is left "
            "to train on; give more."
        )
    steps = math.ceil(parameters.epochs * examples.steps_an_epoch)
    budget = Budget(min(steps, parameters.steps or steps), parameters.minutes or math.inf)
    home = next(model.parameters()).device
    model.to(where)
    with torch.random.fork_rng():
        torch.manual_seed(method.seed)  # dropout draws
        trained = add_adapters(model, method.rank, parameters.alpha, parameters.dropout, method.seed)
        training = train(
            model,
            trained,
            lambda batch: method.loss(model, teacher and teacher.model, batch),
            examples,
            budget,
            parameters.learning_rate,
            parameters.patience,
            progress,
            checkpoint,
        )
    merge_adapters(model)
    model.to(home)
    return training
