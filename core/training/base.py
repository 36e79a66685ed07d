"""What a recovery is: a declaration like a method's, and the loss that its training lowers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pydantic import Field

from core.errors import UserError
from core.methods.base import Method
from core.methods.parameters import MethodParameters
from core.methods.terms import NEUTRAL
from core.progress import Progress
from core.specs import TextWindows

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from core.models.parts.blocks import Blocks
    from core.models.shape import ModelShape
    from core.results import LayerReport
    from core.training.adapters import SparseLora
    from core.training.examples import Batch, Example
    from core.training.teacher import Teacher

TRAINED_DASH = "dot"
MICRO_TOKENS = 2048  # of a batch that run at once
AT_ONCE = 16  # prompts that a teacher answers together
# Rank of the adapters and examples a step, as the papers' scripts have them.
PRESETS = {"llm-pruner": (8, 64), "slimllm": (4, 16)}


class RecoveryParameters(MethodParameters):
    preset: Literal["llm-pruner", "slimllm"] = Field(
        title="Settings of a paper",
        default="llm-pruner",
        description="Whose rank and batch are taken where none is given: LLM-Pruner's 8 and 64, SlimLLM's 4 and 16.",
    )
    rank: int | None = Field(
        title="Rank of the adapters",
        default=None,
        ge=1,
        le=1024,
        description="Rank of the adapters; the preset's if not given.",
    )
    batch: int | None = Field(
        title="Examples in a step",
        default=None,
        ge=1,
        le=4096,
        description="Examples in a step; the preset's if not given.",
    )
    alpha: float = Field(
        title="Scale of the adapters",
        default=16.0,
        gt=0,
        description="Scale of the adapters: their product counts alpha / rank.",
    )
    dropout: float = Field(
        title="Dropout of the adapters",
        default=0.05,
        ge=0,
        lt=1,
        description="Share of an adapter's inputs that is dropped while it trains.",
    )
    learning_rate: float = Field(
        title="Learning rate", default=1e-4, gt=0, le=1, description="Highest learning rate of AdamW."
    )
    epochs: float = Field(
        title="Passes over the examples",
        default=2.0,
        gt=0,
        description="How often every example is seen, unless the training ends.",
    )
    steps: int | None = Field(
        title="Most steps", default=None, ge=1, description="Most steps of the optimiser; no limit if not given."
    )
    minutes: float | None = Field(
        title="Most minutes",
        default=None,
        gt=0,
        description="Most minutes of training, held-out losses included; no limit if not given.",
    )
    held_out: int = Field(
        title="Held-out examples",
        default=8,
        ge=1,
        description="Examples that are not trained on and show how far the training is.",
    )
    patience: int = Field(
        title="Patience with no gain",
        default=3,
        ge=0,
        description="End after so many held-out losses in a row, of ten a training, that are no better; 0 never does.",
    )


class TrainingHook(Protocol):
    """What else happens to the model while it is trained, such as pruning."""

    def after_gradients(self, spent: float) -> None:
        """Act after a step's gradients are there, before they are used; `spent` is the share of the budget."""
        ...

    def is_final(self, spent: float) -> bool:
        """Whether the weights are of the kind that is asked for, so that they may be kept as the best."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Return all that a resumption needs to know."""
        ...

    def restore(self, tensors: dict[str, Tensor]) -> None: ...


class Pruning(TrainingHook, Protocol):
    """A pruning that goes on while the model is trained."""

    def begin(self, adapters: dict[str, SparseLora]) -> None:
        """Take the adapters, by the name of their linear, through which weights are masked."""
        ...

    def finish(self) -> list[LayerReport]:
        """Take away for good what is gone, the adapters being merged; return one report a linear."""
        ...


def resolved_rank(parameters: RecoveryParameters) -> int:
    return parameters.rank or PRESETS[parameters.preset][0]


def resolved_batch(parameters: RecoveryParameters) -> int:
    return parameters.batch or PRESETS[parameters.preset][1]


class TeacherParameters(RecoveryParameters):
    teacher: str | None = Field(
        default=None,
        description="The model that teaches, by its catalogue or hub id or folder; the uncompressed one if not given.",
    )


class TrainingMethod(Method):
    """A stage that trains adapters on every block linear and merges them."""

    data_requirement = "training"
    draws = True  # the order of examples, adapters and dropout
    parameters: RecoveryParameters
    Parameters = RecoveryParameters

    def check_amount(self, text: TextWindows) -> None:
        if self.parameters.held_out >= text.windows:
            raise UserError(
                f"{self.label} holds {self.parameters.held_out} examples out and is given {text.windows}, so none is "
                "left to train on; give more, or a smaller held_out."
            )

    @property
    def minutes(self) -> float:
        """After how many the training ends, whatever it has seen."""
        return self.parameters.minutes or math.inf

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """A forward and a backward pass, which through frozen weights costs as much; over what is seen of the text."""
        return 2 * self.seen(shape, text)

    def seen(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Return the operations of one forward over all examples that are trained on."""
        if text is None:
            return 0.0
        own = self.parameters
        examples = min(own.epochs * text.windows, (own.steps or math.inf) * resolved_batch(own))
        return shape.forward(examples * text.window, text.window, head=True)

    def answers(self, text: TextWindows) -> int:
        """Return the decoding steps of a teacher that answers prompts, of which several are answered together."""
        return 0

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int) -> int:
        return 4 * MICRO_TOKENS * shape.saved


class TrainPruneMethod(TrainingMethod):
    """Prunes the model while it is trained. It is drawn like what it prunes by, trained afterwards."""

    preserves = "zeros"

    marker = "cross"
    dash = TRAINED_DASH

    def pruning(self, blocks: Blocks, ratio: float) -> Pruning:
        """Return what prunes the blocks. Raises `UserError` where the ratio cannot be reached."""
        raise NotImplementedError


class Recovery(TrainingMethod):
    """Trains what other stages have left, and removes nothing.

    Its mark takes the place of that of the method that it is trained after, whose colour stays.
    """

    colour = NEUTRAL
    dash = TRAINED_DASH

    family = "recovery"
    takes_amount = False
    has_teacher: ClassVar[bool] = False  # whether another model, by default the uncompressed one, takes part
    compares: ClassVar[bool] = False  # whether it does so in every step

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        return super().cost(shape, text) + self.compares * self.seen(shape, text)

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int) -> int:
        return super().memory(shape, text, item) + self.has_teacher * shape.parameters * item

    def examples(self, wanted: TextWindows, tokenizer: Any, teacher: Teacher, progress: Progress) -> list[Example]:
        """Return what is learnt, N examples of at most L tokens. Raises `UserError` where there are fewer."""
        from core.training.examples import read_examples

        return read_examples(wanted, tokenizer, self.seed)

    def check_text(self, wanted: TextWindows, tokenizer: Any, teacher: Teacher) -> None:
        """Raise `UserError` where the text is too short, or teacher and student read it otherwise."""
        from core.training.examples import read_examples

        read_examples(wanted, tokenizer, self.seed)

    def check(self, student: PreTrainedModel, teacher: Teacher) -> None:
        """Raise `UserError` where student and teacher do not go together."""

    def loss(self, student: PreTrainedModel, teacher: Teacher, batch: Batch) -> Tensor:
        """Return the loss summed over the tokens that count, with a gradient for what is trained."""
        raise NotImplementedError
