"""Base of methods that replace each convolution by two smaller ones, and the allocation of their ranks.

Every convolution loses the same share of its weights, as far as whole ranks and its shape allow. One without a smaller
form stays whole, and the others lose more. Weights left over by rounding go where they lower the loss most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from core.methods.annotations import ModelShape, Tensor, TextWindows
from core.methods.base import Method
from core.methods.convolution.forms import Form, Pair, spectrum, truncate
from core.methods.numerics.levels import Choices, spend
from core.methods.terms import STORED

STEPS = 60  # of the bisection over the share that each convolution keeps
TINY = 1e-30  # replaces the squared norm of a zero kernel
DECOMPOSITION = 20  # operations of an SVD, divided by the matrix size times its smaller side


@dataclass(frozen=True)
class Cut:
    """A form, and its kept rank or depth multiplier."""

    form: Form
    rank: int

    def __str__(self) -> str:
        return self.form.describe(self.rank)


@dataclass(frozen=True)
class Options:
    """Choices for a convolution: the smallest first, the whole last, each with less loss than all smaller ones."""

    choices: Choices
    cuts: tuple[Cut, ...]  # of all choices but the last

    @classmethod
    def of(cls, kernel: Tensor, groups: int, forms: Sequence[Form]) -> "Options":
        """Return the options of a kernel (out, in / groups, *size)."""
        import torch

        found: list[tuple[int, float, Cut]] = []
        for form in forms:
            if not form.fits(kernel.shape[2:]):
                continue
            matrices = form.matrices(kernel, groups)
            batch, m, n = matrices.shape
            values = spectrum(matrices)
            lost = values.sum() - values.cumsum(0)  # (k,) loss of the ranks 1, 2, ...
            for rank in range(1, len(values) + 1):
                if (weights := batch * (m + n) * rank) >= kernel.numel():
                    break
                found.append((weights, max(lost[rank - 1].item(), 0.0), Cut(form, rank)))
        whole = kernel.double().square().sum().item() or 1.0
        kept: list[tuple[int, float, Cut]] = []
        for weights, loss, cut in sorted(found, key=lambda one: one[:2]):
            if not kept or loss < kept[-1][1]:
                kept.append((weights, loss, cut))
        sizes = [weights for weights, _, _ in kept] + [kernel.numel()]
        losses = [loss / whole for _, loss, _ in kept] + [0.0]
        choices = Choices(torch.tensor(sizes, dtype=torch.float64), torch.tensor(losses, dtype=torch.float64))
        return cls(choices, tuple(cut for _, _, cut in kept))

    def within(self, share: float) -> int:
        """Return the largest choice with at most `share` of the whole's weights, or else the smallest."""
        return max(0, int((self.choices.weights <= share * self.choices.weights[-1]).sum()) - 1)


def allocate(options: Mapping[str, Options], ratio: float) -> dict[str, Cut | None]:
    """Choose the cut of each convolution by name; None leaves it whole.

    Together they keep 1 - `ratio` of the weights, as closely as one step of a rank or multiplier allows.
    """
    every = list(options.values())
    budget = (1 - ratio) * sum(float(one.choices.weights[-1]) for one in every)

    def kept(share: float) -> float:
        return sum(float(one.choices.weights[one.within(share)]) for one in every)

    low, high = 0.0, 1.0
    for _ in range(STEPS):
        share = (low + high) / 2
        low, high = (share, high) if kept(share) <= budget else (low, share)
    picked = [one.within(low) for one in every]
    choices = [one.choices for one in every]
    spend(choices, picked, budget - kept(low))
    _round(choices, picked, budget)
    return {
        name: one.cuts[place] if place < len(one.cuts) else None
        for (name, one), place in zip(options.items(), picked, strict=True)
    }


def _round(choices: Sequence[Choices], picked: list[int], budget: float) -> None:
    """Take the smallest step over the budget, in place, if it ends nearer to the budget."""
    left = budget - sum(float(one.weights[place]) for one, place in zip(choices, picked, strict=True))
    steps = [
        (float(one.weights[place + 1] - one.weights[place]), index)
        for index, (one, place) in enumerate(zip(choices, picked, strict=True))
        if place + 1 < len(one.weights)
    ]
    step, index = min(steps, default=(0.0, 0))
    if 0 < step < 2 * left:
        picked[index] += 1


class ConvMethod(Method):
    """A method whose subclasses list the `forms` of a convolution; at equal size, the form with less loss wins."""

    kind = "convolutions"
    streams = False
    family = "convolution"
    ratio_kind = "parameters"
    modifies = frozenset({"convolutions"})
    leaves = frozenset({"convolutions"})
    accepts = STORED - {"zeros", "pattern", "factors", "convolutions"}
    forms: ClassVar[tuple[Form, ...]]

    def compress(self, kernel: Tensor, groups: int, cut: Cut) -> tuple[Pair, float]:
        """Return the two convolutions that replace a kernel, and the error |W - W'|^2 / |W|^2.

        The kernel is (out, in / groups, *size), fp32.
        """
        matrices = cut.form.matrices(kernel, groups)
        left, right = truncate(matrices, cut.rank)
        error = (matrices - left @ right).square().sum() / matrices.square().sum().clamp_min(TINY)
        return cut.form.pair(left, right, kernel.shape, groups), error.item()

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """Count two singular value decompositions of each kernel: for its spectrum and for its cut."""
        return 2 * len(self.forms) * DECOMPOSITION * shape.convolutions * shape.hidden
