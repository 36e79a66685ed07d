"""Search for the grid of a weight: a scale for each group of inputs and, if asymmetric, a zero point.

A symmetric scale follows one of two rules. `signed`: the weight w of largest size gets the lowest code. The scale is -w
/ 2^(b-1), which may be negative, as in llama.cpp's Q4_0 and auto-round. `range`: the scale is |w| / ((2^b - 1) / 2), as
in compressed-tensors. An asymmetric range always includes 0, so that 0 is a code (arXiv:2301.00774, section 3.5).

Scales are stored in 16 bits. Those of `range` and of asymmetric grids are rounded down. A `range` grid ends half a step
beyond its codes: with a slightly too large scale, -|w| would lose half a step and all weights would shrink.
"""

import torch
from torch import Tensor

from core.methods.numerics.groups import ScaleRule
from core.models.parts.grids import Grid

# The search of GPTQ's reference: ranges shrunk by hundredths to about 0.2, with the error |err|^2.4.
CLIP_STEPS, CLIP_OF, CLIP_POWER = 80, 100, 2.4
AT_ONCE = 2**17  # weights that are searched together, so that they stay in the cache of a CPU
LEAST = 2.0**-24  # smallest positive scale in 16 bits


def find_grid(
    weight: Tensor, bits: int, group: int, symmetric: bool = True, clip: bool = False, rule: ScaleRule = "signed"
) -> Grid:
    """Return the grid of a weight (out, in), in groups of `group` inputs; `group` divides `in`.

    With `clip`, each group gets the narrower range, of `CLIP_STEPS`, with the least rounding error.
    """
    if not clip:
        return grid_between(*_ends(weight, group), bits, group, symmetric, rule)
    rows = max(1, AT_ONCE // weight.shape[1]) if weight.device.type == "cpu" else len(weight)
    found = [_clipped(part, bits, group, symmetric, rule) for part in weight.split(rows)]
    zeros = [one.zero for one in found if one.zero is not None]
    return Grid(bits, group, torch.cat([one.scale for one in found]), torch.cat(zeros) if zeros else None)


def _ends(weight: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """Return the lower and the upper end of each group's weights and 0, (out, groups)."""
    groups = weight.unflatten(1, (-1, group))  # (out, groups, group)
    return groups.amin(-1).clamp_max(0), groups.amax(-1).clamp_min(0)


def _clipped(weight: Tensor, bits: int, group: int, symmetric: bool, rule: ScaleRule) -> Grid:
    """Return the grid of the narrower range, of `CLIP_STEPS`, with the least rounding error of each group.

    A group is not searched further once clipping its largest weight alone costs more than the least error.
    """
    left = weight.reshape(-1, group)  # (left, group)
    low, high = _ends(left, group)  # (left, 1)
    first = grid_between(low, high, bits, group, symmetric, rule)
    scale, zero = first.scale, first.zero  # (out * groups, 1)
    least = _error(first, left)  # (left, 1)
    places = torch.arange(len(left), device=weight.device)  # (left,)
    for step in range(1, CLIP_STEPS):
        share = 1 - step / CLIP_OF
        tried = grid_between(share * low, share * high, bits, group, symmetric, rule)
        error = _error(tried, left)
        better = (error < least)[:, 0]
        least = torch.minimum(error, least)
        scale[places[better]] = tried.scale[better]
        if zero is not None and tried.zero is not None:
            zero[places[better]] = tried.zero[better]
        largest = torch.maximum(high, -low)
        # The farthest value of this grid and of all narrower ones, with the rounding of scales and zero points.
        reach = 1.001 * share * largest + tried.scale.abs() / 2 + 2**bits * LEAST
        goes_on = ((largest - reach).clamp_min(0).pow(CLIP_POWER) < 1.001 * least)[:, 0]
        if not goes_on.all():
            left, low, high, least, places = (one[goes_on] for one in (left, low, high, least, places))
        if not len(places):
            break
    shape = len(weight), -1
    return Grid(bits, group, scale.view(shape), None if zero is None else zero.view(shape))


def grid_between(low: Tensor, high: Tensor, bits: int, group: int, symmetric: bool, rule: ScaleRule = "signed") -> Grid:
    """Return the grid of ranges (out, groups) that include 0."""
    exact = exact_scale(low, high, bits, symmetric, rule)  # (out, groups)
    if symmetric and rule == "signed":
        sign = torch.where(exact < 0, -1.0, 1.0)
        return Grid(bits, group, sign * exact.abs().half().float().clamp_min_(LEAST))
    scale = _rounded_down(exact).clamp_min_(LEAST)
    return Grid(bits, group, scale, None if symmetric else (-low / scale).round_().clamp_(0, 2**bits - 1))


def exact_scale(low: Tensor, high: Tensor, bits: int, symmetric: bool, rule: ScaleRule) -> Tensor:
    """Compute the scales of ranges before they are stored in 16 bits.

    Args:
        low: Lower ends, (out, groups), at most 0.
        high: Upper ends, (out, groups), at least 0.
        bits: Bits of a code.
        symmetric: Whether code 0 is the weight 0.
        rule: Rule of a symmetric scale.

    Returns:
        Scales, (out, groups); those of `signed` are negative where the upper end is the larger one.
    """
    if not symmetric:
        spread: Tensor = (high - low) / (2**bits - 1)
        return spread
    if rule == "range":
        largest: Tensor = 2 * torch.maximum(high, -low) / (2**bits - 1)
        return largest
    signed: Tensor = -torch.where(high > -low, high, low) / 2 ** (bits - 1)
    return signed


def _rounded_down(scale: Tensor) -> Tensor:
    """Round positive scales down to 16 bits; return them in fp32."""
    near = scale.half()
    below = (near.view(torch.int16) - 1).view(torch.float16)  # the next smaller number, as they are positive
    return torch.where(near.float() > scale, below, near).float()


def _error(grid: Grid, groups: Tensor) -> Tensor:
    """Return the rounding error (n, 1) of groups (n, group)."""
    nearest = grid.nearest_of(groups, grid.scale, grid.zero)
    return nearest.sub_(groups).abs_().pow_(CLIP_POWER).sum(1, keepdim=True)
