"""A method's parameters as inputs: type, range, default and help come from its declaration."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

import streamlit as st
from pydantic.fields import FieldInfo

from core.methods.base import Method


def bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    """Return the closed range of a number's field; an open end is left to the validation."""
    low = high = None
    for rule in field.metadata:
        low = next((getattr(rule, name) for name in ("ge", "gt") if hasattr(rule, name)), low)
        high = next((getattr(rule, name) for name in ("le", "lt") if hasattr(rule, name)), high)
    return low, high


def parameter_inputs(method: type[Method]) -> dict[str, Any]:
    """Show one input for each declared parameter and return the values."""
    return {name: _input(method, name, field) for name, field in method.Parameters.model_fields.items()}


def _input(method: type[Method], name: str, field: FieldInfo) -> Any:
    label = name.replace("_", " ").capitalize()
    common = {"help": field.description, "key": f"run_{method.name}_{name}", "persist_state": "session"}
    if field.annotation is bool:
        return st.toggle(label, field.default, **common)
    if get_origin(field.annotation) is Literal:
        choices = get_args(field.annotation)
        return st.selectbox(label, choices, index=choices.index(field.default), **common)
    if field.annotation in (int, float):
        low, high = bounds(field)
        kind = field.annotation
        step, written = (1, "%d") if kind is int else (None, "%g")
        limits = {"min_value": None if low is None else kind(low), "max_value": None if high is None else kind(high)}
        return st.number_input(label, value=field.default, step=step, format=written, **limits, **common)
    text = st.text_input(label, "" if field.default is None else str(field.default), **common)
    return text or field.default
