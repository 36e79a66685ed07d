"""Convolutions as two that follow each other: exact where nothing is cut, and what is lost where something is."""

import itertools

import pytest
import torch
from torch import nn

from core.methods.convolution.base import Cut, Options, allocate
from core.methods.convolution.forms import Separable, Split, spectrum, truncate
from core.methods.convolution.low_rank import ConvLowRank
from core.models.parts.convolutions import pair_in_place_of
from tests.core.methods.linear import drawn

FORMS = {"channels": Split(None), "space": Split(1), "separable": Separable()}
KINDS = {
    "plain": {},
    "strided": {"stride": 2},
    "padded": {"padding": 2},
    "dilated": {"dilation": 2, "padding": 1},
    "grouped": {"groups": 2},
    "depthwise": {"groups": 4},
    "no bias": {"bias": False},
    "same": {"padding": "same", "dilation": 2},
    "reflected": {"padding": 1, "padding_mode": "reflect"},
    "all": {"stride": 2, "padding": 3, "dilation": 2, "groups": 2},
}
UNEVEN = {"kernel_size": (3, 5), "stride": (1, 2), "padding": (2, 0), "dilation": (2, 1), "groups": 2}


def convolution(kind, **settings):
    torch.manual_seed(0)
    return kind(4, 8, **({"kernel_size": 3} | settings)).double()


def decomposed(module, form, rank=None):
    """Return the pair in place of a module, cut to a rank, or else to none."""
    kernel = module.weight.detach()
    matrices = form.matrices(kernel, module.groups)
    pair = form.pair(*truncate(matrices, rank or min(matrices.shape[1:])), kernel.shape, module.groups)
    return pair_in_place_of(module, pair.first, pair.second, pair.first_groups, pair.axes)


EXACT = [
    *itertools.product([nn.Conv1d], KINDS.values(), ["channels", "separable"]),
    *itertools.product([nn.Conv2d], [*KINDS.values(), UNEVEN, {"kernel_size": (1, 3)}], FORMS),
]


@pytest.mark.matrix()
@pytest.mark.parametrize(("kind", "settings", "form"), EXACT)
def test_an_untruncated_pair_equals_the_convolution_and_each_rank_loses_its_values(kind, settings, form):
    module = convolution(kind, **settings)
    pair = decomposed(module, FORMS[form])
    batch = drawn(2, 4, *[13] * len(module.kernel_size), seed=1, dtype=torch.float64)
    assert torch.allclose(pair(batch), module(batch), atol=1e-12)
    assert pair.kernel_size == module.kernel_size and pair.stride == module.stride
    assert (pair.in_channels, pair.out_channels) == (4, 8)
    assert pair.bias is module.bias and pair.weight.dtype == torch.float64
    matrices = FORMS[form].matrices(module.weight.detach(), module.groups)
    values = spectrum(matrices)
    # What all singular values together have is the kernel's; each rank's loss is the rest.
    assert values.sum() == pytest.approx(module.weight.square().sum().item())
    for rank in range(1, len(values)):
        left, right = truncate(matrices, rank)
        lost = (matrices - left @ right).square().sum().item()
        assert lost == pytest.approx(values[rank:].sum().item(), abs=1e-12)


def test_multiplier_is_at_most_the_kernel_size():
    pair = decomposed(convolution(nn.Conv2d), Separable(), 8)  # of 8 outputs and 9 positions
    depthwise, pointwise = pair
    assert depthwise.weight.shape == (32, 1, 3, 3) and depthwise.groups == 4
    assert pointwise.weight.shape == (8, 32, 1, 1)
    wide = nn.Conv2d(2, 12, 2).double()
    assert [one.weight.shape[0] for one in decomposed(wide, Separable())] == [2 * 4, 12]


def test_kernel_of_the_pair_has_the_predicted_error():
    """The kernel of both together is what they make of a single one, position by position."""
    module = convolution(nn.Conv2d, bias=False)
    single = torch.zeros(4, 4, 5, 5, dtype=torch.float64)
    single[range(4), range(4), 2, 2] = 1  # one for each input channel
    for form in FORMS.values():
        values = spectrum(form.matrices(module.weight.detach(), 1))
        gap = decomposed(module, form, 2)(single) - module(single)
        assert gap.square().sum().item() == pytest.approx(values[2:].sum().item())


def test_each_convolution_gets_the_form_with_the_smaller_error():
    torch.manual_seed(0)
    across, down = torch.randn(8, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    separable = torch.einsum("oy,ix->oixy", across, down)  # one pattern along each axis
    (smallest, *_) = Options.of(separable, 1, ConvLowRank.forms).cuts
    assert smallest.form == Split(1)
    plain = torch.einsum("o,ixy->oixy", across[:, 0], torch.randn(4, 3, 3, dtype=torch.float64))
    found = Options.of(plain, 1, ConvLowRank.forms)
    best = found.cuts[found.within(0.3)]
    assert best == Cut(Split(None), 1)
    assert found.choices.losses[found.within(0.3)] == pytest.approx(0, abs=1e-12)


def test_options_are_sorted_and_smaller_than_the_convolution():
    found = Options.of(convolution(nn.Conv2d).weight.detach(), 1, ConvLowRank.forms)
    assert (found.choices.weights.diff() > 0).all() and (found.choices.losses.diff() < 0).all()
    assert found.choices.weights[-1] == 8 * 4 * 9 and found.choices.losses[-1] == 0
    assert len(found.cuts) == len(found.choices.weights) - 1
    assert found.within(0) == 0 and found.within(1) == len(found.cuts)


def test_unshrinkable_convolutions_pass_their_share_to_others():
    kernels = {"small": torch.randn(4, 1, 3), "large": torch.randn(16, 16, 3)}
    options = {
        name: Options.of(kernel.double(), 4 if name == "small" else 1, ConvLowRank.forms)
        for name, kernel in kernels.items()
    }
    cuts = allocate(options, 0.5)
    assert cuts["small"] is None and cuts["large"] is not None
    kept = 12 + cuts["large"].rank * (16 + 48)
    assert abs(kept - 0.5 * (12 + 768)) <= 32  # half a rank
    assert allocate(options, 0.999)["large"].rank == 1  # the least that it can keep
