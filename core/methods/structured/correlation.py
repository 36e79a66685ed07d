"""How much of a linear's output is left without some of its inputs, in closed form from the inputs' covariance.

A unit is a run of equally many inputs. Output channel c is Y_c = sum_i O_ic, O_i what unit i adds; with C_c[i, j] the
covariance of O_ic and O_jc, a sum over kept units has covariance s' C_c 1 with Y_c and variance s' C_c s.
Reference: Guo et al., SlimLLM, 2025 (arXiv:2505.22689), sections 3.1 and 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def contributions(weight: Tensor, covariance: Tensor, units: int) -> Tensor:
    """Return C (out, units, units) of a weight (out, in) whose inputs have this covariance (in, in); all fp64."""
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
    """Return the sum over output channels of |correlation| of the kept units' output with the whole, equation 4.

    `parts` is C (out, units, units), `kept` a mask (units,). A channel whose output never varies counts nothing.
    """
    chosen = kept.to(parts.dtype)
    ones = torch.ones_like(chosen)
    with_all = (parts @ ones) @ chosen  # (out,) s' C 1
    own = ((parts @ chosen) * chosen).sum(-1).clamp_min(0)
    whole = (parts @ ones).sum(-1).clamp_min(0)
    scale = (own * whole).sqrt()
    return torch.where(scale > 0, with_all.abs() / scale, 0.0).sum().item()


def choose_units(parts: Tensor, blocks: Sequence[Sequence[int]], count: int, greedy: bool) -> Tensor:
    """Return the units that stay, ascending, when `count` of every block of interchangeable units go.

    First go those without which the output turns least, each on its own. With `greedy`, each removed unit in turn,
    block by block and the least missed first, then takes the place of the kept one of its block whose exchange raises
    `fidelity` most, if any does; units swapped out are not looked at again.
    """
    units = parts.shape[1]
    kept = torch.ones(units, dtype=torch.bool)
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
    """Put `unit` in the place of the kept unit that gains most, in place; return the fidelity reached."""
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
    """Return (scale, bias), each (out,), of the least-squares fit of the whole output to the kept inputs' output.

    `weight` (out, in), `covariance` (in, in) and `mean` (in,) of the inputs, `kept` indices; without `scaled` the scale
    is 1 and the bias what the removed inputs add on average. Equation 7.
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
