"""What was found in a folder or a hub model: its parts, what runs on it, and the consent to compress a part of it."""

from __future__ import annotations

import streamlit as st

from core.models.shape import MOST_UNCOVERED, ModelShape
from core.models.source import ModelSource
from core.request.inspection import applicability, facts_of, first_chains, inspect_model
from dashboard.shared.binding import HELD
from dashboard.shared.literal import literal


def describe_model(source: ModelSource) -> None:
    """Show a switch, and with it what was found in a model."""
    help = "Builds the model without its weights, which takes some seconds the first time."
    if not st.toggle("Show what is in the model", key="run_found", help=help, **HELD):
        return
    found = inspect_model(source)
    facts = [f"- **{label}**: {literal(words)}" for label, words in facts_of(source, found).items()]
    st.markdown("\n".join(facts))
    refused: dict[str, list[str]] = {}  # methods by reason
    for one in applicability(found):
        if one.refusal is not None:
            refused.setdefault(one.refusal, []).append(f"`{one.method}`")
    st.markdown("All methods run on this model except these:")
    st.markdown("\n".join(f"- {', '.join(methods)}: {literal(reason)}" for reason, methods in refused.items()))
    st.caption(f"A first sweep: {', '.join(f'`{chain}`' for chain in first_chains(found))}")


def consent(shape: ModelShape) -> bool:
    """Return whether the user agrees to compress a model with many weights outside of linears; ask only then."""
    if shape.uncovered_share <= MOST_UNCOVERED:
        return False
    words = (
        f"Compress the linears, although {shape.uncovered_share:.0%} of the block weights are in none and stay dense"
    )
    return st.checkbox(words, key="run_partial", **HELD)
