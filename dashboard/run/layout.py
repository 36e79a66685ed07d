"""Layout of the Run page: the form, and a side column that stays visible.

Streamlit has no sticky elements, so this is the page's only CSS. In a wide window the side column stays while the form
scrolls. In a narrow window, where columns are stacked, the card stays at the bottom.
"""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

CARD, SIDE = "run_start_card", "run_side"  # keys, which Streamlit turns into CSS classes
CSS = """
<style>
@media (min-width: 641px) {{
  [data-testid="stLayoutWrapper"]:has(> .st-key-{side}) {{ position: sticky; top: 4rem; }}
  .st-key-{side} {{ max-height: calc(100vh - 5rem); overflow-y: auto; scrollbar-width: thin; }}
}}
@media (max-width: 640px) {{
  .st-key-{card} {{
    position: fixed; left: 0; right: 0; bottom: 0; z-index: 100; max-height: 50vh; overflow-y: auto;
    background: light-dark({light}, {dark}); border-radius: 0; box-shadow: 0 -2px 8px rgba(0, 0, 0, 0.25);
  }}
  [data-testid="stMainBlockContainer"] {{ padding-bottom: 20rem; }}
}}
</style>
"""


def two_sides() -> tuple[DeltaGenerator, DeltaGenerator]:
    """Return the column of the form and the sticky side column."""
    light, dark = (st.get_option(f"theme.{theme}.backgroundColor") for theme in ("light", "dark"))
    st.html(CSS.format(side=SIDE, card=CARD, light=light, dark=dark))
    form, side = st.columns([3, 2], gap="large")
    return form, side.container(key=SIDE)


def card() -> DeltaGenerator:
    """Return the card that also stays visible in a narrow window."""
    return st.container(border=True, key=CARD, gap="small")


def group(title: str) -> DeltaGenerator:
    """Return a titled section of the form."""
    box = st.container(border=True)
    box.header(title, anchor=False)
    return box
