"""Perplexity on non-overlapping windows, as the pruning papers measure it.

The exponential of the mean over windows of each window's mean cross-entropy over its L - 1 shifted targets, in fp32.
References: Frantar & Alistarh, 2023 (arXiv:2301.00774), section 4; stderr by the delta method over window means.
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

TOKENS = {"cpu": 2048, "cuda": 8192}  # short windows run together
COLUMNS = 2048  # of the vocabulary whose logits are held at once: few, so that they stay in the cache
SAME_LOGITS = 0.05  # relative; what 16 bits round is far less, a factor far more

Text = TypeVar("Text", bound=Hashable)


@dataclass(frozen=True)
class TextLosses(Generic[Text]):
    """What a model loses on a text. `core.outcomes.summary` makes a perplexity of the samples.

    A row a window: doc_id, its place in the text, and perplexity, the mean log-likelihood of its tokens after the
    first in nats.
    """

    text: Text
    samples: pd.DataFrame
    seconds: float


def perplexity(model: PreTrainedModel, texts: Mapping[Text, Tensor], progress: Progress) -> Iterator[TextLosses[Text]]:
    """Yield the reading of each text, its tokens (N, L), as soon as its last window has run.

    Windows of one length run together, whichever text they are of; the texts come in the order of their lengths'
    first. `str` of a text names it in the progress.
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
    """Yield the readings of texts whose windows are of one length, `size` windows a forward."""
    owners = [text for text, windows in texts.items() for _ in windows]
    losses: dict[Text, list[float]] = {text: [] for text in texts}
    seconds = dict.fromkeys(texts, 0.0)
    batches = torch.cat(list(texts.values())).split(size)
    for number, batch in enumerate(batches):
        inside = owners[number * size : number * size + len(batch)]
        if not losses[inside[0]]:
            progress("perplexity", 0, len(texts[inside[0]]), str(inside[0]))
        started = time.perf_counter()
        found = window_losses(model, batch.to(model.device))
        share = (time.perf_counter() - started) / len(batch)
        for text, loss in zip(inside, found, strict=True):
            losses[text].append(loss)
            seconds[text] += share
        for text in dict.fromkeys(inside):
            done, count = losses[text], len(texts[text])
            if len(done) == count:  # before the progress, which may stop the work
                samples = pd.DataFrame({"doc_id": range(count), "perplexity": [-loss for loss in done]})
                yield TextLosses(text, samples, seconds[text])
            progress("perplexity", len(done), count, str(text))


@torch.inference_mode()
def window_losses(model: PreTrainedModel, windows: Tensor) -> list[float]:
    """Return each window's mean cross-entropy of its tokens (B, L) after the first."""
    with QuickLinears():
        hidden = model.base_model(input_ids=windows, use_cache=False).last_hidden_state[:, :-1]  # (B, L - 1, hidden)
        losses = _losses(model, hidden.flatten(0, 1), windows[:, 1:].flatten())
    return losses.double().view(len(windows), -1).mean(1).tolist()


def _losses(model: PreTrainedModel, states: Tensor, targets: Tensor) -> Tensor:
    """Return -log softmax(logits)[target] in fp32, (T,), of hidden states (T, hidden) and targets (T,).

    The vocabulary goes in parts, and of each only the logarithm of the sum of its exponentials is kept.
    """
    scale = output_scale(model)
    totals, own, start = [], states.new_zeros(len(states), dtype=torch.float32), 0
    for weight, bias in head_parts(model):
        logits = scale(linear(states, weight, bias)).float()  # (T, columns)
        place = targets - start
        start += len(weight)
        inside = (place >= 0) & (place < len(weight))
        found = logits.gather(1, place.clamp(0, len(weight) - 1)[:, None])[:, 0]  # (T,)
        own = torch.where(inside, found, own)
        totals.append(logits.logsumexp(1))
    return torch.stack(totals).logsumexp(0) - own


def head_parts(model: PreTrainedModel) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield (weight (columns, hidden), bias (columns,) or None) of the output head, a part of the vocabulary each."""
    head = model.get_output_embeddings()
    if isinstance(head, FactoredHead):
        yield from ((head.table.rows(part), None) for part in head.table.parts(COLUMNS))
        return
    weight, bias = head.get_parameter("weight"), dict(head.named_parameters()).get("bias")
    for start in range(0, len(weight), COLUMNS):
        part = slice(start, start + COLUMNS)
        yield weight[part], None if bias is None else bias[part]


def output_scale(model: PreTrainedModel) -> Callable[[Tensor], Tensor]:
    """Return what the model does to the logits after its head: Gemma's soft cap, a factor, or nothing."""
    config = text_config(model)
    if cap := getattr(config, "final_logit_softcapping", None):
        return lambda logits: torch.tanh(logits.float() / cap) * cap
    # Cohere's models multiply, Granite's divide.
    factor = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", None) or 1)
    return (lambda logits: logits) if factor == 1 else (lambda logits: logits * factor)


@torch.inference_mode()
def check_logits(model: PreTrainedModel, ids: Tensor) -> None:
    """Raise `UserError` where the logits that are measured are not the model's own, shown on tokens (L,)."""
    some = ids[None, :8].to(model.device)
    hidden = model.base_model(input_ids=some, use_cache=False).last_hidden_state
    scale = output_scale(model)
    ours = torch.cat([scale(linear(hidden, *part)).float() for part in head_parts(model)], -1)
    own = model(input_ids=some, use_cache=False).logits.float()
    if (ours - own).norm() > SAME_LOGITS * own.norm():
        raise UserError(
            f"{type(model).__name__} changes its logits in a way that is not known here, so what it loses cannot be "
            "measured."
        )
