"""Training of a model in memory, alone or with pruning: add adapters, train and merge them."""

import math
from functools import partial

from transformers import PreTrainedModel

from core.base.errors import UserError
from core.context import Context, StageInput, StageResult
from core.data.windows import TextData
from core.models.parts.blocks import move
from core.models.parts.overflow import Overflow
from core.models.teacher import Teacher, identify_teacher
from core.training.adapters import adapters_of, add_adapters, merge_adapters
from core.training.base import Pruning, Recovery, TeacherParameters, TrainingMethod, TrainPruneMethod
from core.training.examples import Examples, read_examples
from core.training.loop import Budget, train
from core.training.losses import recomputed, text_loss


def train_stage(
    model: PreTrainedModel, method: Recovery | TrainPruneMethod, given: StageInput, context: Context
) -> StageResult:
    """Train the model in place, and prune it meanwhile if the method does; a cancelled one leaves the best weights.

    Raises `UserError` if there is too little training data or the ratio is not reachable, and the model stays
    unchanged, or if the loss is not a number.
    """
    teacher: Teacher | None = None
    pruning: Pruning | None = None
    if isinstance(method, Recovery):
        teacher = teacher_of(method, str(model.dtype).removeprefix("torch."), context)
        method.check(model, teacher)
        every = method.examples(given.examples, context.tokenizer, teacher, context.progress)
        if not method.compares:
            teacher.unload()  # frees memory for the training
        loss = partial(method.loss, model, teacher)
    else:
        every = read_examples(given.examples, context.tokenizer, method.seed)
        pruning = method.pruning(given.blocks, given.share)
        loss = partial(text_loss, model)
    parameters = method.parameters
    rank, batch = parameters.resolved
    examples = Examples(every, batch, parameters.held_out, method.seed)
    if not examples.training:
        raise UserError(
            f"There are {len(every)} examples and {parameters.held_out} are held out, so none remain for training; "
            "use more examples, or a smaller held_out."
        )
    steps = math.ceil(parameters.epochs * examples.steps_an_epoch)
    budget = Budget(min(steps, parameters.steps or steps), parameters.minutes or math.inf)
    home = next(model.parameters()).device
    move(model, context.device)
    trained = add_adapters(model, rank, parameters.alpha, parameters.dropout, method.seed)
    streams = context.shelf is not None
    if streams:  # the masks would take as much memory as the model
        masks = (layer.mask for layer in adapters_of(model).values())
        Overflow(0).store("masks", [mask for mask in masks if mask is not None])
    if pruning:
        pruning.begin(adapters_of(model))
    with recomputed(model, streams):
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
    merge_adapters(model, context.shelf)
    move(model, home)
    if teacher:
        teacher.unload()  # frees memory for the next stages
    return StageResult(pruning.finish() if pruning else [], done)


def check_training(data: TextData, method: TrainingMethod, dtype: str, context: Context) -> None:
    """Raise `UserError` if there is too little training data, or an unsuitable teacher."""
    if isinstance(method, Recovery):
        method.check_text(data, context.tokenizer, teacher_of(method, dtype, context))
    else:
        read_examples(data, context.tokenizer, method.seed)


def teacher_of(method: Recovery, dtype: str, context: Context) -> Teacher:
    """Return the teacher of a recovery, which is identified once per run and loaded at its first use."""
    own = method.parameters
    name = own.teacher if isinstance(own, TeacherParameters) else None
    if (name, dtype) not in context.teachers:
        source, tokenizer = (context.dense, context.tokenizer) if name is None else (identify_teacher(name), None)
        mapped = context.shelf is not None
        context.teachers[name, dtype] = Teacher(source, dtype, context.device, context.progress, tokenizer, mapped)
    return context.teachers[name, dtype]
