"""Methods that replace each convolution by two smaller ones, in models with convolutions only."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from core.methods.base import Method
from core.methods.convolution.allocation import Cut
from core.methods.convolution.forms import Form, Pair, truncate
from core.methods.terms import STORED
from core.models.shape import ModelShape
from core.specs import TextWindows

if TYPE_CHECKING:
    from torch import Tensor

TINY = 1e-30  # replaces the squared norm of a zero kernel
DECOMPOSITION = 20  # operations of an SVD, divided by the matrix size times its smaller side


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
