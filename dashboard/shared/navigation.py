"""Links to the pages where Streamlit hides its own, their place in the order of the Tab key, and the pages' contrast.

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
# Streamlit shows captions at 60 % opacity. It shows text on the primary colour, on buttons and chosen tags, in white on
# light and dark pages. Its theme has no setting for either.
CONTRAST = """
<style>
div[data-testid="stCaptionContainer"] {{ opacity: 0.8; }}
button[data-testid="stBaseButton-primary"], span[data-tag] {{ color: light-dark({light}, {dark}); }}
</style>
"""


def show_links(pages: Sequence[StreamlitPage]) -> None:
    """Show the links of a narrow window at the top of the page, and let the Tab key reach links before the sidebar."""
    st.html(CSS)
    with st.container(horizontal=True, gap="xsmall", key=ROW):
        for page in pages:
            st.page_link(page, label=page.title, width="content")


def strengthen() -> None:
    """Raise the contrast on the page that follows."""
    light, dark = (st.get_option(f"theme.{theme}.backgroundColor") for theme in ("light", "dark"))
    st.html(CONTRAST.format(light=light, dark=dark))
