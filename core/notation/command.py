"""The command that computes a variant."""

from __future__ import annotations

from core.models.sources import typed_name
from core.notation.chain import default_flags, format_chain, shared
from core.results import Variant
from core.specs import VariantSpec


def run_command(variant: Variant | VariantSpec) -> list[str]:
    """Return the words of `slimscope run` for a variant: model, chain, its defaults, and another dtype than float32."""
    chain, defaults = format_chain(variant.stages), default_flags(shared(variant.stages))
    dtype = [] if variant.dtype == "float32" else ["--dtype", variant.dtype]
    return ["slimscope", "run", typed_name(variant.model_id), chain, *defaults, *dtype]
