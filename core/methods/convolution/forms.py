"""The forms of one convolution as two successive ones, each an SVD of the kernel laid out as matrices.

A kernel is (out, in / groups, *size), of one or two axes. In a form it is a batch of matrices (batch, m, n), each
truncated to its first r singular vectors: left (batch, m, r) becomes the second convolution, right (batch, r, n) the
first. Without truncation the two equal the original; otherwise the loss is the sum of the discarded squared singular
values. References: Zhang et al., Accelerating Very Deep Convolutional Networks, 2015 (arXiv:1505.06798), and Denton et
al., 2014 (arXiv:1404.0736): by channels; Jaderberg et al., 2014 (arXiv:1405.3866), scheme 2: axis by axis; Guo et al.,
Network Decoupling, 2018 (arXiv:1808.05517): depthwise, then pointwise.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from core.methods.annotations import Tensor


@dataclass(frozen=True)
class Pair:
    """The kernels of two convolutions that replace one; the first has the kernel's first `axes`, its others are 1."""

    first: Tensor
    second: Tensor
    first_groups: int
    axes: int


class Form(ABC):
    """A way to split kernels of shape (out, in / groups, *size)."""

    def fits(self, size: Sequence[int]) -> bool:
        """Return whether a kernel of this size has this form and no simpler form is the same."""
        return True

    @abstractmethod
    def describe(self, rank: int) -> str:
        """Describe a cut to the first r singular vectors."""

    @abstractmethod
    def matrices(self, kernel: Tensor, groups: int) -> Tensor:
        """Return the kernel as matrices (batch, m, n)."""

    @abstractmethod
    def pair(self, left: Tensor, right: Tensor, shape: Sequence[int], groups: int) -> Pair:
        """Return the two convolutions of left (batch, m, r) and right (batch, r, n)."""


@dataclass(frozen=True)
class Split(Form):
    """A first convolution with the kernel's first axes and r channels per group, and a second with the other axes."""

    axis: int | None  # first axis of the second convolution; None: that is 1 x 1

    def describe(self, rank: int) -> str:
        return f"rank {rank}, {'by channels' if self.axis is None else 'axis by axis'}"

    def fits(self, size: Sequence[int]) -> bool:
        return self.axis is None or (self.axis < len(size) and prod(size[self.axis :]) > 1)

    def matrices(self, kernel: Tensor, groups: int) -> Tensor:
        outputs, inputs, *size = kernel.shape
        near, far = self._sizes(size)
        split = kernel.reshape(groups, outputs // groups, inputs, near, far)
        return split.permute(0, 1, 4, 2, 3).reshape(groups, outputs // groups * far, inputs * near)

    def pair(self, left: Tensor, right: Tensor, shape: Sequence[int], groups: int) -> Pair:
        outputs, inputs, *size = shape
        axes = len(size) if self.axis is None else self.axis
        rank, far = left.shape[2], self._sizes(size)[1]
        second = left.reshape(groups, outputs // groups, far, rank).transpose(2, 3)
        return Pair(
            right.reshape(groups * rank, inputs, *size[:axes], *[1] * (len(size) - axes)),
            second.reshape(outputs, rank, *[1] * axes, *size[axes:]),
            groups,
            axes,
        )

    def _sizes(self, size: Sequence[int]) -> tuple[int, int]:
        """Return the number of kernel positions of the first and of the second convolution."""
        axes = len(size) if self.axis is None else self.axis
        return prod(size[:axes]), prod(size[axes:])


@dataclass(frozen=True)
class Separable(Form):
    """A depthwise convolution with r kernels per channel, and a 1 x 1 convolution that mixes the channels."""

    def describe(self, rank: int) -> str:
        return f"multiplier {rank}"

    def matrices(self, kernel: Tensor, groups: int) -> Tensor:
        outputs, inputs, *size = kernel.shape
        split = kernel.reshape(groups, outputs // groups, inputs, prod(size)).transpose(1, 2)
        return split.reshape(groups * inputs, outputs // groups, prod(size))  # one matrix per input channel

    def pair(self, left: Tensor, right: Tensor, shape: Sequence[int], groups: int) -> Pair:
        outputs, inputs, *size = shape
        rank = left.shape[2]
        second = left.reshape(groups, inputs, outputs // groups, rank).transpose(1, 2)
        return Pair(
            right.reshape(groups * inputs * rank, 1, *size),
            second.reshape(outputs, inputs * rank, *[1] * len(size)),
            groups * inputs,
            len(size),
        )


def spectrum(matrices: Tensor) -> Tensor:
    """Return the squared singular values of matrices (batch, m, n), largest first, summed over the batch, fp64."""
    import torch

    squares: Tensor = torch.linalg.svdvals(matrices).double().square().sum(0)
    return squares


def truncate(matrices: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return left (batch, m, r) and right (batch, r, n) whose products are closest to the matrices (batch, m, n)."""
    import torch

    u, s, v = torch.linalg.svd(matrices, full_matrices=False)
    root = s[:, :rank].sqrt()  # (batch, r)
    return u[..., :rank] * root[:, None], root[..., None] * v[:, :rank]
