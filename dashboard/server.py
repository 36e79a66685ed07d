"""The dashboard's server: `slimscope dashboard`.

Before it accepts visits, it imports the libraries of the first page and reads the default model's rows. Both take
longer than drawing a page.
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
if PROJECT not in sys.path:  # Streamlit adds only this file's folder
    sys.path.insert(0, PROJECT)

# It warns that no Streamlit runtime exists yet.
logging.getLogger("streamlit.runtime.caching.cache_data_api").setLevel(logging.ERROR)

from core.request.stages import DEFAULT_MODEL  # noqa: E402
from dashboard import data  # noqa: E402
from dashboard.explore import accuracy, answer, budget, details, missing  # noqa: E402, F401
from dashboard.shared import about, series  # noqa: E402, F401

go.Figure(go.Scatter())  # plotly loads its modules on first use
data.frame(DEFAULT_MODEL)
gc.collect()
gc.freeze()  # Streamlit collects garbage after every run; frozen objects are skipped

app = st.App("app.py")
