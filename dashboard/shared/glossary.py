"""The terms of docs/glossary.md: as tooltips, and as a list."""

import re
from collections.abc import Sequence

import streamlit as st

from core.base.paths import GLOSSARY
from core.notation.formatting import capitalise

_SECTION = re.compile(r"^## (.+)\n\n", re.MULTILINE)
_ENTRY = re.compile(r"^### (.+)\n\n(.+)$", re.MULTILINE)


_, *_parts = _SECTION.split(GLOSSARY.read_text(encoding="utf-8"))
SECTIONS = {title: dict(_ENTRY.findall(text)) for title, text in zip(_parts[::2], _parts[1::2], strict=True)}
TERMS = {name: meaning for entries in SECTIONS.values() for name, meaning in entries.items()}


def terms(names: Sequence[str]) -> str:
    """Return the explanations of several terms, a paragraph each, for `help=`."""
    return "\n\n".join(f"**{capitalise(name)}**: {TERMS[name]}" for name in names)


def show_glossary() -> None:
    """Show all terms by section, in two columns where the window is wide enough."""
    for title, entries in SECTIONS.items():
        st.markdown(f"### {title}")
        names = list(entries)
        half = (len(names) + 1) // 2
        for column, part in zip(st.columns(2, gap="large"), (names[:half], names[half:]), strict=True):
            column.markdown(terms(part))
