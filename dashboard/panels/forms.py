"""A method's parameters as inputs: type, range, default and help come from its declaration."""

from __future__ import annotations

from typing import Any

import streamlit as st
from pydantic.fields import FieldInfo

from core.methods.base import Method
from core.methods.fields import AUTO, bounds, choices, type_of
from dashboard.panels.binding import KEPT

ENDS = ((">=", ">"), ("<=", "<"))


def parameter_inputs(method: type[Method]) -> dict[str, Any]:
    """Show one input for each declared parameter and return the values; None where one is left to the method."""
    return {name: _input(method, name, field) for name, field in method.Parameters.model_fields.items()}


def _input(method: type[Method], name: str, field: FieldInfo) -> Any:
    label, kind = name.replace("_", " ").capitalize(), type_of(field)
    key, help = f"run_{method.name}_{name}", field.description
    if kind is bool:
        return st.toggle(label, field.default, key=key, help=help, **KEPT)
    if options := choices(field):
        return st.selectbox(label, options, index=options.index(field.default), key=key, help=help, **KEPT)
    if kind in (int, float):
        found = bounds(field)  # an open end is left to the validation
        low, high = (next((kind(found[sign]) for sign in signs if sign in found), None) for signs in ENDS)
        step, written = (1, "%d") if kind is int else (None, "%g")
        return st.number_input(
            label, low, high, field.default, step, written, key=key, help=help, placeholder=AUTO, **KEPT
        )
    return st.text_input(label, field.default, key=key, help=help, placeholder=AUTO, **KEPT) or None
