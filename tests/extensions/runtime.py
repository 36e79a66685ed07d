"""A new runtime stage: the inputs of block linears are rounded to a few bits per token."""

from torch import Tensor, nn
from transformers import PreTrainedModel

from core.amount import Amount, Bits
from core.methods.kinds import RuntimeMethod
from core.methods.terms import Citation
from core.models.parts.blocks import find_blocks


class RoundedInputs(RuntimeMethod):
    name = "rounded-inputs"
    label = "Rounded inputs"
    citation = Citation(
        title="SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models",
        authors="Xiao et al.",
        year=2022,
        url="https://arxiv.org/abs/2211.10438",
        part="equation 1, per token",
    )
    summary = "Rounds the inputs of the linears to a few bits, with one scale per token."
    idea = "Products of small integers are faster. The largest input of a token sets the scale of the others."
    formulas = (r"X' = s \left\lfloor X / s \right\rceil, \qquad s = \max |X| \, / \, (2^{b-1} - 1)",)
    symbols = {"s": "scale of the token", "b": "bits"}
    bit_choices = (4, 8)

    def install(self, model: PreTrainedModel, amount: Amount | None) -> None:
        if not isinstance(amount, Bits):
            raise TypeError(f"{self.label} needs bits.")
        highest = 2 ** (amount.bits - 1) - 1

        def rounded(module: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
            (hidden,) = given  # (..., in)
            scale = hidden.abs().amax(-1, keepdim=True).clamp_min(1e-12) / highest
            return ((hidden / scale).round() * scale,)

        for linear in find_blocks(model).all_linears():
            linear.module.register_forward_pre_hook(rounded)
