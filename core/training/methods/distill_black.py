"""Black-box distillation: the compressed model learns a teacher's answers to prompts; the tokenizers may differ."""

import math

from pydantic import Field

from core.base.errors import UserError
from core.base.progress import Progress
from core.methods.terms import Citation
from core.models.lazy import PreTrainedTokenizerBase
from core.specs import TextWindows, canonical_json, sha256
from core.training.base import AT_ONCE, TeacherParameters
from core.training.lazy import Example, Teacher, TextData
from core.training.methods.lora import LoRA


class DistillBlackParameters(TeacherParameters):
    answer_tokens: int = Field(
        title="Answer tokens",
        default=128,
        ge=1,
        le=4096,
        description="Maximum tokens of a teacher's answer.",
    )
    temperature: float = Field(
        title="Answer temperature",
        default=1.0,
        ge=0,
        le=10,
        description="Sampling temperature of the teacher; 0 always takes the most likely token.",
    )


class DistillBlack(LoRA):
    name = "distill-black"
    streams = False  # the teacher generates answers
    label = "Black-box distillation"
    short_label = "distill-black"
    version = 2
    citation = Citation(
        title="Sequence-Level Knowledge Distillation",
        authors="Kim & Rush",
        year=2016,
        url="https://arxiv.org/abs/1606.07947",
    )
    summary = "Trains low-rank adapters on a teacher's answers to prompts; the teacher may have any tokenizer."
    idea = (
        "This distillation needs only the text of a teacher's answers, so the teacher may be any model with any "
        "tokenizer. It answers prompts, and low-rank adapters learn the answers token by token and are then merged "
        "into the compressed model."
    )
    formulas = (r"y \sim Q(\,\cdot \mid x)", r"\mathcal{L} = -\sum_t \log P(y_t \mid x,\, y_{<t})")
    symbols = {
        "x": "a prompt",
        "y": "the teacher's answer, t its tokens",
        "Q": "prediction of the teacher",
        "P": "prediction of the compressed model",
    }
    has_teacher = True
    Parameters = DistillBlackParameters

    def answers(self, text: TextWindows) -> int:
        return self.parameters.answer_tokens * math.ceil(text.windows / AT_ONCE)

    def check_text(self, data: TextData, tokenizer: PreTrainedTokenizerBase, teacher: Teacher) -> None:
        from core.training.examples import read_prompts

        prompts = read_prompts(data, tokenizer, self.seed)
        longest = max(len(teacher.tokenizer(prompt)["input_ids"]) for prompt in prompts)
        if longest + self.parameters.answer_tokens > teacher.max_window:
            raise UserError(
                f"Prompts of up to {longest} tokens and answers of {self.parameters.answer_tokens} exceed the "
                f"{teacher.max_window} tokens of the teacher {teacher.source.id}; reduce answer_tokens."
            )

    def examples(
        self, data: TextData, tokenizer: PreTrainedTokenizerBase, teacher: Teacher, progress: Progress
    ) -> list[Example]:
        from core.base.paths import cache_dir
        from core.training.answers import answers
        from core.training.examples import encode, read_prompts

        prompts = read_prompts(data, tokenizer, self.seed)
        longest, temperature = self.parameters.answer_tokens, self.parameters.temperature
        source = teacher.source
        key = [source.id, source.revision, teacher.dtype, longest, temperature, self.seed, prompts]
        file = cache_dir() / "answers" / f"{sha256(canonical_json(key))}.jsonl"
        pairs = answers(teacher, prompts, longest, temperature, self.seed, file, progress)
        if not pairs:
            raise UserError(
                f"The teacher {source.id} gave only empty answers to the prompts of {data.wanted.corpus}; "
                "choose another."
            )
        return [encode(prompt, answer, tokenizer, data.wanted.window) for prompt, answer in pairs]
