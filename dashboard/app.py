"""The dashboard's entry script, which Streamlit runs for every page: page list, wordmark and contrast."""

import sys
from pathlib import Path

import streamlit as st

PROJECT = str(Path(__file__).resolve().parents[1])
if PROJECT not in sys.path:  # Streamlit adds only this file's folder
    sys.path.insert(0, PROJECT)

from dashboard import login  # noqa: E402
from dashboard.shared import around, binding  # noqa: E402

# Two arrows that press on a line. The browser would fetch the picture of a `:material/` icon from a font host.
ARROWS = "M4 11h16v2H4zM12 9 8 5h3V2h2v3h3zM12 15l4 4h-3v3h-2v-3H8z"
WORDMARK = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 150 24" fill="#1c83c4"><path d="{ARROWS}"/>'
    '<text x="28" y="18" font-family="sans-serif" font-size="19" font-weight="600">Slimscope</text></svg>'
)
ICON = f'<svg viewBox="0 0 24 24"><path fill="#0068a5" d="{ARROWS}"/></svg>'
st.set_page_config(page_title="Slimscope", page_icon=ICON, layout="wide")
st.logo(WORDMARK)
login.require()
PAGES = [
    st.Page("explore/view.py", title="Explore", icon=":material/show_chart:", default=True),
    st.Page("inside/view.py", title="Inside", url_path="inside", icon=":material/layers:"),
    st.Page("laws/view.py", title="Laws", url_path="laws", icon=":material/function:"),
    st.Page("run/view.py", title="Run", url_path="run", icon=":material/play_circle:"),
    st.Page("autopilot/view.py", title="Autopilot", url_path="autopilot", icon=":material/auto_awesome:"),
    st.Page("published/view.py", title="Published", url_path="published", icon=":material/menu_book:"),
    st.Page("methods/view.py", title="Methods", url_path="methods", icon=":material/account_tree:"),
    st.Page("about/view.py", title="About", url_path="about", icon=":material/info:"),
]
page = st.navigation(PAGES, position="top")
around.strengthen()
around.show_links(PAGES)
around.keep_steps()
notices = st.container()
page.run()
with notices:
    binding.show_lacking(f"{page.url_path or 'explore'}_")
