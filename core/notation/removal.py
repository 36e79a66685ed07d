"""Shares of weights that the stages of a variant removed. A quantised weight with the code 0 does not count.

A footprint counts every zero. A variant that is only quantised has no removed share, but bits per weight. If stages
prune and quantise, the layer reports of the pruning stage determine the removed share.
"""

from collections.abc import Sequence

from core.notation.formatting import format_amount
from core.registry import leaves, quantises
from core.results import LayerReport, Result
from core.specs import Stage


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
