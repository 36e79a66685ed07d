"""A recovery applied to a model in memory: adapters put on, trained, the best ones merged."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.errors import UserError
from core.models.blocks import execution_device
from core.models.sources import ModelSource, load_model
from core.progress import Progress
from core.recovery.adapters import add_adapters, merge_adapters
from core.recovery.base import Recovery
from core.recovery.examples import Examples, read_examples
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
    examples = Examples(
        read_examples(stage.calibration, tokenizer, method.seed), method.batch, parameters.held_out, method.seed
    )
    if not examples.training:
        raise UserError(
            f"{stage.calibration} has {stage.calibration.windows} examples and {parameters.held_out} are held out, so "
            "none is left to train on; give more."
        )
    where = execution_device(device)
    teacher = None
    if method.has_teacher:
        teacher = load_model(dense, str(model.dtype).removeprefix("torch."), device, progress)
    method.check(model, teacher)
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
            lambda batch: method.loss(model, teacher, batch),
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
