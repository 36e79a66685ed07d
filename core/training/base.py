"""Base classes of methods that train: their parameters, their pruning hooks, and the loss of a recovery."""

import math
from typing import ClassVar, Literal, Protocol

from pydantic import Field

from core.base.errors import UserError
from core.base.progress import Progress
from core.methods.annotations import Blocks, ModelShape, PreTrainedModel, Tensor, TextWindows
from core.methods.base import Method
from core.methods.cost import LOGIT_BYTES
from core.methods.parameters import MethodParameters
from core.methods.terms import STORED
from core.models.lazy import PreTrainedTokenizerBase
from core.training.lazy import Batch, Example, LayerReport, SparseLora, Teacher, TextData

MICRO_TOKENS = 2048  # tokens per micro-batch
AT_ONCE = 16  # prompts per batch of a teacher's answers
# Rank of the adapters and examples per step, from the papers' scripts.
PRESETS = {"llm-pruner": (8, 64), "slimllm": (4, 16)}


class RecoveryParameters(MethodParameters):
    """Parameters of a method that trains adapters."""

    preset: Literal["llm-pruner", "slimllm"] = Field(
        title="Preset of a paper",
        default="llm-pruner",
        description="Default rank and examples per step: 8 and 64 of LLM-Pruner, or 4 and 16 of SlimLLM.",
    )
    rank: int | None = Field(
        title="Adapter rank",
        default=None,
        ge=1,
        le=1024,
        description="Rank of the adapters; the preset's if not given.",
    )
    batch: int | None = Field(
        title="Examples per step",
        default=None,
        ge=1,
        le=4096,
        description="Examples per optimiser step; the preset's if not given.",
    )
    alpha: float = Field(
        title="Adapter scale",
        default=16.0,
        gt=0,
        description="Scale of the adapters: alpha / rank multiplies their product.",
    )
    dropout: float = Field(
        title="Adapter dropout",
        default=0.05,
        ge=0,
        lt=1,
        description="Share of an adapter's inputs that training sets to zero at random.",
    )
    learning_rate: float = Field(
        title="Learning rate", default=1e-4, gt=0, le=1, description="Highest learning rate of AdamW."
    )
    epochs: float = Field(
        title="Epochs",
        default=2.0,
        gt=0,
        description="Passes over the training examples, unless another limit ends the training first.",
    )
    steps: int | None = Field(
        title="Maximum steps", default=None, ge=1, description="Maximum optimiser steps; no limit if not given."
    )
    minutes: float | None = Field(
        title="Maximum minutes",
        default=None,
        gt=0,
        description="Maximum minutes of training, held-out losses included; no limit if not given.",
    )
    held_out: int = Field(
        title="Held-out examples",
        default=8,
        ge=1,
        description="Examples excluded from training; their loss selects the best weights.",
    )
    patience: int = Field(
        title="Patience",
        default=3,
        ge=0,
        description="Held-out losses in a row, of ten in all, that end the training if none improves; 0 sets no limit.",
    )

    @property
    def resolved(self) -> tuple[int, int]:
        """The rank of the adapters, and the examples per step, from the preset where not given."""
        rank, batch = PRESETS[self.preset]
        return self.rank or rank, self.batch or batch


class Pruning(Protocol):
    """Pruning during the training."""

    adapters: dict[str, SparseLora]  # by linear name

    def begin(self, adapters: dict[str, SparseLora]) -> None:
        """Set the adapters that mask the weights."""
        self.adapters = adapters

    def after_gradients(self, spent: float) -> None:
        """Act on the gradients of a step before the optimiser does; `spent` is the used share of the budget."""

    def is_final(self, spent: float) -> bool:
        """Return whether all changes are complete, so that the weights can become the best ones."""

    def tensors(self) -> dict[str, Tensor]:
        """Return the state that `restore` needs."""

    def restore(self, tensors: dict[str, Tensor]) -> None: ...

    def finish(self) -> list[LayerReport]:
        """Make the removal permanent after the merge of the adapters, and return one report per linear."""


class TeacherParameters(RecoveryParameters):
    """Parameters of a distillation."""

    teacher: str | None = Field(
        default=None,
        description="Teacher model: a catalogue id, a hub id or a folder; the dense model if not given.",
    )


class TrainingMethod(Method):
    """Method that trains adapters on every block linear and merges them."""

    data_requirement = "training"
    draws = True  # the order of examples, the adapters and dropout
    Parameters = RecoveryParameters

    def check_amount(self, text: TextWindows) -> None:
        if self.parameters.held_out >= text.windows:
            raise UserError(
                f"{self.label} holds out {self.parameters.held_out} of {text.windows} examples, so none remain for "
                "training; use more examples, or a smaller held_out."
            )

    @property
    def minutes(self) -> float:
        """The maximum duration of the training, in minutes."""
        return self.parameters.minutes or math.inf

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Count the operations of forward and backward passes, which cost the same with frozen weights."""
        return 2 * self.seen(shape, text)

    def seen(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Count the operations of the forward passes over all training examples."""
        if text is None:
            return 0.0
        own = self.parameters
        examples = min(own.epochs * text.windows, (own.steps or math.inf) * own.resolved[1])
        return shape.forward(examples * text.window, text.window, head=True)

    def answers(self, text: TextWindows) -> int:
        """Count the decoding steps of a teacher that answers prompts in batches."""
        return 0

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int, streams: bool = False) -> int:
        """Count the adapters with their gradients, averages and best values, the activations and some logits."""
        sides = 4 * 2 * shape.hidden + 3 * (shape.hidden + shape.ffn)  # inputs and outputs of a block's linears
        adapters = 5 * self.parameters.resolved[0] * shape.blocks * sides
        return 4 * (adapters + MICRO_TOKENS * shape.saved_by(streams)) + LOGIT_BYTES


class TrainPruneMethod(TrainingMethod):
    """Method that prunes the model during its training."""

    kind = "pruning in training"
    streams = False
    accepts = STORED - {"pattern", "grid"}

    def pruning(self, blocks: Blocks, ratio: float) -> Pruning:
        """Create the pruning of the blocks; raise `UserError` if the ratio is not reachable."""
        raise NotImplementedError


class Recovery(TrainingMethod):
    """Method that trains the model after other stages and removes nothing."""

    kind = "recovery"
    family = "recovery"
    takes_amount = False
    has_teacher: ClassVar[bool] = False  # whether it uses a teacher, by default the dense model
    compares: ClassVar[bool] = False  # whether every step uses the teacher

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        return super().cost(shape, text) + self.compares * self.seen(shape, text)

    def memory(self, shape: ModelShape, text: TextWindows | None, item: int, streams: bool = False) -> int:
        return super().memory(shape, text, item, streams) + (self.has_teacher and not streams) * shape.parameters * item

    def examples(
        self, data: TextData, tokenizer: PreTrainedTokenizerBase, teacher: Teacher, progress: Progress
    ) -> list[Example]:
        """Return the training data, N examples of at most L tokens; raise `UserError` if there are fewer."""
        from core.training.examples import read_examples

        return read_examples(data, tokenizer, self.seed)

    def check_text(self, data: TextData, tokenizer: PreTrainedTokenizerBase, teacher: Teacher) -> None:
        """Raise `UserError` if there is too little training data, or the teacher cannot read it."""
        from core.training.examples import read_examples

        read_examples(data, tokenizer, self.seed)

    def check(self, student: PreTrainedModel, teacher: Teacher) -> None:
        """Raise `UserError` if student and teacher are incompatible."""

    def loss(self, student: PreTrainedModel, teacher: Teacher, batch: Batch) -> Tensor:
        """Compute the loss, summed over the counted tokens, with gradients for the trained parameters."""
        raise NotImplementedError
