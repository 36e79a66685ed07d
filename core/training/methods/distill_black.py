"""Black-box distillation: a teacher answers prompts, the compressed model learns its text; the tokenizers may differ.

References: Kim & Rush, Sequence-Level Knowledge Distillation, 2016 (arXiv:1606.07947).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import Field

from core.errors import UserError
from core.methods.terms import Citation
from core.progress import Progress
from core.specs import TextWindows, canonical_json, sha256
from core.training.base import AT_ONCE, TeacherParameters
from core.training.methods.lora import LoRA

if TYPE_CHECKING:
    from core.training.examples import Example
    from core.training.teacher import Teacher


class DistillBlackParameters(TeacherParameters):
    answer_tokens: int = Field(
        title="Tokens of an answer",
        default=128,
        ge=1,
        le=4096,
        description="Most tokens that the teacher answers with.",
    )
    temperature: float = Field(
        title="Temperature of the answers",
        default=1.0,
        ge=0,
        le=10,
        description="Of the teacher's draws; 0 takes the likeliest token each time.",
    )


class DistillBlack(LoRA):
    name = "distill-black"
    label = "Black-box distillation"
    version = 2
    citation = Citation(
        title="Sequence-Level Knowledge Distillation",
        authors="Kim & Rush",
        year=2016,
        url="https://arxiv.org/abs/1606.07947",
    )
    summary = "Has a teacher answer prompts and trains low-rank adapters on its answers; any tokenizer will do."
    idea = (
        "Only the text of a teacher's answers is needed, so it may be any model with any tokenizer. It answers "
        "prompts, and the compressed model learns those answers token by token, by low-rank adapters that are merged "
        "in the end."
    )
    formulas = (r"y \sim Q(\,\cdot \mid x)", r"\mathcal{L} = -\sum_t \log P(y_t \mid x,\, y_{<t})")
    symbols = {
        "x": "a prompt",
        "y": "the teacher's answer, t its tokens",
        "Q": "prediction of the teacher",
        "P": "prediction of the compressed model",
    }
    marker = "diamond-tall"
    has_teacher = True
    parameters: DistillBlackParameters
    Parameters = DistillBlackParameters

    def answers(self, text: TextWindows) -> int:
        return self.parameters.answer_tokens * math.ceil(text.windows / AT_ONCE)

    def check_text(self, wanted: TextWindows, tokenizer: Any, teacher: Teacher) -> None:
        from core.training.examples import read_prompts

        prompts = read_prompts(wanted, tokenizer, self.seed)
        longest = max(len(teacher.tokenizer(prompt)["input_ids"]) for prompt in prompts)
        if longest + self.parameters.answer_tokens > teacher.max_window:
            raise UserError(
                f"The teacher {teacher.source.id} was made for {teacher.max_window} tokens; prompts of up to {longest} "
                f"and answers of {self.parameters.answer_tokens} are too long for it."
            )

    def examples(self, wanted: TextWindows, tokenizer: Any, teacher: Teacher, progress: Progress) -> list[Example]:
        from core.paths import cache_dir
        from core.training.answers import answers
        from core.training.examples import encode, read_prompts

        prompts = read_prompts(wanted, tokenizer, self.seed)
        longest, temperature = self.parameters.answer_tokens, self.parameters.temperature
        what = [teacher.source.id, teacher.source.revision, teacher.dtype, longest, temperature, self.seed, prompts]
        file = cache_dir() / "answers" / f"{sha256(canonical_json(what))}.jsonl"
        told = answers(teacher, prompts, longest, temperature, self.seed, file, progress)
        if not told:
            raise UserError(f"The teacher {teacher.source.id} answers none of the prompts of {wanted.corpus}.")
        return [encode(prompt, answer, tokenizer, wanted.window) for prompt, answer in told]
