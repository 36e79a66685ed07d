"""The dashboard's server: `streamlit run dashboard/server.py` from the project's folder."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from threading import Thread

import streamlit as st

PROJECT = str(Path(__file__).resolve().parents[1])
if PROJECT not in sys.path:  # Streamlit puts only this file's own folder there
    sys.path.insert(0, PROJECT)
FIRST = ("dashboard.panels.accuracy", "dashboard.panels.about", "dashboard.panels.budget", "plotly.graph_objs.scatter")


def load() -> None:
    """Load what the first page needs, which takes longer than to draw it."""
    for name in FIRST:
        import_module(name)


@asynccontextmanager
async def loading(_: st.App) -> AsyncIterator[None]:
    """Load while the first browser has yet to ask for a page."""
    Thread(target=load, daemon=True).start()
    yield


app = st.App("app.py", lifespan=loading)
