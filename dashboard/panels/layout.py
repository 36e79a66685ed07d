"""Where the parts of the Run page stand: the form, and beside it what has to stay in sight.

Streamlit has no means of its own to keep a part in sight, so this is the page's only CSS. In a wide window the side
column stays while the form scrolls. In a narrow one, where columns stand below each other, its card stays at the foot.
"""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

CARD, SIDE = "run_start_card", "run_side"  # keys, which are classes in the page
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
    """Return where the form goes, and what stays in sight beside it."""
    light, dark = (st.get_option(f"theme.{theme}.backgroundColor") for theme in ("light", "dark"))
    st.html(CSS.format(side=SIDE, card=CARD, light=light, dark=dark))
    form, beside = st.columns([3, 2], gap="large")
    return form, beside.container(key=SIDE)


def card() -> DeltaGenerator:
    """Return the part that is in sight in a narrow window, too."""
    return st.container(border=True, key=CARD, gap="small")


def group(title: str) -> DeltaGenerator:
    """Return a part of the form, under its title."""
    box = st.container(border=True)
    box.header(title, anchor=False)
    return box
