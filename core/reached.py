"""What was really removed of a variant, beside what was asked for.

Units cannot be halved, and every linear, or block, keeps its least: a small model's may be far from a high ratio.
"""

from core.errors import UserError
from core.registry import made
from core.results import Result

TOLD = 0.005  # a difference that shows in whole percents


def share(value: float) -> str:
    """Write a share as a percentage with one digit: `50.0%`. Only all is 100 %."""
    return f"{value if value >= 1 else min(value, 0.999):.1%}"


def removed(result: Result) -> float:
    """Return the share that is zero or gone, of the weights that a variant's ratio counts.

    These are all block linears, or those that were selected by `layers`.
    """
    if result.variant.layers is None or not result.last_layers:
        return result.footprint.block_removed
    sizes = [rows * columns for rows, columns in (layer.shape for layer in result.last_layers)]
    gone = sum(layer.sparsity * size for layer, size in zip(result.last_layers, sizes, strict=True))
    return gone / max(sum(sizes), 1)


def missed(result: Result) -> str | None:
    """Return a sentence where a variant is further from its asked ratio than rounding to whole units explains."""
    asked, reached = result.variant.ratio, removed(result)
    if asked is None or abs(reached - asked) <= max(TOLD, _half_a_unit(result)):
        return None
    return f"{share(reached)} of the block weights were removed, not the {share(asked)} that were asked for."


def _half_a_unit(result: Result) -> float:
    """Return the largest difference that rounding to whole units makes."""
    layers = result.last_layers
    stage = next((stage for stage in reversed(result.variant.stages) if stage.removes), None)
    if stage is None or not layers:
        return 0.0
    try:
        method = made(stage)
    except UserError:  # of a version with other methods
        return 0.0
    return method.rounding(len({layer.block for layer in layers}), max(min(layer.shape[1] for layer in layers), 1))
