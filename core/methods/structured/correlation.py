"""Effect of removing inputs on a linear's output, in closed form from the inputs' covariance.

A unit is a run of equally many inputs. Output channel c is Y_c = sum_i O_ic, where unit i adds O_i. With C_c[i, j] the
covariance of O_ic and O_jc, a sum over kept units s has covariance s' C_c 1 with Y_c and variance s' C_c s. Reference:
Guo et al., SlimLLM, 2025 (arXiv:2505.22689), sections 3.1 and 3.3.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def contributions(weight: Tensor, covariance: Tensor, units: int) -> Tensor:
    """Return C (out, units, units) of a weight (out, in) with this covariance (in, in) of its inputs; all fp64."""
    outputs, inputs = weight.shape
    width = inputs // units
    split = weight.view(outputs, units, width)
    parts = []
    for unit in range(units):
        own = slice(unit * width, (unit + 1) * width)
        mixed = weight[:, own] @ covariance[own]  # (out, in) w_ci' Sigma_i,
        parts.append((mixed.view(outputs, units, width) * split).sum(-1))  # (out, units)
    return torch.stack(parts, dim=1)


def fidelity(parts: Tensor, kept: Tensor) -> float:
    """Return the sum over output channels of |correlation| between the kept units' and the full output, equation 4.

    `parts` is C (out, units, units), `kept` a mask (units,). A channel with constant output counts 0.
    """
    chosen = kept.to(parts.dtype)
    ones = torch.ones_like(chosen)
    with_all = (parts @ ones) @ chosen  # (out,) s' C 1
    own = ((parts @ chosen) * chosen).sum(-1).clamp_min(0)
    whole = (parts @ ones).sum(-1).clamp_min(0)
    scale = (own * whole).sqrt()
    return torch.where(scale > 0, with_all.abs() / scale, 0.0).sum().item()


def choose_units(parts: Tensor, blocks: Sequence[Sequence[int]], count: int, greedy: bool) -> Tensor:
    """Return the kept units, ascending, when `count` of every block of interchangeable units are removed.

    First, the units are removed without which, each on its own, the output's direction changes least. With `greedy`,
    each removed unit then replaces a kept one of its block, if that raises `fidelity`; it takes the best exchange. The
    exchanges run block by block, in the order of removal. Units that are swapped out are not tried again.
    """
    units = parts.shape[1]
    kept = torch.ones(units, dtype=torch.bool, device=parts.device)
    alone = []
    for unit in range(units):
        kept[unit] = False
        alone.append(fidelity(parts, kept))
        kept[unit] = True
    removed = [sorted(block, key=lambda unit: -alone[unit])[:count] for block in blocks]
    kept[[unit for going in removed for unit in going]] = False
    if greedy and count:
        best = fidelity(parts, kept)
        for block, going in zip(blocks, removed, strict=True):
            for unit in going:
                best = _swap_in(parts, kept, block, unit, best)
    return kept.nonzero().flatten()


def _swap_in(parts: Tensor, kept: Tensor, block: Sequence[int], unit: int, best: float) -> float:
    """Put `unit` in place of the kept unit whose exchange gains most, in place; return the fidelity."""
    winner = None
    kept[unit] = True
    for other in block:
        if other == unit or not kept[other]:
            continue
        kept[other] = False
        reached = fidelity(parts, kept)
        kept[other] = True
        if reached > best:
            best, winner = reached, other
    kept[unit if winner is None else winner] = False
    return best


def regress(weight: Tensor, covariance: Tensor, mean: Tensor, kept: Tensor, scaled: bool) -> tuple[Tensor, Tensor]:
    """Fit the full output to the kept inputs' output by least squares, equation 7.

    Args:
        weight: (out, in).
        covariance: Of the inputs, (in, in).
        mean: Of the inputs, (in,).
        kept: Indices of the kept inputs.
        scaled: Whether to fit a scale; without it, the scale is 1 and the bias the removed inputs' mean output.

    Returns:
        Scale and bias, each (out,).
    """
    kept = kept.to(weight.device)
    part = torch.zeros_like(weight)
    part[:, kept] = weight[:, kept]
    mixed = part @ covariance  # (out, in)
    if scaled:
        own = (mixed * part).sum(1)
        scale = torch.where(own > 0, (mixed * weight).sum(1) / own.clamp_min(1e-300), 1.0)
    else:
        scale = torch.ones_like(mean[:1]).expand(len(weight))
    return scale, weight @ mean - scale * (part @ mean)
