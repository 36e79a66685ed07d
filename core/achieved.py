"""What was really removed of a variant, beside what was asked for.

Units cannot be halved, and every linear, or block, keeps its least: a small model's may be far from a high ratio.
"""

import re
from collections.abc import Sequence

from core.errors import UserError
from core.registry import build_method, quantises
from core.removal import block_share, model_share, weights
from core.results import LayerReport, Result

GAP_TOLERANCE = 0.005  # a difference that shows in whole percents


def format_percent(value: float | None) -> str:
    """Write a share as a percentage with one digit: `50.0%`. Only all is 100 %. Nothing where there is none."""
    return "" if value is None else f"{value if value >= 1 else min(value, 0.999):.1%}"


def counted_removed_fraction(result: Result) -> float | None:
    """Return the share that is zero or gone, of the weights that a variant's ratio counts, whichever stage removed it.

    These are the dense model's block linears, or those of them that the last removing stage selected by `layers`; of a
    model that is no language model, its convolutions. None where no stored count tells it.
    """
    places = [place for place, stage in enumerate(result.variant.stages) if stage.removes]
    layers = [layer for layer in result.layers if layer.stage in places[-1:]]
    if result.variant.layers is None or not layers:
        return block_share(result)
    if quantises(result.variant.stages[places[-1]]):  # whose reports count codes that are 0, too
        return None
    left = sum((1 - layer.sparsity) * weights(layer) for layer in layers)
    return 1 - left / max(sum(_dense_sizes(result, layers).values()), 1)


def _dense_sizes(result: Result, layers: Sequence[LayerReport]) -> dict[str, float]:
    """Return the weights that linears had before the first stage that reports on them, by name; factors are one."""
    cutting = {place for place, stage in enumerate(result.variant.stages) if stage.ratio_kind == "parameters"}
    found = {}
    for layer in layers:
        name = re.sub(r"\.[01]$", "", layer.name)
        first = next((one for one in result.layers if one.name in (name, layer.name) and weights(one)), layer)
        smaller = first.stage in cutting and not (first.note or "").startswith("rank ")  # units went
        found[name] = weights(first) / max(1 - first.sparsity, 1e-9) if smaller else weights(first)
    return found


def describe_gap(result: Result) -> str | None:
    """Return a sentence where a variant is further from its asked ratio than rounding to whole units explains."""
    if (asked := result.variant.ratio) is None or result.variant.is_external:
        return None
    if result.variant.ratio_kind in ("bits", "embedding"):  # which are not of block weights, and never less than asked
        return None
    if (reached := counted_removed_fraction(result)) is None or abs(reached - asked) <= max(
        GAP_TOLERANCE, _half_a_unit(result)
    ):
        return None
    counted = "the convolutions' weights" if result.of_convolutions else "the block weights"
    return f"{format_percent(reached)} of {counted} were removed, not the {format_percent(asked)} that were asked for."


def embedding_words(result: Result) -> str | None:
    """Say how much of the embedding is gone, and of the whole model, where a variant keeps the embedding in factors."""
    size = result.footprint
    if size is None or size.embedding_removed is None:
        return None
    notes = [f" ({made['note']})" for made in result.variant.stage_runs if "note" in made]
    said = f"{format_percent(size.embedding_removed)} of the embedding is gone{''.join(notes[-1:])}"
    if (gone := model_share(result)) is None:
        return f"{said}."
    return f"{said}, and " + (
        f"{format_percent(gone)} of the whole model."
        if gone >= 0
        else f"the whole model is {format_percent(-gone)} larger."
    )


def _half_a_unit(result: Result) -> float:
    """Return the largest difference that rounding to whole units makes."""
    layers = result.last_layers
    stage = next((stage for stage in reversed(result.variant.stages) if stage.removes), None)
    if stage is None or not layers:
        return 0.0
    try:
        method = build_method(stage)
    except UserError:  # of a version with other methods
        return 0.0
    return method.ratio_tolerance(
        len({layer.block for layer in layers}), max(min(layer.shape[1] for layer in layers), 1)
    )
