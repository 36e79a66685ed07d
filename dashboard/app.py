"""The dashboard's entry script, which Streamlit runs for every page: page list, identity line and contrast."""

import sys
from pathlib import Path

import streamlit as st

PROJECT = str(Path(__file__).resolve().parents[1])
if PROJECT not in sys.path:  # Streamlit adds only this file's folder
    sys.path.insert(0, PROJECT)

from dashboard.panels import about, contrast  # noqa: E402

st.set_page_config(page_title="Slimscope", page_icon=":material/compress:", layout="wide")
PAGES = [
    st.Page("views/explore.py", title="Explore", icon=":material/show_chart:", default=True),
    st.Page("views/run.py", title="Run", icon=":material/play_circle:"),
    st.Page("views/published.py", title="Published", icon=":material/menu_book:"),
    st.Page("views/methods.py", title="Methods", icon=":material/account_tree:"),
]
page = st.navigation(PAGES, position="top")
contrast.strengthen()
about.show_identity()
page.run()
