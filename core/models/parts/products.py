"""Fast products on a CPU: fp32 linears with oneDNN, and 16-bit matrices in fp32 where it lacks their instructions."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from typing import TypeVar

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from core.models.parts.blocks import Args, Kwargs

ELEMENTS = 2**24  # of a matrix that are in fp32 at once, 64 MB
COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd

aten = torch.ops.aten
Result = TypeVar("Result")


def wide_products(dtype: torch.dtype) -> AbstractContextManager[object]:
    """Return a context that computes products of matrices of this type in fp32, where torch itself is slow.

    Torch needs AVX-512 or AMX for them on an x86 processor. On one with AVX2 it is 10 to 140 times slower than in fp32.
    Both sum in fp32 and round once, so at most the last bit of a result differs.
    """
    return WideProducts({dtype}) if dtype in slow_types() else nullcontext()


@cache
def slow_types() -> frozenset[torch.dtype]:
    """Return the 16-bit types whose products are slow on the CPU of this machine."""
    if not torch.backends.mkldnn.is_available():  # only with oneDNN torch says what the processor has
        return frozenset()
    quick = {
        torch.bfloat16: torch.ops.mkldnn._is_mkldnn_bf16_supported(),
        torch.float16: torch.ops.mkldnn._is_mkldnn_fp16_supported(),
    }
    return frozenset(dtype for dtype, supported in quick.items() if not supported)


class WideProducts(TorchDispatchMode):
    """A context in which products of matrices of these types on the CPU are computed in fp32, gradients included."""

    def __init__(self, dtypes: Collection[torch.dtype]):
        super().__init__()  # type: ignore[no-untyped-call]
        self._dtypes = dtypes

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Collection[type],
        args: Args = (),
        kwargs: Kwargs | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if any(isinstance(one, Tensor) and one.dtype in self._dtypes and one.device.type == "cpu" for one in args):
            if func in PRODUCTS:
                return PRODUCTS[func](*args, **kwargs)
            if func.has_kernel_for_dispatch_key(COMPOSITE):  # in inference mode a linear arrives as such
                with self:
                    return func.decompose(*args, **kwargs)
        return func(*args, **kwargs)


def _addmm(added: Tensor | None, left: Tensor, right: Tensor, beta: float = 1, alpha: float = 1) -> Tensor:
    (rows, inner), columns = left.shape, right.shape[1]
    product = left.new_empty(rows, columns)  # (N, M)
    high, wide = max(1, ELEMENTS // max(inner, 1)), max(1, ELEMENTS // max(inner, rows, 1))
    for top in range(0, rows, high):
        part = left[top : top + high].float()  # (n, K)
        for first in range(0, columns, wide):
            here = slice(top, top + high), slice(first, first + wide)
            product[here] = _scaled(added, (rows, columns), here, part @ right[:, here[1]].float(), beta, alpha)
    return product


def _baddbmm(added: Tensor | None, left: Tensor, right: Tensor, beta: float = 1, alpha: float = 1) -> Tensor:
    (batch, rows, inner), columns = left.shape, right.shape[2]
    shape = batch, rows, columns
    product = left.new_empty(shape)  # (B, N, M)
    step = max(1, ELEMENTS // max(rows * inner, inner * columns, rows * columns, 1))
    for first in range(0, batch, step):
        here = (slice(first, first + step),)
        sums = torch.bmm(left[here].float(), right[here].float())
        product[here] = _scaled(added, shape, here, sums, beta, alpha)
    return product


def _scaled(
    added: Tensor | None, shape: tuple[int, ...], here: tuple[slice, ...], sums: Tensor, beta: float, alpha: float
) -> Tensor:
    """Return alpha sums + beta added, where `sums` is a part of a product of this shape."""
    if alpha != 1:
        sums *= alpha
    if added is not None and beta != 0:
        sums.add_(added.expand(shape)[here], alpha=beta)
    return sums


PRODUCTS: dict[OpOverload, Callable[..., Tensor]] = {
    aten.mm.default: partial(_addmm, None),
    aten.addmm.default: _addmm,
    aten.bmm.default: partial(_baddbmm, None),
    aten.baddbmm.default: _baddbmm,
}


@contextmanager
def quick_products(dtype: torch.dtype) -> Iterator[None]:
    """Compute linears of a model of this type in the fastest way inside the context."""
    with wide_products(dtype), QuickLinears():
        yield


class QuickLinears(TorchFunctionMode):
    """A context in which `torch.nn.functional.linear` uses oneDNN where possible, without gradients."""

    def __torch_function__(
        self,
        func: Callable[..., Result],
        types: Sequence[type],
        args: Args = (),
        kwargs: Kwargs | None = None,
    ) -> Result:
        if func is linear and not kwargs and _suits(*args):
            bias = args[2] if len(args) > 2 else None
            product: Result = torch.ops.mkldnn._linear_pointwise(*args[:2], bias, "none", [], "")
            return product
        return func(*args, **(kwargs or {}))


def _suits(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    plain = all(one is None or (one.device.type, one.dtype) == ("cpu", torch.float32) for one in (inputs, weight, bias))
    return plain and inputs.numel() > 0 and torch.backends.mkldnn.is_available() and not torch.is_grad_enabled()
