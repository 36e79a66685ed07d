"""The dashboard's server: `slimscope dashboard`.

It loads what the first page needs, and reads what is stored, before it takes visits: that takes longer than to draw a
page.
"""

import gc
import logging
import sys
from pathlib import Path

import plotly.graph_objects as go
import pyarrow.parquet  # noqa: F401
import scipy.special  # noqa: F401
import streamlit as st

PROJECT = str(Path(__file__).resolve().parents[1])
if PROJECT not in sys.path:  # Streamlit puts only this file's own folder there
    sys.path.insert(0, PROJECT)

# Which misses a runtime that is not there yet.
logging.getLogger("streamlit.runtime.caching.cache_data_api").setLevel(logging.ERROR)

from core.request.stages import DEFAULT_MODEL  # noqa: E402
from dashboard import data  # noqa: E402
from dashboard.panels import about, accuracy, answer, budget, details, missing, series  # noqa: E402, F401

go.Figure(go.Scatter())  # plotly loads its parts when they are first used
data.frame(DEFAULT_MODEL)
gc.collect()
gc.freeze()  # Streamlit collects after every run, which would look through all of this each time

app = st.App("app.py")
