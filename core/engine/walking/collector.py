"""Statistics of calibration: sums over the tokens of one input, a sample of its rows, and the tokens of experts."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from core.methods.cost import Sum
from core.methods.linear import Statistics
from core.models.modeling_slimscope import Experts
from core.models.parts.blocks import Linear
from core.models.parts.experts import experts_in

PANEL = 256  # rows of a sum at once
Sums = frozenset[Sum]
SumsOf = Callable[[str], Sums]  # from the role of a linear


class Collector:
    """Accumulator of the `wanted` sums of one input over micro-batches, and of every `stride`-th row."""

    def __init__(self, wanted: Sums, stride: int):
        self.wanted, self.stride = wanted, stride
        self.tokens = 0
        self.sums: dict[Sum, Tensor] = {}
        self.samples: list[Tensor] = []

    def add(self, inputs: Tensor) -> None:
        """Add inputs (sequences, tokens, in)."""
        rows = inputs.flatten(0, -2)  # (sequences * tokens, in)
        if "mean" in self.wanted:
            self._add("mean", rows.sum(0, dtype=torch.float32))
        if "gram" in self.wanted:
            if "gram" not in self.sums:
                self.sums["gram"] = rows.new_zeros(rows.shape[1], rows.shape[1], dtype=torch.float32)
            add_gram(self.sums["gram"], rows)
        elif "sqnorm" in self.wanted:
            wide = torch.promote_types(rows.dtype, torch.float32)
            self._add("sqnorm", torch.linalg.vector_norm(rows, dim=0, dtype=wide).square_().float())
        if "absolute" in self.wanted:
            self._add("absolute", torch.linalg.vector_norm(rows, ord=1, dim=0, dtype=torch.float32))
        first_row = -self.tokens % self.stride
        self.samples.append(rows[first_row :: self.stride].clone())
        self.tokens += len(rows)

    def _add(self, name: Sum, value: Tensor) -> None:
        self.sums[name] = self.sums[name].add_(value) if name in self.sums else value

    def finish(self) -> tuple[Statistics, Tensor]:
        """Return the statistics and the sampled rows, (about `SAMPLED_TOKENS`, in), and forget them."""
        if "gram" in self.sums:
            gram = self.sums["gram"]
            mirror(gram)
            self.sums["sqnorm"] = gram.diagonal().clone()
        if "mean" in self.sums:
            self.sums["mean"] /= self.tokens
        sums, samples = self.sums, torch.cat(self.samples)
        self.sums, self.samples = {}, []  # the caller decides when their memory is free
        return Statistics(self.tokens, sums), samples


def mirror(gram: Tensor, panel: int = PANEL) -> None:
    """Copy the upper triangle of a matrix (in, in) to the lower one, `panel` rows at a time."""
    for start in range(0, len(gram), panel):
        stop = min(start + panel, len(gram))
        square = gram[start:stop, start:stop]
        square.copy_(square.triu() + square.triu(1).T)
        gram[stop:, start:stop] = gram[start:stop, stop:].T


def add_gram(gram: Tensor, rows: Tensor, panel: int = PANEL) -> None:
    """Add rows^T rows to the upper triangle of the symmetric `gram`, (in, in) fp32, `panel` rows at a time."""
    rows = rows.float()  # (tokens, in)
    for start in range(0, len(gram), panel):
        stop = min(start + panel, len(gram))
        gram[start:stop, start:].addmm_(rows[:, start:stop].T, rows[:, start:])


class Routing:
    """The tokens that the experts of a layer get, complete when all micro-batches, `parts`, have arrived.

    An expert with fewer tokens than inputs would have a Gram matrix without full rank. It runs on all tokens of the
    layer, so its statistics are those of the layer.
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
