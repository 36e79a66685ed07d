"""Colours that Streamlit fixes and that are too faint to read on these pages; its theme has no setting for them.

Captions are the page's text at 60 % of its strength. What stands on the primary colour, a button's text or a chosen
tag, is white on light and dark pages alike.
"""

from __future__ import annotations

import streamlit as st

CSS = """
<style>
div[data-testid="stCaptionContainer"] {{ opacity: 0.8; }}
button[data-testid="stBaseButton-primary"], span[data-tag] {{ color: light-dark({light}, {dark}); }}
</style>
"""


def strengthen() -> None:
    """Make them strong enough, on whatever page follows."""
    light, dark = (st.get_option(f"theme.{theme}.backgroundColor") for theme in ("light", "dark"))
    st.html(CSS.format(light=light, dark=dark))
