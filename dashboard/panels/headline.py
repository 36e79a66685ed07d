"""A point's figures at a glance, each with how it goes along the point's series."""

from __future__ import annotations

import math

import pandas as pd
import streamlit as st

from core.formatting import format_number
from dashboard.charts.points import is_dense

FIGURES = (  # column, what it is, its help
    ("value", "Perplexity", "The lower, the better."),
    ("packed_mb", "Packed MB", "Each matrix in its smallest valid layout, at 16 bits a weight or those of its grid."),
    ("bits_per_weight", "Bits a weight", "Of the linear layers inside the blocks, packed."),
)

NARROWEST = 150  # px that a figure has at least


def show_headline(row: pd.Series, found: pd.DataFrame) -> None:
    """Show the figures of a point, one of the points `found`, beside the dense model's that is among them."""
    dense = found[is_dense(found)]
    series = found[(found["series"] == row["series"]) & found["pattern"].isna()].sort_values("ratio")
    with st.grid(len(FIGURES), min_column_width=NARROWEST, gap="small"):
        for column, what, explained in FIGURES:
            if pd.isna(row[column]) or math.isinf(row[column]):
                continue
            base = float(dense[column].iloc[0]) if len(dense) else math.nan
            along = [value for value in series[column] if math.isfinite(value)]
            st.metric(
                what,
                format_number(row[column]),
                None if math.isnan(base) else f"dense {format_number(base)}",
                delta_color="off",
                delta_arrow="off",
                border=True,
                help=explained + (" The line: this series, from few removed to many." if len(along) > 2 else ""),
                chart_data=along if len(along) > 2 else None,
            )
