"""Masks of heads and channels during the training, by scores from the training's own gradients.

References: Zhang et al., LoRAPrune, 2023 (arXiv:2305.18403), sections 3.2 and 3.3.
"""

import math
from collections.abc import Sequence
from functools import reduce
from operator import add

import torch
from torch import Tensor

from core.evaluation.layers import unit_reports
from core.methods.structured.base import StructuredBlockView, keep_heads, keep_largest
from core.methods.structured.budget import Removal
from core.methods.structured.loraprune import averaged, normed_sums
from core.models.removal.units import KeptUnits, spread
from core.training.adapters import NAME, SparseLora
from core.training.base import Pruning
from core.training.lazy import LayerReport

REMOVED = -1.0  # score of a masked unit: below all others, so that it stays masked


class UnitMasks(Pruning):
    """LoRAPrune's schedule, which removes heads and channels along a cubic curve by scores from LoRA's gradients."""

    def __init__(
        self,
        views: Sequence[StructuredBlockView],
        removals: Sequence[Removal],
        every: int,
        warmup: float,
        cooldown: float,
    ):
        self.views, self.removals = views, removals
        self.every, self.warmup, self.cooldown = every, warmup, cooldown
        self.scores: dict[str, Tensor] = {}  # by linear name, (units,)
        self.heads = {
            view.units.block: (torch.arange(view.shape.query_heads), torch.arange(view.shape.kv_heads))
            for view in views
        }
        self.channels = {view.units.block: torch.arange(view.shape.channels) for view in views}
        self.step = 0
        self.complete = False  # whether the removal is complete

    def finish(self) -> list[LayerReport]:
        reports: list[LayerReport] = []
        for view in self.views:
            before = view.units.sizes
            query_heads, kv_heads = self.heads[view.units.block]
            view.units.shrink(KeptUnits(query_heads, kv_heads, self.channels[view.units.block]))
            reports += unit_reports(view.units, before)
        return reports

    def share(self, spent: float) -> float:
        """Return the due share of the removal: 0 in the warm-up, 1 in the cool-down (equation 11)."""
        time = (spent - self.warmup) / (1 - self.warmup - self.cooldown)
        return 1 - (1 - min(max(time, 0.0), 1.0)) ** 3

    def is_final(self, spent: float) -> bool:
        return self.complete

    @torch.no_grad()
    def after_gradients(self, spent: float) -> None:
        for view in self.views:
            for role, linear in view.units.linears.items():
                self._score(view, role, self.adapters[linear.name], linear.name)
        self.step += 1
        share = self.share(spent)
        if (share == 1 and not self.complete) or (0 < share < 1 and self.step % self.every == 0):
            for view, removal in zip(self.views, self.removals, strict=True):
                self._choose(view, removal, share)
                self._mask(view)
            self.complete = share == 1

    def _score(self, view: StructuredBlockView, role: str, adapter: SparseLora, name: str) -> None:
        """Average in |G W'|, summed per unit and divided by its norm; G = g_B A + B g_A - g_B g_A (equation 9)."""
        a, b = adapter.pair  # (rank, in), (out, rank)
        if a.grad is None or b.grad is None:
            raise TypeError(f"The adapter of {name} has no gradient.")
        estimate = b.grad @ a + b @ a.grad - b.grad @ a.grad  # (out, in)
        weight = adapter.inner.weight + adapter.get_delta_weight(NAME)
        score = normed_sums(estimate, weight, role, view.shape)
        if score.isfinite().all():  # else ignore the scores of this step
            self.scores[name] = averaged(self.scores.get(name), score)

    def _choose(self, view: StructuredBlockView, removal: Removal, share: float) -> None:
        """Choose the remaining units when a share of the removal is due; removed units stay removed."""
        block, linears = view.units.block, view.units.linears
        scores = {role: self.scores[linear.name].cpu() for role, linear in linears.items()}
        queries, keys = scores["q"] + scores["o"], scores["k"] + scores["v"]
        kept_queries, kept_keys = self.heads[block]
        queries, keys = (_without(*pair) for pair in ((queries, kept_queries), (keys, kept_keys)))
        choice = keep_heads(queries, keys, math.floor(share * removal.steps), view.shape)
        self.heads[block] = choice.query_heads, choice.kv_heads
        channels = _without(reduce(add, (scores[role] for role in (*view.ffn_roles, "down"))), self.channels[block])
        self.channels[block] = keep_largest(channels, math.floor(share * removal.channels))

    def _mask(self, view: StructuredBlockView) -> None:
        shape, block = view.shape, view.units.block
        query_heads, kv_heads = self.heads[block]
        queries, keys = (spread(heads, shape.head_dim) for heads in (query_heads, kv_heads))
        kept = {"q": queries, "o": queries, "k": keys, "v": keys}
        for role, linear in view.units.linears.items():
            mask = torch.zeros_like(linear.weight)
            rows = kept.get(role, self.channels[block]).to(mask.device)
            if role in ("o", "down"):
                mask[:, rows] = 1
            else:
                mask[rows] = 1
            self.adapters[linear.name].remove(mask)

    def tensors(self) -> dict[str, Tensor]:
        tensors = {f"score {name}": score for name, score in self.scores.items()}
        for block, (query_heads, kv_heads) in self.heads.items():
            tensors |= {
                f"queries {block}": query_heads,
                f"keys {block}": kv_heads,
                f"channels {block}": self.channels[block],
            }
        return tensors | {"step": torch.tensor(self.step), "complete": torch.tensor(self.complete)}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        scores = {name[6:]: score for name, score in tensors.items() if name.startswith("score ")}
        scores = {name: score.to(self.adapters[name].inner.weight.device) for name, score in scores.items()}
        blocks = [view.units.block for view in self.views]
        heads = {block: (tensors[f"queries {block}"], tensors[f"keys {block}"]) for block in blocks}
        channels = {block: tensors[f"channels {block}"] for block in blocks}
        # All reads come before the first change, so that tensors of another form change nothing.
        self.step, self.complete = int(tensors["step"]), bool(tensors["complete"])
        self.scores, self.heads, self.channels = scores, heads, channels
        for view in self.views:
            block = view.units.block
            if len(self.channels[block]) < view.shape.channels or len(self.heads[block][0]) < view.shape.query_heads:
                self._mask(view)


def _without(score: Tensor, kept: Tensor) -> Tensor:
    """Return the scores, with `REMOVED` for units not in `kept`."""
    remaining = torch.zeros_like(score, dtype=torch.bool)
    remaining[kept] = True
    return torch.where(remaining, score, REMOVED)
