"""Training applied to a model in memory: adapters put on, trained, merged; by itself, or while the model is pruned."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor

from core.context import Context, StageInput, StageResult
from core.errors import UserError
from core.models.parts.blocks import find_blocks, move
from core.results import Training
from core.specs import Stage
from core.training.adapters import adapters_of, add_adapters, merge_adapters
from core.training.base import (
    Pruning,
    Recovery,
    TeacherParameters,
    TrainingMethod,
    TrainPruneMethod,
    resolved_batch,
    resolved_rank,
)
from core.training.examples import Batch, Example, Examples, read_examples
from core.training.loop import Budget, Loss, train
from core.training.losses import text_loss
from core.training.teacher import Teacher

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def recover(model: PreTrainedModel, method: Recovery, given: StageInput, context: Context) -> StageResult:
    """Train the model in place; a training that was cancelled leaves the best so far.

    Raises `UserError` where there is too little to train on, before anything is changed.
    """
    teacher = teacher_of(method, str(model.dtype).removeprefix("torch."), context)
    method.check(model, teacher)
    found = method.examples(given.stage.required_text, context.tokenizer, teacher, context.progress)
    if not method.compares:
        teacher.unload()  # its memory is needed

    def loss(batch: Batch) -> Tensor:
        return method.loss(model, teacher, batch)

    return StageResult([], _train(model, method, found, loss, given, context))


def prune_while_training(
    model: PreTrainedModel, method: TrainPruneMethod, given: StageInput, context: Context
) -> StageResult:
    """Prune the model in place while it is trained.

    Raises `UserError` where the ratio cannot be reached or there is too little to train on, before anything is changed.
    """
    found = read_examples(given.stage.required_text, context.tokenizer, method.seed)
    pruning = method.pruning(find_blocks(model), given.share)

    def loss(batch: Batch) -> Tensor:
        return text_loss(model, batch)

    done = _train(model, method, found, loss, given, context, pruning)
    return StageResult(pruning.finish(), done)


def check_training(stage: Stage, method: TrainingMethod, dtype: str, context: Context) -> None:
    """Raise `UserError` where a stage has too little text, or a teacher that does not fit."""
    if isinstance(method, Recovery):
        method.check_text(stage.required_text, context.tokenizer, teacher_of(method, dtype, context))
    else:
        read_examples(stage.required_text, context.tokenizer, method.seed)


def teacher_of(method: Recovery, dtype: str, context: Context) -> Teacher:
    """Return the model that teaches, which is loaded where it is asked for: by a recovery without one, never."""
    own = method.parameters
    name = own.teacher if isinstance(own, TeacherParameters) else None
    return Teacher.of(name, context.dense, dtype, context.device, context.progress)


def _train(
    model: PreTrainedModel,
    method: TrainingMethod,
    found: list[Example],
    loss: Loss,
    given: StageInput,
    context: Context,
    pruning: Pruning | None = None,
) -> Training:
    parameters = method.parameters
    examples = Examples(found, resolved_batch(parameters), parameters.held_out, method.seed)
    if not examples.training:
        raise UserError(
            f"There are {len(found)} examples and {parameters.held_out} are held out, so none is left to train on; "
            "give more."
        )
    steps = math.ceil(parameters.epochs * examples.steps_an_epoch)
    budget = Budget(min(steps, parameters.steps or steps), parameters.minutes or math.inf)
    home = next(model.parameters()).device
    move(model, context.device)
    trained = add_adapters(model, resolved_rank(parameters), parameters.alpha, parameters.dropout, method.seed)
    if pruning:
        pruning.begin(adapters_of(model))
    done = train(
        model,
        trained,
        loss,
        examples,
        budget,
        parameters.learning_rate,
        parameters.patience,
        context.progress,
        given.checkpoint,
        pruning,
    )
    merge_adapters(model)
    move(model, home)
    return done
