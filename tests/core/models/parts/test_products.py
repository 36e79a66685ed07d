"""Products of 16-bit matrices in fp32 against one rounding of the sums in fp32."""

import pytest
import torch
from torch import nn

from core.models.parts import products
from core.models.parts.products import WideProducts, wide_products

TYPES = torch.bfloat16, torch.float16
OPERATIONS = {
    "mm": lambda a, b, c: a @ b[0],
    "addmm": lambda a, b, c: torch.addmm(c[0], a, b[0], beta=0.5, alpha=2),
    "addmm of a row": lambda a, b, c: torch.addmm(c[0, 0], a, b[0]),
    "bmm": lambda a, b, c: torch.bmm(a.expand(len(b), -1, -1), b),
    "baddbmm": lambda a, b, c: torch.baddbmm(c, a.expand(len(b), -1, -1), b, beta=2, alpha=0.5),
    "matmul": lambda a, b, c: torch.matmul(b.mT.unsqueeze(0), a.mT),
    "transposed": lambda a, b, c: b[0].t() @ a.t(),
    "einsum": lambda a, b, c: torch.einsum("nk,bkm->bnm", a, b),
    "linear": lambda a, b, c: nn.functional.linear(a, b[0].t(), c[0, 0]),
    "linear of a batch": lambda a, b, c: nn.functional.linear(a.unsqueeze(1), b[1].t()),
}


@pytest.fixture(params=[2**24, 40])
def chunks(request, monkeypatch):
    """All of a matrix at once, and many parts of one."""
    monkeypatch.setattr(products, "ELEMENTS", request.param)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_each_product_is_the_sum_in_fp32_rounded_once(chunks, dtype, operation, context):
    torch.manual_seed(0)
    a, b, c = (torch.randn(shape).to(dtype) for shape in ((7, 12), (3, 12, 9), (3, 7, 9)))
    expected = operation(a.float(), b.float(), c.float()).to(dtype)
    with context(), WideProducts({dtype}):
        found = operation(a, b, c)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=0, atol=torch.finfo(dtype).eps * expected.abs().max().item())


def test_gradients_are_computed_in_fp32_and_stay_in_16_bits(monkeypatch):
    torch.manual_seed(0)
    layer, inputs = nn.Linear(12, 20, dtype=torch.bfloat16), torch.randn(5, 3, 12).bfloat16()
    layer(inputs).float().square().sum().backward()
    expected = layer.weight.grad
    layer.weight.grad = None
    called = []
    plain = products.PRODUCTS[torch.ops.aten.mm.default]
    monkeypatch.setitem(products.PRODUCTS, torch.ops.aten.mm.default, lambda *args: called.append(args) or plain(*args))
    with WideProducts({torch.bfloat16}):
        layer(inputs).float().square().sum().backward()
    assert called and layer.weight.grad.dtype == torch.bfloat16
    torch.testing.assert_close(layer.weight.grad, expected, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("slow", [frozenset(), frozenset({torch.bfloat16})])
def test_the_context_does_nothing_on_a_processor_with_the_instructions(slow, monkeypatch):
    used = []
    monkeypatch.setattr(products, "slow_types", lambda: slow)
    monkeypatch.setitem(products.PRODUCTS, torch.ops.aten.mm.default, lambda *args: used.append(args))
    with wide_products(torch.bfloat16):
        torch.ones(2, 2).bfloat16() @ torch.ones(2, 2).bfloat16()
    assert bool(used) == bool(slow)
