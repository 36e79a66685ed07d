"""What was really removed of a variant, beside what was asked for.

Units cannot be halved, and every linear, or block, keeps its least: a small model's may be far from a high ratio.
"""

import re
from collections.abc import Sequence

from core.errors import UserError
from core.registry import made
from core.results import LayerReport, Result

TOLD = 0.005  # a difference that shows in whole percents


def share(value: float) -> str:
    """Write a share as a percentage with one digit: `50.0%`. Only all is 100 %."""
    return f"{value if value >= 1 else min(value, 0.999):.1%}"


def gone(result: Result) -> float:
    """Return the share that is zero or gone of all of the dense model's weights that a ratio counts.

    Where units or ranks alone were removed, zeros that the model's file has are not among it.
    """
    size = result.counted
    if all(stage.ratio_kind == "parameters" for stage in result.variant.stages if stage.removes):
        return 1 - size.block_weights / (size.dense_block_weights or size.block_weights)
    return size.block_removed


def removed(result: Result) -> float:
    """Return the share that is zero or gone, of the weights that a variant's ratio counts, whichever stage removed it.

    These are the dense model's block linears, or those of them that the last removing stage selected by `layers`; of a
    model that is no language model, its convolutions.
    """
    places = [place for place, stage in enumerate(result.variant.stages) if stage.removes]
    layers = [layer for layer in result.layers if layer.stage in places[-1:]]
    if result.variant.layers is None or not layers:
        return gone(result)
    left = sum((1 - layer.sparsity) * _size(layer) for layer in layers)
    return 1 - left / max(sum(_dense_sizes(result, layers).values()), 1)


def _size(layer: LayerReport) -> int:
    """Return the weights of a linear of its shape; that of two factors is their product's."""
    return layer.shape[0] * layer.shape[1]


def _dense_sizes(result: Result, layers: Sequence[LayerReport]) -> dict[str, float]:
    """Return the weights that linears had before the first stage that reports on them, by name; factors are one."""
    cutting = {place for place, stage in enumerate(result.variant.stages) if stage.ratio_kind == "parameters"}
    found = {}
    for layer in layers:
        name = re.sub(r"\.[01]$", "", layer.name)
        first = next((one for one in result.layers if one.name in (name, layer.name) and _size(one)), layer)
        smaller = first.stage in cutting and not (first.note or "").startswith("rank ")  # units went
        found[name] = _size(first) / max(1 - first.sparsity, 1e-9) if smaller else _size(first)
    return found


def missed(result: Result) -> str | None:
    """Return a sentence where a variant is further from its asked ratio than rounding to whole units explains."""
    if (asked := result.variant.ratio) is None or result.variant.elsewhere:
        return None
    if result.variant.ratio_kind in ("bits", "embedding"):  # which are not of block weights, and never less than asked
        return None
    if abs((reached := removed(result)) - asked) <= max(TOLD, _half_a_unit(result)):
        return None
    counted = "the convolutions' weights" if result.of_convolutions else "the block weights"
    return f"{share(reached)} of {counted} were removed, not the {share(asked)} that were asked for."


def embedding_words(result: Result) -> str | None:
    """Say how much of the embedding is gone, and of the whole model, where a variant keeps the embedding in factors."""
    size = result.footprint
    if size is None or size.embedding_removed is None:
        return None
    notes = [f" ({made['note']})" for made in result.variant.made if "note" in made]
    gone = size.model_removed
    whole = f"{share(gone)} of the whole model" if gone >= 0 else f"the whole model is {share(-gone)} larger"
    return f"{share(size.embedding_removed)} of the embedding is gone{''.join(notes[-1:])}, and {whole}."


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
