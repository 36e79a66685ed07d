"""The achieved pruning ratio of a variant, compared with the requested one.

Methods remove whole units and keep a minimum in every linear or block. A small model can therefore miss a high ratio.
"""

import re
from collections.abc import Sequence

from core.base.errors import UserError
from core.notation.removal import block_share, model_share, weights
from core.registry import build_method, quantises
from core.results import LayerReport, Result
from core.specs import COUNTED

GAP_TOLERANCE = 0.005  # differences below it vanish in whole percents


def format_percent(value: float | None) -> str:
    """Format a share with one decimal place, such as `50.0 %`; empty for None. Shares below 1 stay below 100 %."""
    return "" if value is None else f"{100 * (value if value >= 1 else min(value, 0.999)):.1f} %"


def counted_removed_fraction(result: Result) -> float | None:
    """Return the removed share of the weights that a variant's ratio counts, summed over all stages.

    The ratio counts the dense model's block linears, or only the `layers` of the last removing stage. In encoders it
    counts the convolutions. The result is None if the stored counts do not determine the share.
    """
    places = [place for place, stage in enumerate(result.variant.stages) if stage.removes]
    layers = [layer for layer in result.layers if layer.stage in places[-1:]]
    if result.variant.layers is None or not layers:
        return block_share(result)
    if quantises(result.variant.stages[places[-1]]):  # its reports also count codes that are 0
        return None
    remaining = sum((1 - layer.sparsity) * weights(layer) for layer in layers)
    return 1 - remaining / max(sum(_dense_sizes(result, layers).values()), 1)


def _dense_sizes(result: Result, layers: Sequence[LayerReport]) -> dict[str, float]:
    """Return the size of each linear before the first stage that reports on it; two factors count as one linear."""
    cutting = {place for place, stage in enumerate(result.variant.stages) if stage.ratio_kind == "parameters"}
    found = {}
    for layer in layers:
        name = re.sub(r"\.[01]$", "", layer.name)
        first = next((one for one in result.layers if one.name in (name, layer.name) and weights(one)), layer)
        smaller = first.stage in cutting and not (first.note or "").startswith("rank ")  # units were removed
        found[name] = weights(first) / max(1 - first.sparsity, 1e-9) if smaller else weights(first)
    return found


def describe_gap(result: Result) -> str | None:
    """Describe the gap to the requested ratio; None if rounding to whole units explains it."""
    if (requested := result.variant.ratio) is None or result.variant.is_external:
        return None
    if result.variant.ratio_kind not in COUNTED:  # never below the request
        return None
    if (achieved := counted_removed_fraction(result)) is None or abs(achieved - requested) <= max(
        GAP_TOLERANCE, _half_a_unit(result)
    ):
        return None
    counted = "the convolutions' weights" if result.of_convolutions else "the block weights"
    return f"Removed {format_percent(achieved)} of {counted}; {format_percent(requested)} was requested."


def uncovered_words(result: Result) -> str | None:
    """Describe the block weights that no stage can change; None if their share vanishes in whole percents."""
    share = float(result.variant.details.get("uncovered") or 0)
    if share <= GAP_TOLERANCE:
        return None
    return f"{100 * share:.0f} % of the block weights are in no linear and stay dense."


def embedding_words(result: Result) -> str | None:
    """Describe the removed shares of the embedding and the model; None unless the embedding is factored."""
    size = result.footprint
    if size is None or size.embedding_removed is None:
        return None
    notes = [f" ({run['note']})" for run in result.variant.stage_runs if "note" in run]
    removed = f"Removed {format_percent(size.embedding_removed)} of the embedding{''.join(notes[-1:])}"
    if (share := model_share(result)) is None:
        return f"{removed}."
    if share < 0:
        return f"{removed}; the whole model is {format_percent(-share)} larger."
    return f"{removed} and {format_percent(share)} of the whole model."


def _half_a_unit(result: Result) -> float:
    """Return the largest gap that rounding to whole units causes."""
    layers = result.last_layers
    stage = next((stage for stage in reversed(result.variant.stages) if stage.removes), None)
    if stage is None or not layers:
        return 0.0
    try:
        method = build_method(stage)
    except UserError:  # this version lacks the method
        return 0.0
    return method.ratio_tolerance(
        len({layer.block for layer in layers}), max(min(layer.shape[1] for layer in layers), 1)
    )
