"""Perplexity on non-overlapping windows, as the pruning papers measure it.

The exponential of the mean over windows of each window's mean cross-entropy over its L - 1 shifted targets, in fp32.
References: Frantar & Alistarh, 2023 (arXiv:2301.00774), section 4; stderr by the delta method over window means.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from core.progress import Progress

CHUNK_BYTES = 16 * 2**20  # logits held at once


@torch.inference_mode()
def perplexity(model: nn.Module, windows: Tensor, progress: Progress, what: str = "") -> tuple[float, float]:
    """Return (perplexity, stderr) of a causal LM on tokens (N, L). `what` names the corpus in the progress."""
    device = next(model.parameters()).device
    means = []
    for index, window in enumerate(windows.split(1)):
        means.append(window_loss(model, window.to(device)))
        progress("perplexity", index + 1, len(windows), what)
    losses = torch.tensor(means, dtype=torch.float64)  # (N,) nats a token
    value = math.exp(min(losses.mean().item(), 700.0))  # a float holds no more
    spread = losses.std().item() if len(losses) > 1 else math.nan
    return value, value * spread / math.sqrt(len(losses))


def window_loss(model: nn.Module, window: Tensor) -> float:
    """Return the mean cross-entropy of tokens (1, L) after the first; the vocabulary is computed in chunks."""
    hidden = model.base_model(input_ids=window, use_cache=False).last_hidden_state[0, :-1]  # (L - 1, hidden)
    head, scale = model.get_output_embeddings(), output_scale(model)
    rows = max(1, CHUNK_BYTES // (4 * head.weight.shape[0]))
    total = 0.0
    for states, targets in zip(hidden.split(rows), window[0, 1:].split(rows), strict=True):
        total += cross_entropy(scale(head(states)).float(), targets, reduction="sum").item()
    return total / (window.shape[1] - 1)


def output_scale(model: nn.Module):
    """Return what the model does to the logits after its head: nothing, or Gemma's soft cap."""
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    return (lambda logits: torch.tanh(logits.float() / cap) * cap) if cap else (lambda logits: logits)
