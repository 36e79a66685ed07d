"""Replacements for colours of Streamlit that lack contrast and have no setting in its theme.

Streamlit shows captions at 60 % opacity. It shows text on the primary colour, on buttons and chosen tags, in white on
light and dark pages.
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
    """Raise the contrast on the page that follows."""
    light, dark = (st.get_option(f"theme.{theme}.backgroundColor") for theme in ("light", "dark"))
    st.html(CSS.format(light=light, dark=dark))
