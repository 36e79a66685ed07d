"""What was really removed of a variant, beside what was asked for.

Units cannot be halved, and every linear, or block, keeps its least: a small model's may be far from a high ratio.
"""

from core.methods.base import Method
from core.registry import METHODS
from core.results import Result

TOLD = 0.005  # a difference that shows in whole percents


def share(value: float) -> str:
    """Write a share as a percentage with one digit: `50.0%`. Only all is 100 %."""
    return f"{value if value >= 1 else min(value, 0.999):.1%}"


def removed(result: Result) -> float:
    """Return the share that is zero or gone, of the weights that a variant's ratio counts.

    These are all block linears, or those that were selected by `layers`.
    """
    if result.variant.layers is None or not result.layers:
        return result.footprint.block_removed
    sizes = [rows * columns for rows, columns in (layer.shape for layer in result.layers)]
    gone = sum(layer.sparsity * size for layer, size in zip(result.layers, sizes, strict=True))
    return gone / max(sum(sizes), 1)


def missed(result: Result) -> str | None:
    """Return a sentence where a variant is further from its asked ratio than rounding to whole units explains."""
    asked, reached = result.variant.ratio, removed(result)
    if asked is None or abs(reached - asked) <= max(TOLD, _half_a_unit(result)):
        return None
    return f"{share(reached)} of the block weights were removed, not the {share(asked)} that were asked for."


def _half_a_unit(result: Result) -> float:
    """Return the largest difference that rounding makes: half a block where whole ones go, half an input of a row."""
    method: type[Method] | None = next((known for known in METHODS if known.name == result.variant.method), None)
    if getattr(method, "removes", None) == "blocks":
        return 0.5 / max(len({layer.block for layer in result.layers}), 1)
    if method is not None and method.family == "unstructured" and result.layers:
        return 0.5 / max(min(layer.shape[1] for layer in result.layers), 1)
    return 0.0
