"""The headline numbers of a point, each with its course along the point's series."""

from __future__ import annotations

import math

import pandas as pd
import streamlit as st

from core.findings.rows.points import is_dense
from core.notation.formatting import format_number

FIGURES = (  # column, label, help
    ("value", "Perplexity", "Lower is better"),
    ("packed_mb", "Packed size (MB)", "Smallest lossless layouts, at 16 bits per weight or the bits of the grid"),
    ("bits_per_weight", "Bits per weight", "Block linears, packed"),
)

NARROWEST = 150  # px of a metric


def show_headline(row: pd.Series, found: pd.DataFrame) -> None:
    """Show the headline numbers of a point, compared with the dense model; `found` has the points of both."""
    dense = found[is_dense(found)]
    series = found[(found["series_label"] == row["series_label"]) & found["pattern"].isna()].sort_values("ratio")
    with st.grid(len(FIGURES), min_column_width=NARROWEST, gap="small"):
        for column, title, explained in FIGURES:
            if pd.isna(row[column]) or math.isinf(row[column]):
                continue
            base = float(dense[column].iloc[0]) if len(dense) else math.nan
            along = [value for value in series[column] if math.isfinite(value)]
            st.metric(
                title,
                format_number(row[column]),
                None if math.isnan(base) else f"dense {format_number(base)}",
                delta_color="off",
                delta_arrow="off",
                border=True,
                help=f"{explained}; the line shows this series by ratio." if len(along) > 2 else f"{explained}.",
                chart_data=along if len(along) > 2 else None,
            )
