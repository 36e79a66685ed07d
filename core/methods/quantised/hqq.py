"""HQQ: moves the zero points of the groups until few weights are far from their grid; uses no data.

The range gives the scale. The zero point, any number, is solved for by alternating a shrinkage of the errors in an l_p
norm with the mean that fits the rest.
"""

from pydantic import Field

from core.methods.annotations import Grid, Tensor
from core.methods.linear import Compressed, Statistics, Target
from core.methods.quantised.base import GroupParameters, QuantisedMethod
from core.methods.terms import Citation, Trait

# Relative squared error below which the weights were on such a grid before, such as GGUF's Q4_1 with its float minima.
# Half a 4-bit step is far larger than the error of a 16-bit zero point.
ROUNDED = 1e-4
GIVEN_BACK = "the weights lay on such a grid before, as the model's file has them, so that nothing is lost by rounding"
BETA, GROWTH = 10.0, 1.01  # weight of the quadratic term, and its growth per round


class HQQParameters(GroupParameters):
    norm: float = Field(
        default=0.7,
        gt=0,
        le=1,
        description="The p of the l_p norm of the errors; a smaller p tolerates more outliers.",
    )
    iterations: int = Field(
        default=20, ge=0, le=1000, description="Maximum rounds; it ends when errors no longer fall."
    )


class HQQ(QuantisedMethod):
    name = "hqq"
    label = "HQQ"
    citation = Citation(
        title="Half-Quadratic Quantization of Large Machine Learning Models",
        authors="Badri & Shaji",
        year=2023,
        url="https://mobiusml.github.io/hqq_blog/",
        part="the half-quadratic solver",
    )
    summary = "Rounds to a grid whose zero point brings most weights close to it; uses no data."
    idea = (
        "HQQ measures rounding errors in a norm where a few large errors count little. So outliers do not bend "
        "the grid of all other weights. It solves for the zero point of each group in a few rounds, which takes "
        "seconds per model."
    )
    formulas = (
        r"\min_{z} \lVert W - s\,(\mathcal{Q}(W) - z) \rVert_p^p",
        r"z \leftarrow \frac{1}{n} \sum_j \left( \mathcal{Q}(W)_{ij} - \frac{W_{ij} - E_{ij}}{s} \right)",
    )
    symbols = {
        "z": "zero point of the group, any number",
        "s": "scale of the group",
        r"\mathcal{Q}": "codes",
        "E": "errors, shrunk towards 0",
        "p": "exponent of the norm, at most 1",
        "n": "inputs of the group",
    }
    accepts = QuantisedMethod.accepts - {"zeros", "pattern"}  # a zero point that is no integer has no code for 0
    float_zero_point = True
    Parameters = HQQParameters

    def refusal(self, trait: Trait) -> str:
        zeros = trait in ("zeros", "pattern")
        return "has no code for the zeros of {label}" if zeros else super().refusal(trait)

    def compress(self, weight: Tensor, statistics: Statistics, target: Target, plan: int | None = None) -> Compressed:
        grid = fitted(
            weight, int(target.bits), self.group(weight.shape[1]), self.parameters.norm, self.parameters.iterations
        )
        rounded = grid.nearest(weight)
        lost = (rounded - weight).square().sum() / weight.square().sum()
        return Compressed(rounded, grid=grid, note=GIVEN_BACK if lost < ROUNDED else None)


def fitted(weight: Tensor, bits: int, group: int, norm: float, iterations: int) -> Grid:
    """Return the grid of a weight (out, in) whose zero points minimise the l_p norm of the errors, p = `norm` <= 1."""
    from core.methods.find import LEAST
    from core.models.parts.grids import Grid

    groups = weight.unflatten(1, (-1, group))  # (out, groups, group)
    low, high = groups.amin(-1), groups.amax(-1)  # (out, groups)
    scale = ((high - low) / (2**bits - 1)).half().float().clamp_min(LEAST)
    best = Grid(bits, group, scale, (-low / scale).half().float())
    beta, least = BETA, _error(best, weight)
    found = best
    for _ in range(iterations):
        codes = found.codes(weight)
        error = weight - found.weight(codes)
        size = error.abs()
        shrunk = error.sign() * (size - size.clamp_min(1e-12).pow(norm - 1) / beta).clamp_min_(0)
        fit = codes.float() - (weight - shrunk) / scale.repeat_interleave(group, 1)
        found = Grid(bits, group, scale, fit.unflatten(1, (-1, group)).mean(-1).half().float())
        beta *= GROWTH
        now = _error(found, weight)
        if now >= least:
            break
        best, least = found, now
    return best


def _error(grid: Grid, weight: Tensor) -> float:
    return float((grid.nearest(weight) - weight).abs_().mean())
