"""White-box distillation: the compressed model learns the whole prediction of the model it was made from.

References: Hinton et al., Distilling the Knowledge in a Neural Network, 2015 (arXiv:1503.02531); Gu et al., MiniLLM,
2023 (arXiv:2306.08543), for the reverse divergence; Agarwal et al., 2023 (arXiv:2306.13649), for Jensen-Shannon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from core.errors import UserError
from core.methods.terms import Citation
from core.training.base import Recovery, TeacherParameters

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from core.specs import TextWindows
    from core.training.examples import Batch
    from core.training.teacher import Teacher


class DistillWhiteParameters(TeacherParameters):
    divergence: Literal["forward", "reverse", "jensen-shannon"] = Field(
        default="forward",
        description="Between the teacher's prediction and the student's: KL from the teacher's to the student's "
        "(forward), the other way round (reverse), or the mean of both to their mixture.",
    )
    temperature: float = Field(default=1.0, gt=0, le=100, description="Softens both predictions; above 1, more.")
    teacher_share: float = Field(
        title="Weight of the teacher",
        default=0.5,
        ge=0,
        le=1,
        description="Weight of the teacher's prediction; the text's next tokens get the rest. 1: the teacher alone.",
    )
    hidden_weight: float = Field(
        title="Weight of hidden states",
        default=0.0,
        ge=0,
        description="Weight of the distance between student and teacher after each block, relative to the teacher's "
        "states; their blocks must be as many and as wide.",
    )


class DistillWhite(Recovery):
    name = "distill-white"
    label = "White-box distillation"
    version = 2
    citation = Citation(
        title="Distilling the Knowledge in a Neural Network",
        authors="Hinton et al.",
        year=2015,
        url="https://arxiv.org/abs/1503.02531",
    )
    summary = "Trains low-rank adapters on what the uncompressed model predicts beside the next tokens of a text."
    idea = (
        "For every token the uncompressed model tells how likely each next one is, which says more than the one that "
        "follows in the text. The compressed model learns that whole prediction beside the text, by low-rank adapters "
        "that are merged in the end."
    )
    formulas = (
        r"\mathcal{L} = \lambda\, T^2 \operatorname{KL}\left( Q_T \,\Vert\, P_T \right) "
        r"+ (1 - \lambda)\, \mathcal{L}_{\mathrm{text}}",
    )
    symbols = {
        r"\lambda": "teacher's share",
        "T": "temperature",
        r"Q_T,\ P_T": "predictions of teacher and student, softened by the temperature",
        r"\mathcal{L}_{\mathrm{text}}": "loss on the next tokens of the text",
    }
    marker = "x"
    has_teacher = compares = True
    parameters: DistillWhiteParameters
    Parameters = DistillWhiteParameters

    def check_text(self, wanted: TextWindows, tokenizer: Any, teacher: Teacher) -> None:
        if wanted.window > teacher.max_window:
            raise UserError(
                f"The teacher {teacher.source.id} was made for {teacher.max_window} tokens; examples of "
                f"{wanted.window} are too long for it."
            )
        if self.parameters.teacher and teacher.tokenizer.get_vocab() != tokenizer.get_vocab():
            raise UserError(
                f"The teacher {teacher.source.id} has another tokenizer, so its predictions cannot be learnt; "
                "distill-black learns from its answers."
            )
        super().check_text(wanted, tokenizer, teacher)

    def check(self, student: PreTrainedModel, teacher: Teacher) -> None:
        if self.parameters.hidden_weight:
            from core.models.parts.blocks import find_blocks

            ours, theirs = (
                (len(find_blocks(model).holder), model.get_output_embeddings().in_features)
                for model in (student, teacher.model)
            )
            if ours != theirs:
                raise UserError(
                    f"Hidden states cannot be compared: the student has {ours[0]} blocks of width {ours[1]} and the "
                    f"teacher {theirs[0]} of {theirs[1]}; leave hidden_weight at 0."
                )

    def loss(self, student: PreTrainedModel, teacher: Teacher, batch: Batch) -> Tensor:
        import torch

        from core.evaluation.perplexity import output_scale
        from core.training.losses import (
            block_outputs,
            divergence,
            next_token,
            states,
            states_distance,
            targets,
            through_head,
        )

        parameters = self.parameters
        compared = bool(parameters.hidden_weight)
        with torch.no_grad(), block_outputs(teacher.model, compared) as wanted_states:
            known = states(teacher.model, batch)  # (tokens that count, hidden)
        with block_outputs(student, compared) as own_states:
            hidden = states(student, batch)
        head, scale = teacher.model.get_output_embeddings(), output_scale(teacher.model)
        text = next_token(targets(batch))

        def both(logits: Tensor, part: slice) -> Tensor:
            with torch.no_grad():
                wanted = scale(head(known[part])).float()
            real = min(wanted.shape[1], logits.shape[1])  # one of them may have a padded vocabulary
            ours, theirs = logits[:, :real], wanted[:, :real]
            value = parameters.teacher_share * divergence(parameters.divergence, ours, theirs, parameters.temperature)
            own = 1 - parameters.teacher_share
            return value + own * text(logits, part) if own else value

        predicted = through_head(student, hidden, both)
        if not compared:
            return predicted
        return predicted + parameters.hidden_weight * states_distance(own_states, wanted_states, batch)
