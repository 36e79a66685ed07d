"""Axes of amounts, costs and qualities: the column of the rows, and its title."""

from __future__ import annotations

from dataclasses import dataclass

from core.data.texts import called


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
BITS = Axis("bits_per_weight", "Bits per weight (block linears, with scales and zero points)", of_bits=True)
PREFILL = Axis("prefill_ms", "Prefill latency (ms per token)", of_bits=True)
DECODE = Axis("decode_ms", "Decode latency (ms per token)", of_bits=True)
MEMORY = Axis("memory_mb", "Peak memory (MB)", of_bits=True)
# Titles of columns.
KL_TITLE, AGREEMENT_TITLE, SEVEN_TITLE = "KL divergence (nats)", "Top-1 agreement (%)", "Mean of seven (%)"
AXES = (RATIO, REMOVED, PARAMETERS, PACKED, BITS, PREFILL, DECODE)


def perplexity_title(corpus: str) -> str:
    """Return the title of a chart of perplexities."""
    return f"Perplexity on {called(corpus)} (log scale, lower is better)"
