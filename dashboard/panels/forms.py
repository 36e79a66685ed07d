"""A method's parameters as inputs: type, range, default and help come from its declaration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st
from pydantic.fields import FieldInfo
from streamlit.delta_generator import DeltaGenerator

from core.chain import plain
from core.errors import UserError
from core.methods.base import Method
from core.methods.fields import AUTO, bounds, choices, goes_with, type_of
from dashboard.panels.binding import KEPT

ENDS = ((">=", ">"), ("<=", "<"))
LARGEST = 2**53 - 1  # that a browser counts to


def parameter_inputs(method: type[Method], prefix: str) -> dict[str, str]:
    """Show one input for each declared parameter; return as text those that are not at their default.

    The keys of the inputs begin with `prefix`; each method has its own.
    """
    changed = {}
    row: list[DeltaGenerator] = []  # columns yet to be filled
    for name, field in method.Parameters.model_fields.items():
        other = goes_with(field)
        if other and st.session_state.get(_key(prefix, method, other)) in (
            None,
            method.Parameters.model_fields[other].default,
        ):
            continue
        row = row or list(st.columns(2, vertical_alignment="bottom"))
        with row.pop(0):
            value = _input(_key(prefix, method, name), name, field)
        if value is not None and value != field.default:
            changed[name] = plain(value)
    return changed


def fill_parameters(method: type[Method], prefix: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return by key what the inputs are to hold. A `UserError` names a number that no input can."""
    values = method.parse_parameters(settings).model_dump()
    for name, value in values.items():
        if isinstance(value, int | float) and not abs(value) <= LARGEST:
            raise UserError(
                f"{method.label}: {name} = {value} is no number for this form, which has them to {LARGEST}."
            )
    return {_key(prefix, method, name): value for name, value in values.items()}


def _key(prefix: str, method: type[Method], name: str) -> str:
    return f"{prefix}_{method.name}_{name}"


def _input(key: str, name: str, field: FieldInfo) -> Any:
    """Show the input of a parameter and return its value; None where one is left to the method.

    What it holds first is put into the session, as a text that is typed for the chain puts it there later.
    """
    st.session_state.setdefault(key, field.default)
    label, kind = field.title or name.replace("_", " ").capitalize(), type_of(field)
    help = f"`{name}`: {field.description}"  # as a chain has it
    auto = AUTO if field.default is None else plain(field.default)
    if kind is bool:
        return st.toggle(label, key=key, help=help, **KEPT)
    if options := choices(field):
        return st.selectbox(label, options, key=key, help=help, **KEPT)
    if kind in (int, float):
        found = bounds(field)  # an open end is left to the validation
        low, high = (next((kind(found[sign]) for sign in signs if sign in found), None) for signs in ENDS)
        step, format = (1, "%d") if kind is int else (None, "%g")
        return st.number_input(label, low, high, None, step, format, key=key, help=help, placeholder=auto, **KEPT)
    return st.text_input(label, key=key, help=help, placeholder=auto, **KEPT) or None
