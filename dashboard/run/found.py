"""What was found in a folder or a hub model: its parts, what runs on it, and the consent to compress a part of it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.models.shape import MOST_UNCOVERED, ModelShape
from core.models.source import ModelSource
from core.request.inspection import applicability, facts_of, first_chains, inspect_model, sweep_rows
from core.request.sweeps import Grid, expand_grid
from core.specs import DTYPES
from dashboard import data
from dashboard.run.grid_form import fill
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
    _first_sweep(source, first_chains(found))


def _first_sweep(source: ModelSource, chains: list[str]) -> None:
    """Show the chains of a first sweep with their time and memory, and a button that fills the grid with them."""
    dtype = st.session_state.get("run_dtype", DTYPES[0])
    grid = Grid(models=(str(source.folder or source.id),), chains=tuple(chains))
    specs, _ = expand_grid(grid, dtype=dtype, partial=True)
    st.markdown("A first sweep, with the dense baseline in each time:")
    st.table(pd.DataFrame(sweep_rows(specs, ("dense", *chains), data.store())).set_index("chain"))
    st.button("Fill the grid with this sweep", on_click=fill, args=(chains,))


def consent(shape: ModelShape) -> bool:
    """Return whether the user agrees to compress a model with many weights outside of linears; ask only then."""
    if shape.uncovered_share <= MOST_UNCOVERED:
        return False
    words = (
        f"Compress the linears, although {shape.uncovered_share:.0%} of the block weights are in none and stay dense"
    )
    return st.checkbox(words, key="run_partial", **HELD)
