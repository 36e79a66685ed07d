"""Perplexity on non-overlapping windows, as the pruning papers measure it.

A window's loss is the mean cross-entropy over its L - 1 shifted targets, in fp32. Perplexity is exp of the mean loss
over windows (Frantar & Alistarh, 2023, arXiv:2301.00774, section 4). The delta method gives its stderr.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import linear

from core.errors import UserError
from core.evaluation.linears import QuickLinears
from core.models.modeling_slimscope import FactoredHead
from core.models.parts.blocks import text_config
from core.progress import Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENS = {"cpu": 2048, "cuda": 8192}  # per forward pass, for batches of short windows
COLUMNS = 2048  # of the vocabulary per chunk of logits, so that a chunk fits into the CPU cache
SAME_LOGITS = 0.05  # relative; rounding to 16 bits differs far less, a missing factor far more

Text = TypeVar("Text", bound=Hashable)


@dataclass(frozen=True)
class TextLosses(Generic[Text]):
    """A model's losses on a text, of which `core.evaluation.outcomes.summary` computes the perplexity.

    `samples` has a row per window: doc_id, its place in the text, and perplexity, the mean log-likelihood in nats of
    its tokens after the first.
    """

    text: Text
    samples: pd.DataFrame
    seconds: float


def perplexity(model: PreTrainedModel, texts: Mapping[Text, Tensor], progress: Progress) -> Iterator[TextLosses[Text]]:
    """Compute the losses on several texts; windows of equal length share forward passes.

    Args:
        model: The model.
        texts: Windows (N, L) of each text; `str` of a text names it in the progress.
        progress: Called after each forward pass.

    Yields:
        The losses of each text after its last window, grouped by length in order of its first text.
    """
    lengths: dict[int, dict[Text, Tensor]] = {}
    for text, windows in texts.items():
        lengths.setdefault(windows.shape[1], {})[text] = windows
    if texts:
        check_logits(model, next(iter(texts.values()))[0])
    for length, alike in lengths.items():
        yield from _read(model, alike, max(1, TOKENS.get(model.device.type, TOKENS["cuda"]) // length), progress)


def _read(
    model: PreTrainedModel, texts: Mapping[Text, Tensor], size: int, progress: Progress
) -> Iterator[TextLosses[Text]]:
    """Yield the losses of texts with windows of equal length, `size` windows per forward pass."""
    owners = [text for text, windows in texts.items() for _ in windows]
    losses: dict[Text, list[float]] = {text: [] for text in texts}
    seconds = dict.fromkeys(texts, 0.0)
    batches = torch.cat(list(texts.values())).split(size)
    for number, batch in enumerate(batches):
        inside = owners[number * size : number * size + len(batch)]
        if not losses[inside[0]]:
            progress("perplexity", 0, len(texts[inside[0]]), str(inside[0]))
        started = time.perf_counter()
        batch_losses = window_losses(model, batch.to(model.device))
        share = (time.perf_counter() - started) / len(batch)
        for text, loss in zip(inside, batch_losses, strict=True):
            losses[text].append(loss)
            seconds[text] += share
        for text in dict.fromkeys(inside):
            done, count = losses[text], len(texts[text])
            if len(done) == count:  # before the progress call, which may raise to cancel
                samples = pd.DataFrame({"doc_id": range(count), "perplexity": [-loss for loss in done]})
                yield TextLosses(text, samples, seconds[text])
            progress("perplexity", len(done), count, str(text))


@torch.inference_mode()
def window_losses(model: PreTrainedModel, windows: Tensor) -> list[float]:
    """Return the mean cross-entropy in nats of each window's tokens (B, L) after the first."""
    with QuickLinears():
        hidden = model.base_model(input_ids=windows, use_cache=False).last_hidden_state[:, :-1]  # (B, L - 1, hidden)
        losses = _losses(model, hidden.flatten(0, 1), windows[:, 1:].flatten())
    return losses.double().view(len(windows), -1).mean(1).tolist()


def _losses(model: PreTrainedModel, states: Tensor, targets: Tensor) -> Tensor:
    """Return -log softmax(logits)[target] in fp32, (T,), for hidden states (T, hidden) and targets (T,).

    The logits are computed in chunks of the vocabulary, and only the log-sum-exp of each chunk is stored.
    """
    scale = output_scale(model)
    totals, own, start = [], states.new_zeros(len(states), dtype=torch.float32), 0
    for weight, bias in head_parts(model):
        logits = scale(linear(states, weight, bias)).float()  # (T, columns)
        place = targets - start
        start += len(weight)
        inside = (place >= 0) & (place < len(weight))
        target = logits.gather(1, place.clamp(0, len(weight) - 1)[:, None])[:, 0]  # (T,)
        own = torch.where(inside, target, own)
        totals.append(logits.logsumexp(1))
    return torch.stack(totals).logsumexp(0) - own


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


def output_scale(model: PreTrainedModel) -> Callable[[Tensor], Tensor]:
    """Return the model's function of the logits after its head: Gemma's soft cap, a factor, or the identity."""
    config = text_config(model)
    if cap := getattr(config, "final_logit_softcapping", None):
        return lambda logits: torch.tanh(logits.float() / cap) * cap
    # Cohere's models multiply by logit_scale; Granite's divide by logits_scaling.
    factor = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)
    return (lambda logits: logits) if factor == 1 else (lambda logits: logits * factor)


@torch.inference_mode()
def check_logits(model: PreTrainedModel, ids: Tensor) -> None:
    """Raise `UserError` if the logits computed here differ from the model's own on the tokens ids (L,)."""
    some = ids[None, :8].to(model.device)
    hidden = model.base_model(input_ids=some, use_cache=False).last_hidden_state
    scale = output_scale(model)
    ours = torch.cat([scale(linear(hidden, *part)).float() for part in head_parts(model)], -1)
    own = model(input_ids=some, use_cache=False).logits.float()
    if (ours - own).norm() > SAME_LOGITS * own.norm():
        raise UserError(
            f"{type(model).__name__} changes its logits in an unsupported way, so its perplexity cannot be measured; "
            "choose another model."
        )
