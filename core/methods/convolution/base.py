"""What a method is that writes each convolution as two smaller ones. It takes models that have convolutions only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from core.methods.base import Method
from core.methods.convolution.forms import Form, Pair, truncate

if TYPE_CHECKING:
    from torch import Tensor

    from core.methods.convolution.allocation import Cut, Options
    from core.models.shape import ModelShape
    from core.specs import TextWindows

TINY = 1e-30  # stands for the squares of a kernel of zeros
DECOMPOSITION = 20  # operations of decomposing a matrix, over its size times its smaller side


class ConvMethod(Method):
    """Subclasses name the forms that a convolution may take; of equal size the one with less loss is taken."""

    family = "convolution"
    ratio_kind = "parameters"
    preserves = "nothing"
    modifies = frozenset({"convolutions"})
    marker = "pentagon"
    forms: ClassVar[tuple[Form, ...]]

    def options(self, kernel: Tensor, groups: int) -> Options:
        """Return what a kernel (out, in / groups, *size), fp32, may become."""
        from core.methods.convolution.allocation import Options

        return Options.of(kernel, groups, self.forms)

    def plan(self, options: Mapping[str, Options], ratio: float) -> dict[str, Cut | None]:
        """Return by name what each convolution becomes so that a share of all their weights goes; None: it stays."""
        from core.methods.convolution.allocation import allocate

        return allocate(options, ratio)

    def compress(self, kernel: Tensor, groups: int, cut: Cut) -> tuple[Pair, float]:
        """Return the two convolutions in place of a kernel (out, in / groups, *size), fp32, and |W - W'|^2 / |W|^2."""
        matrices = cut.form.matrices(kernel, groups)
        left, right = truncate(matrices, cut.rank)
        error = (matrices - left @ right).square().sum() / matrices.square().sum().clamp_min(TINY)
        return cut.form.pair(left, right, kernel.shape, groups), error.item()

    def cost(self, shape: ModelShape, text: TextWindows | None) -> float:
        """A singular value decomposition of each kernel, twice: for its spectrum, and to cut it."""
        return 2 * len(self.forms) * DECOMPOSITION * shape.convolutions * shape.hidden
