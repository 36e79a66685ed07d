"""The output head of a model, in chunks of the vocabulary, and what the model does with its logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from core.base.errors import UserError
from core.models.modeling_slimscope import FactoredHead
from core.models.parts.blocks import body, text_config

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

COLUMNS = 2048  # of the vocabulary per chunk of logits, so that a chunk fits into the CPU cache
# Fields of configurations: soft caps of Gemma's models, and factors of Cohere's and of Falcon-H1.
CAPS = ("final_logit_softcapping", "logits_soft_cap")
FACTORS = ("logit_scale", "lm_head_multiplier")
ROUNDING = 2**-16  # relative, of a product that is added up in fp32 in another order


class OutputScale(NamedTuple):
    """A model's function of the logits after its head: a factor, or Gemma's soft cap."""

    factor: float = 1.0
    cap: float | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the logits as the model gives them, of the same shape."""
        if self.cap is not None:
            return torch.tanh(logits.float() / self.cap) * self.cap
        return logits if self.factor == 1 else logits * self.factor


def head_parts(model: PreTrainedModel) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield (weight (columns, hidden), bias (columns,) or None) of the output head, in chunks of the vocabulary."""
    head = model.get_output_embeddings()
    if isinstance(head, FactoredHead):
        yield from ((head.table.rows(part), None) for part in head.table.parts(COLUMNS))
        return
    weight, bias = head.get_parameter("weight"), dict(head.named_parameters()).get("bias")
    for start in range(0, len(weight), COLUMNS):
        part = slice(start, start + COLUMNS)
        yield weight[part], None if bias is None else bias[part]


def output_scale(model: PreTrainedModel) -> OutputScale:
    """Return the model's function of the logits after its head."""
    config = text_config(model)
    if cap := _field(config, CAPS):
        return OutputScale(cap=cap)
    # Granite's models divide.
    return OutputScale(_field(config, FACTORS) or 1 / (_field(config, ("logits_scaling",)) or 1))


def _field(config: PreTrainedConfig, names: Sequence[str]) -> float | None:
    """Return the first field of these names that a configuration has and sets; None without one."""
    return next((value for name in names if (value := getattr(config, name, None))), None)


@torch.inference_mode()
def check_logits(model: PreTrainedModel, ids: Tensor) -> None:
    """Raise `UserError` if the log-probabilities computed here differ from the model's own on the tokens ids (L,).

    Both heads multiply in the model's precision, which rounds each logit once. What follows is computed in fp32, also
    by the model. So a difference beyond this rounding is a cap, factor, bias or weight that one of them lacks.
    """
    some = ids[None, :8].to(model.device)
    hidden = body(model)(input_ids=some, use_cache=False).last_hidden_state
    scale = output_scale(model)
    ours = torch.cat([scale(linear(hidden, *part).float()) for part in head_parts(model)], -1)
    widened = model.get_output_embeddings().register_forward_hook(lambda head, args, logits: logits.float())
    try:
        own = model(input_ids=some, use_cache=False).logits.float()
    finally:
        widened.remove()
    gap = (ours.log_softmax(-1) - own.log_softmax(-1)).norm()
    if gap > max(ROUNDING, torch.finfo(hidden.dtype).eps) * own.norm():  # not so for NaN, of a model that has diverged
        raise UserError(
            f"{type(model).__name__} changes its logits in an unsupported way, so its perplexity cannot be measured; "
            "choose another model."
        )
