"""The output head of a model, in chunks of the vocabulary, and what the model does with its logits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from core.errors import UserError
from core.models.modeling_slimscope import FactoredHead
from core.models.parts.blocks import body, text_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel

COLUMNS = 2048  # of the vocabulary per chunk of logits, so that a chunk fits into the CPU cache
SAME_LOGITS = 0.05  # relative; rounding to 16 bits differs far less, a missing factor far more


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
    if cap := getattr(config, "final_logit_softcapping", None):
        return OutputScale(cap=cap)
    # Cohere's models multiply by logit_scale; Granite's divide by logits_scaling.
    return OutputScale(getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1))


@torch.inference_mode()
def check_logits(model: PreTrainedModel, ids: Tensor) -> None:
    """Raise `UserError` if the logits computed here differ from the model's own on the tokens ids (L,)."""
    some = ids[None, :8].to(model.device)
    hidden = body(model)(input_ids=some, use_cache=False).last_hidden_state
    scale = output_scale(model)
    ours = torch.cat([scale(linear(hidden, *part)).float() for part in head_parts(model)], -1)
    own = model(input_ids=some, use_cache=False).logits.float()
    if (ours - own).norm() > SAME_LOGITS * own.norm():
        raise UserError(
            f"{type(model).__name__} changes its logits in an unsupported way, so its perplexity cannot be measured; "
            "choose another model."
        )
