"""Perplexity on non-overlapping windows, as the pruning papers measure it, and the distance to the dense model there.

A window's loss is the mean cross-entropy over its L - 1 shifted targets, in fp32. Perplexity is exp of the mean loss
over windows (Frantar & Alistarh, 2023, arXiv:2301.00774, section 4). The delta method gives its stderr.
"""

import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import linear
from transformers import PreTrainedModel

from core.base.progress import Progress
from core.evaluation.divergence import DenseText, Divergence, Divergences
from core.evaluation.states import (
    check_logits,
    final_states,
    head_parts,
    output_scale,
    states_by_batch,
    states_by_block,
)
from core.models.parts.products import quick_products

TOKENS = {"cpu": 2048, "cuda": 8192}  # per forward pass, for batches of short windows

Text = TypeVar("Text", bound=Hashable)


@dataclass(frozen=True)
class TextLosses(Generic[Text]):
    """A model's losses on a text, of which `core.evaluation.outcomes.summary` computes the perplexity.

    `samples` has a row per window: doc_id, its place in the text, and perplexity, the mean log-likelihood in nats of
    its tokens after the first. Compared with the dense model, it also has kl and agreement, the means over the same
    tokens, and `divergences` has the Kullback-Leibler divergence at each token, (N, L - 1) in nats.
    """

    text: Text
    samples: pd.DataFrame
    seconds: float
    divergences: Tensor | None = None


@dataclass(frozen=True)
class WindowLosses:
    """The losses of windows, (B,) in nats, and their divergence from the dense model, if compared."""

    losses: list[float]
    divergence: Divergence | None = None  # of (B, L - 1) tokens


def perplexity(
    model: PreTrainedModel,
    texts: Mapping[Text, Tensor],
    progress: Progress,
    dense: Mapping[Text, DenseText] | None = None,
    by_block: str | None = None,
) -> Iterator[TextLosses[Text]]:
    """Compute the losses on windows (N, L) of several texts; windows of equal length share forward passes.

    Yields the losses of each text after its last window, grouped by length in order of its first text. `str` of a text
    names it in the progress. `dense` is what the dense model computed on each text, to compare with it. `by_block` is
    the key of a model that exceeds the memory, so that all windows pass a block before any passes the next.
    """
    lengths: dict[int, dict[Text, Tensor]] = {}
    for text, windows in texts.items():
        lengths.setdefault(windows.shape[1], {})[text] = windows
    if texts:
        check_logits(model, next(iter(texts.values()))[0])
    for length, alike in lengths.items():
        yield from _read(model, alike, batch_size(model, length), progress, dense or {}, by_block)


def batch_size(model: PreTrainedModel, length: int) -> int:
    """Return the number of windows of `length` tokens per forward pass."""
    return max(1, TOKENS.get(model.device.type, TOKENS["cuda"]) // length)


def _read(
    model: PreTrainedModel,
    texts: Mapping[Text, Tensor],
    size: int,
    progress: Progress,
    dense: Mapping[Text, DenseText],
    by_block: str | None,
) -> Iterator[TextLosses[Text]]:
    """Yield the losses of texts with windows of equal length, `size` windows per forward pass."""

    def advance(block: int, blocks: int) -> None:
        text = next(text for text in texts if len(losses[text]) < len(texts[text]))
        progress("perplexity", len(losses[text]), len(texts[text]), f"{text}, block {block} of {blocks}")

    owners = [(text, place) for text, windows in texts.items() for place in range(len(windows))]
    losses: dict[Text, list[float]] = {text: [] for text in texts}
    divergences: dict[Text, list[Divergence]] = {text: [] for text in texts}
    seconds = dict.fromkeys(texts, 0.0)
    batches = torch.cat(list(texts.values())).split(size)
    states = states_by_block(model, batches, by_block, advance) if by_block else states_by_batch(model, batches)
    for number, batch in enumerate(batches):
        inside = owners[number * size : number * size + len(batch)]
        first, _ = inside[0]
        if not losses[first]:
            progress("perplexity", 0, len(texts[first]), str(first))
        hidden, seconds_before = next(states)
        started = time.perf_counter()
        compared = [dense[text].window(place) for text, place in inside] if dense else []
        read = read_states(model, hidden, batch.to(model.device), compared)
        share = (time.perf_counter() - started + seconds_before) / len(batch)
        for place, ((text, _), loss) in enumerate(zip(inside, read.losses, strict=True)):
            losses[text].append(loss)
            seconds[text] += share
            if read.divergence:
                divergences[text].append(read.divergence.window(place))
        for text in dict.fromkeys(text for text, _ in inside):
            done, count = losses[text], len(texts[text])
            if len(done) == count:  # before the progress call, which may raise to cancel
                yield _finished(text, done, divergences[text], seconds[text])
            progress("perplexity", len(done), count, str(text))


def _finished(text: Text, losses: list[float], divergences: list[Divergence], seconds: float) -> TextLosses[Text]:
    samples = pd.DataFrame({"doc_id": range(len(losses)), "perplexity": [-loss for loss in losses]})
    if not divergences:
        return TextLosses(text, samples, seconds)
    samples["kl"] = [one.kl.double().mean().item() for one in divergences]
    samples["agreement"] = [one.agrees.double().mean().item() for one in divergences]
    return TextLosses(text, samples, seconds, torch.stack([one.kl for one in divergences]))


@torch.inference_mode()
def dense_losses(dense: DenseText, windows: Tensor, device: torch.device) -> list[float]:
    """Return the `window_losses` (N,) of the dense model on the windows (N, L) of its outputs."""
    means = []
    with quick_products(dense.states.dtype):
        for place, window in enumerate(windows.to(device)):
            states = dense.window(place).states[0].to(device)  # (L - 1, hidden)
            losses, _ = _losses(dense.head.chunks(states), window[1:])
            means.append(losses.double().mean().item())
    return means


def window_losses(model: PreTrainedModel, windows: Tensor) -> list[float]:
    """Return the mean cross-entropy in nats of each window's tokens (B, L) after the first."""
    return read_states(model, final_states(model, windows), windows).losses


@torch.inference_mode()
def read_states(
    model: PreTrainedModel, states: Tensor, windows: Tensor, dense: Sequence[DenseText] = ()
) -> WindowLosses:
    """Return the `window_losses` of windows (B, L) from their `final_states`.

    Compare with `dense`, the dense model's part for each window, if given.
    """
    hidden = states.flatten(0, 1)  # (B (L - 1), hidden)
    compared, scale = Divergences(dense) if dense else None, output_scale(model)
    chunks = (scale(linear(hidden, *part)).float() for part in head_parts(model))  # (T, columns) each
    with quick_products(states.dtype):
        losses, totals = _losses(chunks, windows[:, 1:].flatten(), compared)
    means = losses.double().view(len(windows), -1).mean(1).tolist()
    return WindowLosses(means, compared.finish(totals) if compared else None)


def _losses(chunks: Iterator[Tensor], targets: Tensor, compared: Divergences | None = None) -> tuple[Tensor, Tensor]:
    """Return -log softmax(logits)[target] and the log-sum-exp of the logits in fp32, (T,) each.

    The logits come in chunks of the vocabulary, (T, columns), and only the log-sum-exp of each chunk is stored.
    `compared` sees each chunk.
    """
    parts, own, start = [], torch.zeros_like(targets, dtype=torch.float32), 0
    for logits in chunks:
        place, columns = targets - start, logits.shape[1]
        inside = (place >= 0) & (place < columns)
        target = logits.gather(1, place.clamp(0, columns - 1)[:, None])[:, 0]  # (T,)
        own = torch.where(inside, target, own)
        parts.append(logits.logsumexp(1))
        if compared:
            compared.add(logits, start)
        start += columns
    totals = torch.stack(parts).logsumexp(0)
    return totals - own, totals
