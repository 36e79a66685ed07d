"""Tokens of the experts during calibration: those that their router sends them, or all of the layer if few."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from core.models.modeling_slimscope import Experts
from core.models.parts.blocks import Linear
from core.models.parts.experts import experts_in


class Routing:
    """The numbers of calibration tokens that the experts of a layer get, complete when all micro-batches have arrived.

    An expert with fewer tokens than inputs would have a Gram matrix without full rank. It runs on all tokens of the
    layer, so its statistics are those of the layer.

    Args:
        experts: The layer.
        parts: The number of micro-batches.
    """

    def __init__(self, experts: Experts, parts: int):
        self.experts, self._awaited = experts, parts
        self.tokens = torch.zeros(len(experts), dtype=torch.long)
        self._numbers = {linear: number for number, expert in enumerate(experts) for linear in expert.modules()}

    def __contains__(self, linear: Linear) -> bool:
        return linear.module in self._numbers

    @property
    def complete(self) -> bool:
        """Whether all micro-batches have arrived."""
        return not self._awaited

    @property
    def mean(self) -> int:
        """The number of tokens of an average expert."""
        return int(self.tokens.sum()) // len(self.tokens)

    def add(self, chosen: Tensor) -> None:
        """Add the experts that the router chose for a micro-batch, (tokens, k)."""
        counts = chosen.flatten().cpu().bincount(minlength=len(self.tokens))  # the last stands for no expert in some
        self.tokens += counts[: len(self.tokens)]
        self._awaited -= 1
        if self.complete:
            inputs = self.experts[0].get_submodule("up_proj").get_parameter("weight").shape[1]
            self.experts.unrouted = frozenset((self.tokens < inputs).nonzero().flatten().tolist())

    def end(self) -> None:
        """Let all experts run on their own tokens again."""
        self.experts.unrouted = frozenset()

    def few(self, linear: Linear) -> int | None:
        """Return the number of tokens that the router sent an expert which runs on all tokens; None for any other."""
        number = self._numbers[linear.module]
        return int(self.tokens[number]) if number in self.experts.unrouted else None


def routings_of(block: nn.Module, linears: Sequence[Linear], parts: int) -> list[Routing]:
    """Return the routing of each layer in a block that has some of the linears; a single expert gets all tokens."""
    found = [Routing(experts, parts) for experts in experts_in(block) if len(experts) > 1]
    return [one for one in found if any(linear in one for linear in linears)]
