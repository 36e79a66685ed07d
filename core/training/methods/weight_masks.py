"""Masks of weights during the training, which grow in rounds: prune, retrain, and prune again, as Han et al. do."""

import torch
from torch import Tensor

from core.evaluation.layers import report
from core.methods.numerics.levels import level_shares
from core.methods.numerics.masks import smallest_mask, zeros_lowest
from core.models.parts.blocks import Blocks
from core.models.parts.constraints import constraint_of, set_constraint
from core.training.adapters import NAME
from core.training.base import Pruning
from core.training.lazy import LayerReport


class WeightMasks(Pruning):
    """Han's iteration: each round masks more of the smallest weights of every linear, and training follows."""

    def __init__(self, blocks: Blocks, ratio: float, rounds: int):
        self.blocks, self.ratio, self.rounds = blocks, ratio, rounds
        linears = list(blocks.all_linears())
        bound = any(constraint_of(linear.module) for linear in linears)
        self.shares = level_shares(linears, ratio) if bound else {}  # by linear name; empty if all have the same ratio
        self.round = 0  # the last finished round of pruning

    def finish(self) -> list[LayerReport]:
        linears = list(self.blocks.all_linears())
        for linear in linears:
            if (zeros := self.adapters[linear.name].zeros) is not None:
                set_constraint(linear.module, zeros)
        return [report(linear) for linear in linears]

    def is_final(self, spent: float) -> bool:
        return self.round == self.rounds

    @torch.no_grad()
    def after_gradients(self, spent: float) -> None:
        due = min(int(spent * (self.rounds + 1)), self.rounds)  # the first of rounds + 1 parts precedes all pruning
        if due > self.round:
            self.round = due
            for name, adapter in self.adapters.items():
                weight = adapter.inner.weight + adapter.get_delta_weight(NAME)
                zeros = None if adapter.mask is None else adapter.mask == 0
                count = round(self.shares.get(name, self.ratio) * due / self.rounds * weight.numel())
                count = count if zeros is None else max(count, int(zeros.sum()))
                pruned = smallest_mask(zeros_lowest(weight.abs(), zeros).flatten(), count).view_as(weight)
                adapter.remove(~pruned)

    def tensors(self) -> dict[str, Tensor]:
        masks = {name: adapter.mask.bool() for name, adapter in self.adapters.items() if adapter.mask is not None}
        return masks | {"round": torch.tensor(self.round)}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        self.round = int(tensors["round"])
        for name, adapter in self.adapters.items():
            if name in tensors:
                adapter.remove(tensors[name])
