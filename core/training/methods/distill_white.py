"""White-box distillation: the compressed model learns the next-token distributions of a teacher.

References: the citation; Gu et al., MiniLLM, 2023 (arXiv:2306.08543), for the reverse divergence; Agarwal et al., 2023
(arXiv:2306.13649), for Jensen-Shannon.
"""

from typing import Literal

from pydantic import Field

from core.base.errors import UserError
from core.methods.annotations import PreTrainedModel, Tensor
from core.methods.terms import Citation
from core.models.lazy import PreTrainedTokenizerBase
from core.training.base import Recovery, TeacherParameters
from core.training.lazy import Batch, Teacher, TextData


class DistillWhiteParameters(TeacherParameters):
    divergence: Literal["forward", "reverse", "jensen-shannon"] = Field(
        default="forward",
        description="KL(teacher || student) (forward), KL(student || teacher) (reverse), or the mean divergence of "
        "both from their mixture (jensen-shannon).",
    )
    temperature: float = Field(
        default=1.0, gt=0, le=100, description="Temperature of both predictions; above 1, they become more uniform."
    )
    teacher_share: float = Field(
        title="Teacher weight",
        default=0.5,
        ge=0,
        le=1,
        description="Weight of the divergence from the teacher; the loss on the text gets the rest.",
    )
    hidden_weight: float = Field(
        title="Hidden-state weight",
        default=0.0,
        ge=0,
        description="Weight of the relative squared distance between student and teacher after each block; both need "
        "equally many blocks of equal width.",
    )


class DistillWhite(Recovery):
    name = "distill-white"
    label = "White-box distillation"
    short_label = "distill"
    version = 2
    citation = Citation(
        title="Distilling the Knowledge in a Neural Network",
        authors="Hinton et al.",
        year=2015,
        url="https://arxiv.org/abs/1503.02531",
    )
    summary = "Trains low-rank adapters on a teacher's next-token distributions and on the next tokens of a text."
    idea = (
        "A teacher, by default the dense model, predicts a distribution over next tokens, which contains more "
        "information than the text's next token alone. Low-rank adapters learn these distributions and the text, and "
        "are then merged into the compressed model."
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
    has_teacher = compares = True
    Parameters = DistillWhiteParameters

    def check_text(self, data: TextData, tokenizer: PreTrainedTokenizerBase, teacher: Teacher) -> None:
        if data.wanted.window > teacher.max_window:
            raise UserError(
                f"Examples of {data.wanted.window} tokens exceed the {teacher.max_window} tokens of the teacher "
                f"{teacher.source.id}; use shorter examples."
            )
        if self.parameters.teacher and teacher.tokenizer.get_vocab() != tokenizer.get_vocab():
            raise UserError(
                f"The teacher {teacher.source.id} has another tokenizer than the student; use distill-black, or choose "
                "another teacher."
            )
        super().check_text(data, tokenizer, teacher)

    def check(self, student: PreTrainedModel, teacher: Teacher) -> None:
        if self.parameters.hidden_weight:
            from core.models.parts.blocks import find_blocks

            ours, theirs = (
                (len(find_blocks(model).holder), model.get_output_embeddings().in_features)
                for model in (student, teacher.model)
            )
            if ours != theirs:
                raise UserError(
                    f"The student has {ours[0]} blocks of width {ours[1]}, but the teacher has {theirs[0]} of "
                    f"{theirs[1]}. Their hidden states have no distance; set hidden_weight to 0."
                )

    def loss(self, student: PreTrainedModel, teacher: Teacher, batch: Batch) -> Tensor:
        import torch

        from core.evaluation.states import output_scale
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
            known = states(teacher.model, batch)  # (counted tokens, hidden)
        with block_outputs(student, compared) as own_states:
            hidden = states(student, batch)
        head, scale = teacher.model.get_output_embeddings(), output_scale(teacher.model)
        text = next_token(targets(batch))

        def both(logits: Tensor, part: slice) -> Tensor:
            with torch.no_grad():
                wanted = scale(head(known[part])).float()
            size = min(wanted.shape[1], logits.shape[1])  # one of them may have a padded vocabulary
            ours, theirs = logits[:, :size], wanted[:, :size]
            value = parameters.teacher_share * divergence(parameters.divergence, ours, theirs, parameters.temperature)
            own = 1 - parameters.teacher_share
            return value + own * text(logits, part) if own else value

        predicted = through_head(student, hidden, both)
        if not compared:
            return predicted
        return predicted + parameters.hidden_weight * states_distance(own_states, wanted_states, batch)
