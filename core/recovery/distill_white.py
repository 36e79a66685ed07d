"""White-box distillation: the compressed model learns the whole prediction of the model it was made from.

References: Hinton et al., Distilling the Knowledge in a Neural Network, 2015 (arXiv:1503.02531); Gu et al., MiniLLM,
2023 (arXiv:2306.08543), for the reverse divergence; Agarwal et al., 2023 (arXiv:2306.13649), for Jensen-Shannon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from core.errors import UserError
from core.methods.base import Citation
from core.recovery.base import Recovery, RecoveryParameters

if TYPE_CHECKING:
    from torch import Tensor, nn

    from core.recovery.examples import Batch


class DistillWhiteParameters(RecoveryParameters):
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

    def check(self, student: nn.Module, teacher: nn.Module | None) -> None:
        ours, theirs = (model.get_output_embeddings().weight.shape[0] for model in (student, teacher))
        if ours != theirs:
            raise UserError(f"The teacher predicts {theirs} tokens and the student {ours}; they need one tokenizer.")

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
            value = parameters.teacher_share * divergence(parameters.divergence, logits, wanted, parameters.temperature)
            own = 1 - parameters.teacher_share
            return value + own * text(logits, part) if own else value

        return through_head(student, states(student, batch), both)
