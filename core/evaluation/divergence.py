"""How far a model's next-token distributions are from those of the dense model, token by token.

At each token, KL(p || q) = sum_v p_v (log p_v - log q_v) in nats. Here p is the softmax of the dense logits a, and q
that of the model's logits b, in fp32. It equals sum_v p_v (a_v - b_v) - log sum_v exp(a_v) + log sum_v exp(b_v), whose
sums are added up over chunks of the vocabulary. The models agree at a token if both rank the same token first.

Heads may differ in their last rows, which no token uses. Then p and q are the softmaxes over the tokens of both heads.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import linear

from core.base.errors import UserError
from core.evaluation.states import COLUMNS, OutputScale


@dataclass(frozen=True)
class DenseHead:
    """The output head of the dense model."""

    weight: Tensor  # (vocabulary, hidden), possibly mapped from a file
    bias: Tensor | None  # (vocabulary,)
    scale: OutputScale

    def logits(self, states: Tensor, start: int, stop: int) -> Tensor:
        """Return the fp32 logits of hidden states (T, hidden) for the tokens from `start` to `stop`, (T, columns)."""
        weight = self.weight[start:stop].to(states)  # (columns, hidden)
        bias = None if self.bias is None else self.bias[start:stop].to(states)
        return self.scale(linear(states, weight, bias)).float()

    def chunks(self, states: Tensor) -> Iterator[Tensor]:
        """Yield the logits of hidden states (T, hidden), (T, columns) for each chunk of the vocabulary."""
        for start in range(0, len(self.weight), COLUMNS):
            yield self.logits(states, start, start + COLUMNS)


@dataclass(frozen=True)
class DenseText:
    """The dense model's hidden states before its head on the windows of a text, without their last tokens."""

    states: Tensor  # (N, L - 1, hidden), possibly mapped from a file
    head: DenseHead
    common: int | None = None  # first tokens of the vocabulary to compare; None: all, which the model must have, too

    def window(self, place: int) -> "DenseText":
        """Return the part of one window."""
        return replace(self, states=self.states[place : place + 1])


@dataclass(frozen=True)
class Divergence:
    """The divergence from the dense model at each token of some windows."""

    kl: Tensor  # (B, L - 1) fp32, in nats
    agrees: Tensor  # (B, L - 1) bool

    def window(self, place: int) -> "Divergence":
        """Return the part of one window, (L - 1,) each."""
        return Divergence(self.kl[place], self.agrees[place])


class Divergences:
    """The sums over chunks of the vocabulary from which the divergence of some windows follows."""

    def __init__(self, dense: Sequence[DenseText]):
        """Compare with the dense model on windows of equal length, all with the same head."""
        self.head, self._common = dense[0].head, dense[0].common
        self._states = torch.cat([one.states for one in dense]).flatten(0, 1)  # (T, hidden)
        self._windows = len(self._states) // dense[0].states.shape[1]
        self._seen = 0  # tokens of the vocabulary
        self._totals: list[Tensor] = []  # log-sum-exp of each chunk of dense logits, (T,)
        self._gaps: list[Tensor] = []  # sum of exp(a) (a - b) of each chunk over its sum of exp(a), (T,)
        self._best: tuple[Tensor, Tensor] | None = None  # highest dense logit and its token, (T,)
        self._own: tuple[Tensor, Tensor] | None = None  # of the model
        self._own_totals: list[Tensor] = []  # log-sum-exp of each chunk of the model's common logits, (T,)

    def add(self, logits: Tensor, start: int) -> None:
        """Add a chunk of the model's logits (T, columns), of the tokens from `start`."""
        if self._common is not None:
            logits = logits[:, : max(self._common - start, 0)]
            if not logits.shape[1]:
                return
            self._own_totals.append(logits.logsumexp(1))
        self._states, self._seen = self._states.to(logits.device), start + logits.shape[1]
        dense = self.head.logits(self._states, start, self._seen)  # (T, columns)
        if dense.shape != logits.shape:
            raise _other_vocabulary()
        highest, token = dense.max(1)  # (T,)
        weights = (dense - highest[:, None]).exp_()  # (T, columns)
        mass = weights.sum(1)
        self._best = _better(self._best, highest, token + start)
        self._totals.append(highest + mass.log())
        self._gaps.append(torch.linalg.vecdot(weights, dense.sub_(logits)) / mass)  # `dense` is not needed any more
        highest, token = logits.max(1)
        self._own = _better(self._own, highest, token + start)

    def finish(self, totals: Tensor) -> Divergence:
        """Return the divergence of the windows; `totals` is the log-sum-exp of all of the model's logits, (T,).

        At tokens where the model has no numbers, the divergence is infinite, and the models do not agree.
        """
        tokens = len(self.head.weight) if self._common is None else self._common
        if self._best is None or self._own is None or self._seen != tokens:
            raise _other_vocabulary()
        if self._own_totals:
            totals = torch.stack(self._own_totals).logsumexp(0)
        parts = torch.stack(self._totals)  # (chunks, T)
        whole = parts.logsumexp(0)
        gap = ((parts - whole).exp() * torch.stack(self._gaps)).sum(0)
        kl = (gap - whole + totals).clamp_min(0)  # rounding can make that of equal distributions negative
        agrees = (self._best[1] == self._own[1]) & totals.isfinite()
        kl = kl.nan_to_num(torch.inf, posinf=torch.inf)
        return Divergence(kl.view(self._windows, -1).cpu(), agrees.view(self._windows, -1).cpu())


def _better(before: tuple[Tensor, Tensor] | None, value: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
    """Return the highest logit so far and its token, the first one of equal logits, (T,) each."""
    if before is None:
        return value, token
    higher = value > before[0]
    return torch.where(higher, value, before[0]), torch.where(higher, token, before[1])


def _other_vocabulary() -> UserError:
    return UserError("The model's vocabulary differs from the dense model's, so their tokens cannot be compared.")
