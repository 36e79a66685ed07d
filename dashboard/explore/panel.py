"""The panel of a point or a comparison: right of the page or, on a phone, below it, so that it covers no chart."""

from collections.abc import Callable
from typing import ParamSpec

import streamlit as st

Given = ParamSpec("Given")

PANEL = "explore_panel"  # key, which Streamlit turns into a CSS class
NARROW = 1000  # px; the panel is in the lower half of narrower windows
CSS = """
<style>
.st-key-{panel} {{
  position: fixed; z-index: 99; inset: 3.75rem 0 0 auto; width: 42vw; overflow-y: auto; padding: 1rem 1.5rem 3rem;
  background: light-dark({light}, {dark}); border-left: 1px solid light-dark(#d5d9de, #3a4350);
}}
[data-testid="stMain"]:has(.st-key-{panel}) {{ padding-right: 42vw; }}
@media (max-width: {narrow}px) {{
  .st-key-{panel} {{
    inset: 50dvh 0 0 0; width: auto; border-left: 0; border-top: 1px solid light-dark(#d5d9de, #3a4350);
  }}
  [data-testid="stMain"]:has(.st-key-{panel}) {{ padding-right: 0; padding-bottom: 50dvh; }}
}}
</style>
"""


def show_panel(
    title: str, close: Callable[[], None], show: Callable[Given, None], *args: Given.args, **kwargs: Given.kwargs
) -> None:
    """Show `show(*args)` below a title until the visitor closes the panel; its fields run only this content again."""
    light, dark = (st.get_option(f"theme.{theme}.backgroundColor") for theme in ("light", "dark"))
    st.html(CSS.format(panel=PANEL, light=light, dark=dark, narrow=NARROW))
    with st.container(key=PANEL):
        with st.container(horizontal=True, vertical_alignment="top", horizontal_alignment="distribute"):
            st.header(title, anchor=False)
            st.button("Close", "explore_close", on_click=close, icon=":material/close:", shortcut="Esc")
        st.fragment(show)(*args, **kwargs)
