"""Shares that the stages of a variant removed. A rounded weight whose code happens to be 0 is not removed.

A footprint counts every zero. Where stages only quantise, no share was removed and there are bits per weight instead.
Where one prunes and one quantises, the pruned share follows from the layer reports of the pruning stage.
"""

from collections.abc import Sequence

from core.formatting import format_amount
from core.registry import quantises
from core.results import LayerReport, Result
from core.specs import Stage


def block_share(result: Result) -> float | None:
    """Return the removed share of the dense model's block weights; None where stages quantise and prune no block.

    Where units or ranks alone were removed, zeros that the model's file has do not count.
    """
    size, stages = result.counted, result.variant.stages
    pruning = [stage for stage in stages if stage.prunes]
    if any(map(quantises, stages)) and not pruning:
        return None
    zeros = 0 if all(stage.ratio_kind == "parameters" for stage in pruning) else _block_zeros(result)
    return (
        None if zeros is None else 1 - (size.block_weights - zeros) / (size.dense_block_weights or size.block_weights)
    )


def model_share(result: Result) -> float | None:
    """Return the removed share of the dense model's parameters; None where stages only quantise."""
    stages = result.variant.stages
    only_quantised = any(map(quantises, stages)) and all(one.ratio_kind == "bits" for one in stages if one.removes)
    left = parameters_left(result)
    return None if only_quantised or left is None else 1 - left / result.counted.dense_parameters


def parameters_left(result: Result) -> int | None:
    """Return the parameters that are stored and not removed; None where the removed ones are not known."""
    size, stages = result.counted, result.variant.stages
    blocks = _block_zeros(result)
    others = 0 if any("tables" in quantises(stage) for stage in stages) else size.model_zeros - size.block_zeros
    return None if blocks is None else size.model_parameters - blocks - others


def stage_share(stage: Stage, layers: Sequence[LayerReport]) -> float:
    """Return the removed share of the reported linears after a pruning stage; of linears without reports, its ratio."""
    total = sum(map(weights, layers))
    if not total or quantises(stage):  # whose reports count codes that are 0, too
        return stage.required_ratio
    return sum(layer.sparsity * weights(layer) for layer in layers) / total


def weights(layer: LayerReport) -> int:
    """Return the weights of a linear of this shape; that of two factors is their product's."""
    return layer.shape[0] * layer.shape[1]


def _block_zeros(result: Result) -> int | None:
    """Return the zeros among block weights that are no codes; None where rounding followed a cut of masked linears."""
    size, stages = result.counted, result.variant.stages
    if not any("linears" in quantises(stage) for stage in stages):
        return size.block_zeros
    present = size.block_weights / (size.dense_block_weights or size.block_weights)
    zeros: dict[str, float] = {}  # by linear
    for place, stage in enumerate(stages):
        if stage.prunes and stage.ratio_kind == "parameters" and zeros:
            return None  # which of them went is in no report
        if stage.prunes and stage.ratio_kind == "sparsity":
            layers = [layer for layer in result.layers if layer.stage == place]
            asked = max(1 - (1 - stage.required_ratio) / present, 0.0)  # of what is there
            found = {one.name: weights(one) * (asked if quantises(stage) else one.sparsity) for one in layers}
            zeros |= found or {"": asked * size.block_weights}
    return round(sum(zeros.values()))


def bits_words(result: Result) -> list[str]:
    """Return a phrase on the bits per weight of what stages quantised, each place one."""
    stages = result.variant.stages
    blocks = any("linears" in quantises(stage) for stage in stages)
    tables = [format_amount(None, stage.pattern) for stage in stages if "tables" in quantises(stage)]
    found = [f"{result.counted.bits_per_weight:.2f} bits per block weight"] if blocks else []
    return [*found, *(f"{bits} per embedding weight" for bits in tables)]
