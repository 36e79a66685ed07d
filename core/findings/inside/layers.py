"""The question what a stage changed in each matrix of a variant, its answer, and the difference of two variants."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from core.amount import Ratio
from core.findings.finding import Finding
from core.methods.terms import GRIDS
from core.methods.unstructured.allocation import AllocatedParameters, sensitivity_levels, spread_shares
from core.notation.chain import format_chain
from core.notation.formatting import capitalise, format_number
from core.registry import RECONSTRUCTIONS, get_stage, leaves
from core.results import LayerReport, Result
from core.specs import Stage

HEADS = ("q", "k", "v", "o")  # roles of the matrices of attention heads
CHANNELS = ("gate", "up", "down")  # roles of the matrices of FFN channels
READING = ("o", "down")  # roles whose inputs, not outputs, are heads or channels
PLACE = ["name", "block", "role"]
UNITS = ("heads", "channels", "directions")  # columns that a stage without such cuts leaves at 0
COUNTS = ("bits", "rank", *UNITS)  # columns of counts; others are shares


class Measure(NamedTuple):
    """A number of each matrix."""

    column: str
    title: str
    meaning: str

    @property
    def short(self) -> str:
        """The title in a sentence: `error`, `heads removed`."""
        return self.title if self.column in COUNTS else self.column

    def words(self, value: float) -> str:
        """Write a value: `5.72 %`, `1,382`."""
        return format_number(value) if self.column in COUNTS else f"{format_number(100 * value)} %"


MEASURES = (
    Measure("error", "relative {kind} error", ""),  # its meaning depends on the stage
    Measure("bits", "bits per weight", "bits of each quantised weight, without scales and zero points"),
    Measure("rank", "rank", "inner size of the two factors that replace the matrix"),
    Measure("heads", "heads removed", "query heads in q and o, key-value heads in k and v"),
    Measure("channels", "channels removed", "FFN channels"),
    Measure("directions", "directions removed", "dimensions of the hidden states, after a rotation"),
    Measure("removed", "share removed", "share of the weights that the stage removed with heads, channels or rank"),
    Measure("sparsity", "sparsity", "share of the weights that are zero"),
)
ERRORS = {
    "output": "squared change of the layer's output on the calibration data, relative to the output",
    "weight": "squared change of the weights, relative to the weights",
}
UNMASKED = "squared distance to the unmasked layer's output on the calibration data, relative to that output"


@dataclass(frozen=True, repr=False)
class ChangedLayers(Finding):
    """What a stage changed in each matrix of a variant.

    `rows` are those of `layer_table`, without any if no stage has layer reports.

    Attributes:
        result: The variant.
        name: Its name after the stage.
        stage: Index of the stage.
        measures: The numbers of the stage; the first one shows most of it.
        most: Names of the matrices with the most of the first number; several if they are equal.
    """

    result: Result
    name: str
    stage: int
    measures: Sequence[Measure] = ()
    most: Sequence[str] = ()

    @property
    def left_out(self) -> pd.Series:
        """Why matrices have no first number, by name."""
        first = self.measures[0]
        rows = self.rows[self.rows[first.column].isna()].set_index("name")
        return rows["note"].fillna(f"no {first.short}")


def changed_layers(result: Result, name: str, stage: int | None = None, head_width: int | None = None) -> ChangedLayers:
    """Answer what a stage changed in a variant, and in which matrix it changed most.

    `stage` is the index of a stage with layer reports; None: the last one. `head_width` is as of `layer_table`.
    """
    places = stages_of(result)
    if not places:
        reason = "its stages change no linear of a block"
        if result.variant.is_external:
            reason = "another tool made it, so only its numbers are here"
        return ChangedLayers(pd.DataFrame(), f"{name} has no layer reports: {reason}.", result, name, 0)
    place = places[-1] if stage is None else stage
    rows = layer_table(result, place, head_width)
    measures = measures_of(rows, result.variant.stages[place])
    most = _with_most(rows, measures[0])
    full = f"{name}, after stage {place + 1}" if len(result.variant.stages) > 1 else name
    return ChangedLayers(rows, most_sentence(rows, measures[0]), result, full, place, measures, list(most["name"]))


def _with_most(rows: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    largest: pd.DataFrame = rows[rows[measure.column] == rows[measure.column].max()]
    return largest


def most_sentence(rows: pd.DataFrame, measure: Measure) -> str:
    """Name the matrices with the most of a number that `rows` have: `Most error: up of block 0, 5.72 %.`."""
    most = _with_most(rows, measure)
    first, others = most.iloc[0], len(most) - 1
    value = measure.words(first[measure.column])
    if len(most) == len(rows):
        return f"{capitalise(measure.short)}: {value} in all {len(rows)} matrices."
    more = f" and {others} more" if others else ""
    return f"Most {measure.short}: {first['role']} of block {first['block']}{more}, {value}."


def stages_of(result: Result) -> list[int]:
    """Return the indices of the stages with layer reports."""
    return sorted({layer.stage for layer in result.layers})


def layer_table(result: Result, stage: int, head_width: int | None = None) -> pd.DataFrame:
    """Return a row for each matrix with the effect of a stage.

    `head_width` is the width of an attention head; None leaves out the number of removed heads.

    Returns:
        Columns name, block, role, those of `MEASURES`, error_kind, damping, seconds, note. Numbers that do not apply to
        the stage or matrix are missing.
    """
    left = leaves(result.variant.stages[stage])
    cut = "shapes" in left or "factors" in left
    rows = []
    for layer in result.layers:
        if layer.stage != stage:
            continue
        row = layer.model_dump(include={*PLACE, "error", "error_kind", "damping", "seconds", "note"})
        row |= {"bits": layer.bits, "rank": _rank(layer), "removed": layer.sparsity if cut else None}
        row["sparsity"] = None if cut or left & GRIDS else layer.sparsity  # zeros of quantised weights are codes
        rows.append(row | (_units(layer, "basis" in left, head_width) if "shapes" in left else {}))
    measures = [measure.column for measure in MEASURES]
    table = pd.DataFrame(rows, columns=[*PLACE, *measures, "error_kind", "damping", "seconds", "note"])
    return table.astype(dict.fromkeys((*measures, "damping"), float))


def measures_of(table: pd.DataFrame, stage: Stage) -> list[Measure]:
    """Return the numbers that a table of `layer_table` has; the first one shows most of the stage."""
    there = [each for each in MEASURES if table[each.column].notna().any()]
    there = [each for each in there if each.column not in UNITS or table[each.column].any()]
    varying = [each for each in there if table[each.column].nunique() > 1]
    kind = str(table["error_kind"].iloc[0])
    meaning = UNMASKED if stage.method in {method.name for method in RECONSTRUCTIONS} else ERRORS[kind]
    return [
        each._replace(title=each.title.format(kind=kind), meaning=each.meaning or meaning)
        for each in [*varying, *(each for each in there if each not in varying)]
    ]


def layer_differences(first: pd.DataFrame, second: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return name, block, role, and `column` of the first and second table with its difference, for common matrices."""
    both = first[[*PLACE, column]].merge(second[["name", column]], on="name", suffixes=("_first", "_second"))
    both = both.rename(columns={f"{column}_first": "first", f"{column}_second": "second"}).dropna()
    return both.assign(difference=both["first"] - both["second"])


def largest_first(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return rows of matrices with the largest absolute number in a column first, and missing ones last."""
    return rows.sort_values(column, key=abs, ascending=False, kind="stable")


def difference_sentence(rows: pd.DataFrame, measure: Measure) -> str:
    """Name the matrix in the first row of `layer_differences`: `Error differs most in up of block 0: 5.72 % and 3 %.`.

    The first value is that of the first variant.
    """
    first = rows.iloc[0]
    values = f"{measure.words(first['first'])} and {measure.words(first['second'])}"
    if not first["difference"]:
        return f"{capitalise(measure.short)} is the same in all {len(rows)} matrices."
    return f"{capitalise(measure.short)} differs most in {first['role']} of block {first['block']}: {values}."


def removed_blocks(layers: Sequence[LayerReport]) -> list[int]:
    """Return the blocks that a stage removed as a whole, from its layer reports."""
    return sorted({layer.block for layer in layers if not math.prod(layer.shape)})


def _rank(layer: LayerReport) -> int | None:
    named = re.match(r"rank (\d+)", layer.note or "")
    return int(named[1]) if named else None


def _units(layer: LayerReport, sliced: bool, head_width: int | None) -> dict[str, float]:
    """Return the number of heads, channels or directions that were cut from a matrix, from its size and cut share."""
    outputs, inputs = layer.shape
    if not math.prod(layer.shape) or _rank(layer):  # the whole block is removed, or the matrix is factored
        return {}
    reads = layer.role in READING
    kept = inputs if reads != sliced else outputs
    cut = round(kept * layer.sparsity / (1 - layer.sparsity))
    if sliced:
        return {"directions": cut}
    if layer.role in HEADS:
        return {"heads": cut / head_width} if head_width else {}
    return {"channels": cut} if layer.role in CHANNELS else {}


ALLOCATION = "sensitivity"


def allocated_chain(stages: Sequence[Stage]) -> str | None:
    """Return the chain of a one-stage variant with an allocation by sensitivity; None if its method has none."""
    if len(stages) != 1 or not isinstance(stages[0].amount, Ratio):
        return None
    method = get_stage(stages[0].method)
    if "allocation" not in method.Parameters.model_fields:
        return None
    parameters = stages[0].parameters | {"allocation": ALLOCATION}
    return format_chain([stages[0].model_copy(update={"parameters": parameters})])


def suggested_ratios(perplexity_ratios: pd.Series, ratio: float) -> pd.Series:
    """Return the pruning ratio of each block that the allocation by sensitivity gives before it meets the target.

    `perplexity_ratios` are multiples of the dense perplexity with one block compressed, by block.
    """
    levels = sensitivity_levels(dict(zip(perplexity_ratios.index, map(math.log, perplexity_ratios), strict=True)))
    return pd.Series(spread_shares(levels, ratio, AllocatedParameters().spread))
