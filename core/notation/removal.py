"""Shares of weights that the stages of a variant removed. A quantised weight with the code 0 does not count.

A footprint counts every zero. A variant that is only quantised has no removed share, but bits per weight. If stages
prune and quantise, the layer reports of the pruning stage determine the removed share.

Methods remove whole units and keep a minimum in every linear or block. A small model can therefore miss a high ratio.
"""

import re
from collections.abc import Sequence

from core.base.errors import UserError
from core.notation.formatting import format_amount
from core.registry import build_method, leaves, quantises
from core.results import LayerReport, Result
from core.specs import COUNTED, Stage

GAP_TOLERANCE = 0.005  # differences below it vanish in whole percents


def block_share(result: Result) -> float | None:
    """Return the removed share of the dense model's block weights; None if stages quantise and none prunes.

    If stages removed only units or ranks, the zeros of the dense model do not count.
    """
    size, stages = result.counted, result.variant.stages
    pruning = [stage for stage in stages if stage.prunes]
    if any(map(quantises, stages)) and not pruning:
        return None
    zeros = 0 if all(stage.ratio_kind == "parameters" for stage in pruning) else _block_zeros(result)
    if zeros is None:
        return None
    dense = (size.dense_block_weights or size.block_weights) + (size.dense_uncovered_weights or 0)
    return 1 - (size.block_weights - zeros + (size.uncovered_weights or 0)) / dense


def covered_share(result: Result) -> float:
    """Return the share of the dense model's block weights that is in linears, which stages can change."""
    size = result.counted
    linears = size.dense_block_weights or size.block_weights
    return linears / (linears + (size.dense_uncovered_weights or 0))


def model_share(result: Result) -> float | None:
    """Return the removed share of the dense model's parameters; None if stages only quantise."""
    stages = result.variant.stages
    kinds = {stage.ratio_kind for stage in stages if stage.removes}
    only_quantised = any(map(quantises, stages)) and kinds <= {"bits", "runtime"}
    remaining = parameters_left(result)
    return None if only_quantised or remaining is None else 1 - remaining / result.counted.dense_parameters


def parameters_left(result: Result) -> int | None:
    """Return the number of parameters that are stored and not removed; None if the removed ones are unknown."""
    size, stages = result.counted, result.variant.stages
    blocks = _block_zeros(result)
    others = 0 if any("table grid" in leaves(stage) for stage in stages) else size.model_zeros - size.block_zeros
    return None if blocks is None else size.model_parameters - blocks - others


def stage_share(stage: Stage, layers: Sequence[LayerReport]) -> float:
    """Return the removed share of the reported linears after a pruning stage; without reports, the stage's ratio."""
    total = sum(map(weights, layers))
    if not total or quantises(stage):  # its reports also count codes that are 0
        return stage.required_ratio
    return sum(layer.sparsity * weights(layer) for layer in layers) / total


def weights(layer: LayerReport) -> int:
    """Return the number of weights of a linear; two factors count as their product."""
    return layer.shape[0] * layer.shape[1]


def _block_zeros(result: Result) -> int | None:
    """Return the zeros among block weights that are not codes; None if they cannot be counted."""
    size, stages = result.counted, result.variant.stages
    if not any("grid" in leaves(stage) for stage in stages):
        return size.block_zeros
    present = size.block_weights / (size.dense_block_weights or size.block_weights)
    zeros: dict[str, float] = {}  # by linear
    for place, stage in enumerate(stages):
        if stage.prunes and stage.ratio_kind == "parameters" and zeros:
            return None  # no report counts the zeros among the weights that this stage removed
        if stage.prunes and stage.ratio_kind == "sparsity":
            layers = [layer for layer in result.layers if layer.stage == place]
            target = max(1 - (1 - stage.required_ratio) / present, 0.0)  # share of the present weights
            found = {one.name: weights(one) * (target if quantises(stage) else one.sparsity) for one in layers}
            zeros |= found or {"": target * size.block_weights}
    return round(sum(zeros.values()))


def share_needs_layers(result: Result) -> bool:
    """Return whether the removed share depends on the layer reports: zeros of a quantised variant may be codes."""
    stages = result.variant.stages
    prunes = any(stage.prunes and stage.ratio_kind == "sparsity" for stage in stages)
    return prunes and any("grid" in leaves(stage) for stage in stages)


def bits_words(result: Result) -> list[str]:
    """Describe the bits per weight of a quantised variant, one phrase for blocks and for embeddings."""
    stages = result.variant.stages
    blocks = any("grid" in leaves(stage) for stage in stages)
    tables = [format_amount(stage.amount) for stage in stages if "table grid" in leaves(stage)]
    found = [f"{result.counted.bits_per_weight:.2f} bits per block weight"] if blocks else []
    return [*found, *(f"{bits} per embedding weight" for bits in tables)]


def format_percent(value: float | None) -> str:
    """Format a share with one decimal place, such as `50.0 %`; empty for None. Shares below 1 stay below 100 %."""
    return "" if value is None else f"{100 * (value if value >= 1 else min(value, 0.999)):.1f} %"


def counted_removed_fraction(result: Result) -> float | None:
    """Return the removed share of the weights that a variant's ratio counts, summed over all stages.

    The ratio counts the dense model's block linears, or only the `layers` of the last removing stage. The result
    is None if the stored counts do not determine the share.
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
    return f"Removed {format_percent(achieved)} of the block weights; {format_percent(requested)} was requested."


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
