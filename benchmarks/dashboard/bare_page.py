"""A bare Streamlit page with the figures of Explore: the floor of `benchmarks.dashboard.pages`.

It draws the first figure and replaces it after a choice, without any import of the project.
"""

import json
from pathlib import Path

import streamlit as st

FIGURES = Path(__file__).with_name("figures.json")  # a list of two figures, beside a copy of this script

st.set_page_config(layout="wide")
figures = json.loads(FIGURES.read_text())
shown = st.segmented_control("Figure", range(len(figures)), default=0, required=True, key="figure")
st.plotly_chart(figures[shown], key="chart")
