"""Perplexity on non-overlapping windows, as the pruning papers measure it.

The exponential of the mean over windows of each window's mean cross-entropy over its L - 1 shifted targets, in fp32.
References: Frantar & Alistarh, 2023 (arXiv:2301.00774), section 4; stderr by the delta method over window means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from core.errors import UserError
from core.models.parts.blocks import text_config
from core.progress import Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BATCH_TOKENS = 2048  # short windows run together
CHUNK_BYTES = 64 * 2**20  # logits held at once: with fewer, the head's weights are read more often than they are used
SAME_LOGITS = 0.05  # relative; what 16 bits round is far less, a factor far more


@torch.inference_mode()
def perplexity(model: PreTrainedModel, windows: Tensor, progress: Progress, what: str = "") -> pd.DataFrame:
    """Return the samples of a causal LM on tokens (N, L), which `core.outcomes.summary` makes a perplexity of.

    A row a window: doc_id, its place in the text, and perplexity, the mean log-likelihood of its tokens after the
    first in nats. `what` names the corpus in the progress.
    """
    progress("perplexity", 0, len(windows), what)
    check_logits(model, windows[0])
    device = next(model.parameters()).device
    means: list[float] = []
    for batch in windows.split(max(1, BATCH_TOKENS // windows.shape[1])):
        means += window_losses(model, batch.to(device))
        progress("perplexity", len(means), len(windows), what)
    return pd.DataFrame({"doc_id": range(len(means)), "perplexity": [-mean for mean in means]})


def window_losses(model: PreTrainedModel, windows: Tensor) -> list[float]:
    """Return each window's mean cross-entropy of its tokens (B, L) after the first; the vocabulary goes in chunks."""
    hidden = model.base_model(input_ids=windows, use_cache=False).last_hidden_state[:, :-1]  # (B, L - 1, hidden)
    head, scale = model.get_output_embeddings(), output_scale(model)
    rows = chunk_rows(head)
    states, targets = hidden.flatten(0, 1), windows[:, 1:].flatten()
    losses = [
        cross_entropy(scale(head(some)).float(), wanted, reduction="none")
        for some, wanted in zip(states.split(rows), targets.split(rows), strict=True)
    ]
    return torch.cat(losses).double().view(len(windows), -1).mean(1).tolist()


def chunk_rows(head: nn.Module) -> int:
    """Return of how many tokens the logits, fp32, are held at once."""
    return max(1, CHUNK_BYTES // (4 * head.get_parameter("weight").shape[0]))


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
    some = ids[None, :8].to(next(model.parameters()).device)
    hidden = model.base_model(input_ids=some, use_cache=False).last_hidden_state
    ours = output_scale(model)(model.get_output_embeddings()(hidden)).float()
    own = model(input_ids=some, use_cache=False).logits.float()
    if (ours - own).norm() > SAME_LOGITS * own.norm():
        raise UserError(
            f"{type(model).__name__} changes its logits in a way that is not known here, so what it loses cannot be "
            "measured."
        )
