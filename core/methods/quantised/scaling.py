"""Inputs of a block's linears on the calibration data, and AWQ's search: scales of inputs, and clipped ranges."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from core.methods.quantised.base import BlockView
from core.models.parts.blocks import Args, Kwargs, Linear, Output, first, hooked
from core.models.parts.folds import Fold

SAMPLED = 512  # approximate number of sampled tokens per input


@dataclass
class Inputs:
    """The input of a linear: the sum of |x| (in,) over its tokens, and sampled rows, (tokens, in) per micro-batch."""

    tokens: int
    total: Tensor
    rows: list[Tensor]

    @property
    def size(self) -> Tensor:
        """Mean of |x|, (in,)."""
        return self.total / self.tokens

    def sample(self, scales: Tensor | None) -> Tensor:
        """Return the sampled rows (tokens, in), divided by `scales` (in,) if given."""
        rows = torch.cat(self.rows)
        return rows if scales is None else rows / scales


def read_inputs(view: BlockView) -> dict[str, Inputs]:
    """Return the input of each linear of a block over all calibration data, by name."""
    found: dict[str, Inputs] = {}

    def look(linear: Linear, inputs: Tensor) -> None:
        rows = inputs.flatten(0, -2)  # (tokens, in)
        one = found.setdefault(linear.name, Inputs(0, rows.new_zeros(rows.shape[1], dtype=torch.float32), []))
        # An odd step covers all positions across micro-batches, since first tokens have outsized activations.
        step = view.parts * len(rows) // SAMPLED | 1
        one.rows.append(rows[-one.tokens % step :: step].float())
        one.tokens += len(rows)
        one.total += rows.abs().sum(0, dtype=torch.float32)  # a norm is slower, tenfold at 2048

    with hooked(view.linears, look):
        for part in range(view.parts):
            view.run(part)
    return found


LEAST = 1e-4  # smallest scale, before normalisation
CLIP_STEPS, CLIP_OF = 10, 20  # compared ranges: shrunk by twentieths to about a half

Round = Callable[[Tensor], Tensor]  # rounds a weight (out, in) to its grid


@dataclass
class Inspected:
    """Recorded calls of the modules whose outputs judge scales: arguments and outputs."""

    calls: list[tuple[nn.Module, Args, Kwargs, Tensor]] = field(default_factory=list)

    def loss(self) -> float:
        """Return the sum of squared changes of the outputs with the current weights."""
        return sum(
            float((first(module(*args, **kwargs)).float() - output.float()).square().sum(dtype=torch.float64))
            for module, args, kwargs, output in self.calls
        )


def inspect(view: BlockView, modules: Sequence[nn.Module], parts: int) -> Inspected:
    """Record the calls of a block's modules on the first micro-batches."""
    found = Inspected()

    def look(module: nn.Module, args: Args, kwargs: Kwargs, output: Output) -> None:
        found.calls.append((module, args, kwargs, first(output)))

    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(module.register_forward_hook(look, with_kwargs=True))
        for part in range(min(parts, view.parts)):
            view.run(part)
    return found


def judges(view: BlockView, fold: Fold) -> list[nn.Module]:
    """Return the modules whose outputs judge a fold's scales: the parent of a norm's readers, else the readers."""
    parents = {reader.name.rpartition(".")[0] for reader in fold.readers}
    names = {f"{view.name}.{name}": module for name, module in view.module.named_modules() if name}
    of_norm = fold.source not in [linear.module for linear in view.linears]
    if of_norm and len(parents) == 1 and (parent := next(iter(parents))) in names:
        return [names[parent]]
    return [reader.module for reader in fold.readers]


def best_scales(fold: Fold, size: Tensor, judged: Inspected, round_to: Round, steps: int) -> Tensor:
    """Return the scales (in,) of a fold, powers of the inputs' mean size (in,), that change the outputs least."""
    kept = [reader.weight.to(torch.float32, copy=True) for reader in fold.readers]
    best, least = torch.ones_like(size), float("inf")
    for step in range(steps):
        scales = powers(size, step / steps)
        for reader, weight in zip(fold.readers, kept, strict=True):
            reader.weight.copy_(round_to(weight * scales) / scales)
        loss = judged.loss()
        if loss < least:
            best, least = scales, loss
    for reader, weight in zip(fold.readers, kept, strict=True):
        reader.weight.copy_(weight)
    return best


def powers(size: Tensor, exponent: float) -> Tensor:
    """Return size^exponent, (in,), divided by the geometric mean of its extremes; all 1 for exponent 0."""
    scales = size.pow(exponent).clamp_min(LEAST)
    balanced: Tensor = scales / (scales.max() * scales.min()).sqrt()
    return balanced


def clipped(weight: Tensor, inputs: Tensor, group: int, round_to: Round) -> Tensor:
    """Return a weight (out, in) with each group clipped to where its rounded output changes least."""
    rows = inputs.unflatten(1, (-1, group)).transpose(0, 1)  # (groups, tokens, group)
    gram = rows.mT @ rows  # (groups, group, group)
    groups = weight.unflatten(1, (-1, group))  # (out, groups, group)
    largest = groups.abs().amax(-1, keepdim=True)  # (out, groups, 1)
    best, least = largest, torch.full_like(largest, float("inf"))
    for step in range(CLIP_STEPS):
        limit = largest * (1 - step / CLIP_OF)
        rounded = round_to(groups.clamp(-limit, limit).flatten(1)).unflatten(1, (-1, group))
        lost = (rounded - groups).transpose(0, 1)  # (groups, out, group)
        error = ((lost @ gram) * lost).sum(-1).T[..., None]  # (out, groups, 1)
        better = error < least
        best, least = torch.where(better, limit, best), torch.where(better, error, least)
    narrowed: Tensor = groups.clamp(-best, best).flatten(1)
    return narrowed
