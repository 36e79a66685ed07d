"""Errors of a form, each shown once at its field."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from core.base.errors import UserError


class FormErrors:
    """Whether the form has an error, or waits for a confirmation."""

    def __init__(self) -> None:
        self.found = False
        self.waits = False  # for the permission to read a file or folder

    @contextmanager
    def catch(self) -> Iterator[None]:
        """Show a `UserError` under the last field."""
        try:
            yield
        except UserError as error:
            self.add(str(error))

    def add(self, sentence: str) -> None:
        """Show an error message under the last field."""
        self.found = True
        st.error(sentence)
