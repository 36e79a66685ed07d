"""White-box distillation: the compressed model learns the whole prediction of the model it was made from.

References: Hinton et al., Distilling the Knowledge in a Neural Network, 2015 (arXiv:1503.02531); Gu et al., MiniLLM,
2023 (arXiv:2306.08543), for the reverse divergence; Agarwal et al., 2023 (arXiv:2306.13649), for Jensen-Shannon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from core.errors import UserError
from core.methods.base import Citation
from core.recovery.base import Recovery, TeacherParameters

if TYPE_CHECKING:
    from torch import Tensor, nn

    from core.recovery.examples import Batch
    from core.recovery.teacher import Teacher


class DistillWhiteParameters(TeacherParameters):
    divergence: Literal["forward", "reverse", "jensen-shannon"] = Field(
        default="forward",
        description="Between the teacher's prediction and the student's: KL from the teacher's to the student's "
        "(forward), the other way round (reverse), or the mean of both to their mixture.",
    )
    temperature: float = Field(default=1.0, gt=0, le=100, description="Softens both predictions; above 1, more.")
    teacher_share: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Weight of the teacher's prediction; the text's next tokens get the rest.",
    )


class DistillWhite(Recovery):
    name = "distill-white"
    label = "White-box distillation"
    citation = Citation(
        title="Distilling the Knowledge in a Neural Network",
        authors="Hinton et al.",
        year=2015,
        url="https://arxiv.org/abs/1503.02531",
    )
    summary = "Trains low-rank adapters to predict what the uncompressed model predicts, token by token."
    has_teacher = True
    Parameters = DistillWhiteParameters

    def check(self, tokenizer: Any, teacher: Teacher | None) -> None:
        if self.parameters.teacher and teacher.tokenizer.get_vocab() != tokenizer.get_vocab():
            raise UserError(
                f"The teacher {teacher.source.id} has another tokenizer, so its predictions cannot be learnt; "
                "distill-black learns from its answers."
            )

    def loss(self, student: nn.Module, teacher: nn.Module | None, batch: Batch) -> Tensor:
        import torch

        from core.evaluation.perplexity import output_scale
        from core.recovery.losses import divergence, next_token, states, targets, through_head

        parameters = self.parameters
        with torch.no_grad():
            known = states(teacher, batch)  # (tokens that count, hidden)
        head, scale = teacher.get_output_embeddings(), output_scale(teacher)
        text = next_token(targets(batch))

        def both(logits: Tensor, part: slice) -> Tensor:
            with torch.no_grad():
                wanted = scale(head(known[part])).float()
            real = min(wanted.shape[1], logits.shape[1])  # one of them may have a padded vocabulary
            ours, theirs = logits[:, :real], wanted[:, :real]
            value = parameters.teacher_share * divergence(parameters.divergence, ours, theirs, parameters.temperature)
            own = 1 - parameters.teacher_share
            return value + own * text(logits, part) if own else value

        return through_head(student, states(student, batch), both)
