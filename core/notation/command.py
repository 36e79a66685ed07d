"""The command that computes a variant."""

from __future__ import annotations

from core.models.shape import MOST_UNCOVERED
from core.models.sources import typed_name
from core.notation.chain import common_defaults, default_flags, format_chain
from core.results import Variant
from core.specs import VariantSpec


def run_command(variant: Variant | VariantSpec, made: Variant) -> list[str]:
    """Return the words of `slimscope run` for a variant: model, chain, its defaults, and another dtype than float32.

    `made` is the stored variant, which had the user's consent if many of its block weights are in no linear.
    """
    chain, defaults = format_chain(variant.stages), default_flags(common_defaults(variant.stages))
    dtype = [] if variant.dtype == "float32" else ["--dtype", variant.dtype]
    consent = ["--partial"] if any((run.get("uncovered") or 0) > MOST_UNCOVERED for run in made.stage_runs) else []
    return ["slimscope", "run", typed_name(variant.model_id), chain, *defaults, *dtype, *consent]
