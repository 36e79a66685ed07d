"""The terms of docs/glossary.md: as tooltips, and as a list."""

from __future__ import annotations

import re
from collections.abc import Sequence

import streamlit as st

from core.base.paths import GLOSSARY
from core.notation.formatting import capitalise

_SECTION = re.compile(r"^## (.+)\n\n", re.MULTILINE)
_ENTRY = re.compile(r"^### (.+)\n\n(.+)$", re.MULTILINE)


def _read_sections() -> dict[str, dict[str, str]]:
    _, *parts = _SECTION.split(GLOSSARY.read_text(encoding="utf-8"))
    return {title: dict(_ENTRY.findall(text)) for title, text in zip(parts[::2], parts[1::2], strict=True)}


SECTIONS = _read_sections()
TERMS = {name: meaning for entries in SECTIONS.values() for name, meaning in entries.items()}


def term(name: str) -> str:
    """Return the explanation of a term, for `help=`. Raises `KeyError` for an unknown term."""
    return TERMS[name]


def terms(names: Sequence[str]) -> str:
    """Return the explanations of several terms, a paragraph each, for `help=`."""
    return "\n\n".join(f"**{capitalise(name)}**: {term(name)}" for name in names)


def show_glossary() -> None:
    """Show all terms by section, in two columns where the window is wide enough."""
    for title, entries in SECTIONS.items():
        st.markdown(f"### {title}")
        names = list(entries)
        half = (len(names) + 1) // 2
        for column, part in zip(st.columns(2, gap="large"), (names[:half], names[half:]), strict=True):
            column.markdown(terms(part))
