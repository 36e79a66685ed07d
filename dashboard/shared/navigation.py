"""Links to the pages where Streamlit hides its own, and their place in the order of the Tab key.

Streamlit folds the links of a narrow window into the sidebar, and it places the sidebar before them in the document.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.navigation.page import StreamlitPage

ROW = "navigation"  # key, which Streamlit turns into a CSS class
FOLDED = 768  # px; Streamlit folds its links in narrower windows
CSS = f"""
<style>
@media (min-width: {FOLDED}px) {{ [data-testid="stLayoutWrapper"]:has(> .st-key-{ROW}) {{ display: none; }} }}
[data-testid="stSidebarNav"], body:not(:has([data-testid="stSidebarUserContent"] [data-testid="stElementContainer"]))
  [data-testid="stExpandSidebarButton"] {{ display: none; }}
[data-testid="stAppViewContainer"] {{ reading-flow: source-order; }}
[data-testid="stSkipToContent"] {{ reading-order: -2; }}
[data-testid="stAppViewContainer"] > div:has([data-testid="stHeader"]) {{ reading-order: -1; }}
</style>
"""


def show_links(pages: Sequence[StreamlitPage]) -> None:
    """Show the links of a narrow window at the top of the page, and let the Tab key reach links before the sidebar."""
    st.html(CSS)
    with st.container(horizontal=True, gap="xsmall", key=ROW):
        for page in pages:
            st.page_link(page, label=page.title, width="content")
