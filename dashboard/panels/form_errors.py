"""Mistakes in a form: each is told once, at the field it is about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from core.errors import UserError


class FormErrors:
    """Whether anything in the form that is being shown is wrong, or waits for the visitor."""

    def __init__(self) -> None:
        self.found = False
        self.waits = False  # for a button that lets a file or folder be read

    @contextmanager
    def catch(self) -> Iterator[None]:
        """Show a `UserError` here, under the field that was shown last."""
        try:
            yield
        except UserError as error:
            self.add(str(error))

    def add(self, sentence: str) -> None:
        """Show a sentence here."""
        self.found = True
        st.error(sentence)
