"""Folds: scales of a linear's inputs that leave the block's output unchanged.

A fold multiplies columns of linears by scales, and divides the source of their input, a norm or another linear, by the
same scales. Whether a block allows that depends on its structure. Every fold is therefore tried on the block; no
architecture is named.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.models.parts.blocks import Linear, hooked

NEAR = {torch.float32: 1e-3}  # relative difference of a block's output before and after
NEAR_16 = 0.05
SHIFTS = (0.0, 1.0)  # Gemma's norms multiply by 1 + weight
COUPLED = (("v", "o"), ("up", "down"))  # roles: the second may read the first's output entry by entry


@dataclass(frozen=True)
class Fold:
    """Linears that read one input, and the module that computes it."""

    readers: Sequence[Linear]
    source: nn.Module
    shift: float = 0.0  # that a norm adds to its weight before multiplication

    def scale(self, scales: Tensor) -> None:
        """Multiply the readers' columns by scales (in,), and divide their input by the same scales."""
        for reader in self.readers:
            reader.weight.copy_(reader.weight.float() * scales)
        weight = self.source.get_parameter("weight").data
        each = scales if weight.dim() == 1 else scales[:, None]
        weight.copy_(weight.float() / each + self.shift * (1 / each - 1))
        bias = getattr(self.source, "bias", None)
        if bias is not None:
            bias.data.copy_(bias.float() / scales)


def find_folds(block: nn.Module, linears: Sequence[Linear], run: Callable[[], Tensor]) -> list[Fold]:
    """Return the folds of a block that leave its output `run()` unchanged."""
    with _recorded(block, linears) as (read, outputs):
        expected = run()
    found: list[Fold] = []
    for fold in [*_after_norms(linears, read, outputs), *_after_linears(linears)]:
        if all(fold.readers != known.readers for known in found) and _preserves(fold, expected, run):
            found.append(fold)
    return found


@contextmanager
def _recorded(
    block: nn.Module, linears: Sequence[Linear]
) -> Iterator[tuple[dict[str, Tensor], list[tuple[nn.Module, Tensor]]]]:
    """Record the input of each linear by name, and the output of each module with a weight vector."""
    read: dict[str, Tensor] = {}
    outputs: list[tuple[nn.Module, Tensor]] = []
    with hooked(linears, lambda linear, inputs: read.update({linear.name: inputs})) as stack:
        for module in block.modules():
            weight = dict(module.named_parameters(recurse=False)).get("weight")
            if weight is not None and weight.dim() == 1:
                hook = module.register_forward_hook(lambda module, args, output: outputs.append((module, output)))
                stack.enter_context(hook)
        yield read, outputs


def _after_norms(
    linears: Sequence[Linear], read: dict[str, Tensor], outputs: Sequence[tuple[nn.Module, Tensor]]
) -> Iterator[Fold]:
    """Yield the linears that read a norm's output, once for each way in which the norm may use its weight."""
    for norm, output in outputs:
        readers = [linear for linear in linears if read[linear.name] is output]
        if readers:
            yield from (Fold(readers, norm, shift) for shift in SHIFTS)


def _after_linears(linears: Sequence[Linear]) -> Iterator[Fold]:
    by_role = {linear.role: linear for linear in linears}
    for first, second in COUPLED:
        one, other = by_role.get(first), by_role.get(second)
        if one and other and isinstance(one.module, nn.Linear) and one.shape[0] == other.shape[1]:
            yield Fold([other], one.module)


def _preserves(fold: Fold, expected: Tensor, run: Callable[[], Tensor]) -> bool:
    """Return whether a block computes the same with a fold scaled; the fold is undone."""
    touched = [fold.source, *(reader.module for reader in fold.readers)]
    before = [(parameter, parameter.data.clone()) for module in touched for parameter in module.parameters()]
    width = fold.readers[0].shape[1]
    fold.scale(torch.arange(width, device=expected.device).cos().exp())
    gap = (run() - expected).norm() / expected.norm()
    for parameter, value in before:
        parameter.data.copy_(value)
    return bool(gap <= NEAR.get(expected.dtype, NEAR_16))
