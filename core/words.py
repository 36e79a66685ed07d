"""Amounts, numbers, times and variants in words, the same on the command line and in the dashboard."""

import math

from core.registry import STAGES
from core.specs import VariantSpec


def amount(ratio: float | None, pattern: str | None) -> str:
    """Write how much was removed: `50 %`, `2:4`, or `nothing removed`. What a table lacks may be NaN."""
    if isinstance(pattern, str):
        return pattern
    return "nothing removed" if ratio is None or math.isnan(ratio) else f"{100 * ratio:g} %"


def number(value: float) -> str:
    """Write a number with three digits: 20.1, 134, 1.2e5."""
    if not math.isfinite(value):
        return "∞" if value > 0 else str(value)
    if value >= 1e4:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """Write a rough time: `about 20 s`, `about 6 min`, `about 2.5 h`."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def variant_name(variant: VariantSpec) -> str:
    """Name a variant: `SparseGPT, 50 %, then LoRA, smollm2-135m, seed 1`."""
    labels = {method.name: method.label for method in STAGES}
    parts = []
    for place, stage in enumerate(variant.stages):
        label = labels.get(stage.method, stage.method)  # a job of another version may name others
        parts.append(f"then {label}" if place else label)
        if stage.removes:
            parts.append(amount(stage.ratio, stage.pattern))
    parts.append(variant.model)
    if seed := next((stage.seed for stage in variant.stages if stage.seed), None):
        parts.append(f"seed {seed}")
    return ", ".join(parts)
