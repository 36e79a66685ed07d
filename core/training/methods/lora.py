"""LoRA: low-rank adapters learn the next tokens of a text, or the answers to instructions, by LLM-Pruner's recipe."""

from core.methods.annotations import PreTrainedModel, Tensor
from core.methods.terms import Citation
from core.training.base import Recovery
from core.training.lazy import Batch, Teacher


class LoRA(Recovery):
    name = "lora"
    label = "LoRA"
    citation = Citation(
        title="LoRA: Low-Rank Adaptation of Large Language Models",
        authors="Hu et al.",
        year=2021,
        url="https://arxiv.org/abs/2106.09685",
    )
    summary = "Trains low-rank adapters on a text and merges them; zeros stay zero, and factors stay factors."
    idea = (
        "LoRA trains only two thin matrices per weight matrix, which needs little memory and few steps. They learn the "
        "next tokens of a text, or answers to instructions, and are then merged into the weights; zeros stay zero."
    )
    formulas = (
        r"W' = W + M \odot \frac{\alpha}{r}\, B A",
        r"\mathcal{L} = -\sum_t \log P(y_t \mid y_{<t})",
    )
    symbols = {
        "M": "mask, 0 where a weight must stay zero",
        r"\alpha,\ r": "scale and rank of the adapter",
        "P": "prediction of the compressed model",
        "y_t": "token of the text",
    }

    def loss(self, student: PreTrainedModel, teacher: Teacher, batch: Batch) -> Tensor:
        from core.training.losses import text_loss

        return text_loss(student, batch)
