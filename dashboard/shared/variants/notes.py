"""Notes of a method on the matrices that it compressed."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.shared.literal import literal


def show_notes(layers: pd.DataFrame) -> None:
    """Show the notes in a table of `core.findings.inside.layers.layer_table`: once if all are equal, else folded."""
    notes = layers.dropna(subset="note")
    if notes.empty:
        return
    if len(notes) == len(layers) and notes["note"].nunique() == 1:
        st.caption(f"All layers: {literal(notes['note'].iloc[0])}.")
        return
    with st.expander(f"{len(notes)} notes of the method"):
        st.text("\n".join(f"{name}: {note}" for name, note in zip(notes["name"], notes["note"], strict=True)))
