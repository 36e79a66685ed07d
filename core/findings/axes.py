"""Axes of amounts, costs and qualities: the column of the rows, and its title."""

from dataclasses import dataclass

from core.data.texts import called
from core.metrics import SPEEDS


@dataclass(frozen=True)
class Axis:
    """An axis of costs or amounts: a column of the points, with its title.

    Variants with quantised weights or a factored embedding have a place on it only if it is `of_bits`.
    """

    column: str
    title: str
    percent: bool = False
    of_bits: bool = False


RATIO = Axis("ratio", "Requested pruning ratio (block weights)", percent=True)
REMOVED = Axis("model_removed", "Share of the whole model removed", percent=True)
PARAMETERS = Axis("parameters", "Parameters (millions)")
PACKED = Axis("packed_mb", "Packed size (MB)", of_bits=True)
FILE = Axis("file_mb", "File size (MB)", of_bits=True)
BITS = Axis("bits_per_weight", "Bits per weight (block linears, with scales and zero points)", of_bits=True)
PREFILL, DECODE, MEMORY = (Axis(one.column, one.title, of_bits=True) for one in SPEEDS.values())
SEVEN_TITLE = "Mean of seven (%)"  # of a column
AXES = (RATIO, REMOVED, PARAMETERS, PACKED, BITS, PREFILL, DECODE)


def perplexity_title(corpus: str) -> str:
    """Return the title of a chart of perplexities."""
    return f"Perplexity on {called(corpus)} (log scale, lower is better)"
