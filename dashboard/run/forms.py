"""Input fields of a method's parameters, with type, range, default and help from its declaration."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st
from pydantic.fields import FieldInfo
from streamlit.delta_generator import DeltaGenerator

from core.base.errors import UserError
from core.methods.base import Method
from core.methods.fields import AUTO, bounds, choices, goes_with, type_of
from core.notation.chain import plain
from core.specs import Scalar
from dashboard.shared.binding import KEPT

ENDS = ((">=", ">"), ("<=", "<"))
LARGEST = 2**53 - 1  # largest integer that browsers represent exactly


def parameter_inputs(method: type[Method], prefix: str) -> dict[str, str]:
    """Show an input for each declared parameter; return the changed ones in chain notation.

    The keys of the inputs begin with `prefix` and the method's name.
    """
    changed = {}
    row: list[DeltaGenerator] = []  # empty columns
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


def fill_parameters(method: type[Method], prefix: str, settings: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the values of the inputs by key.

    Raises:
        UserError: A number exceeds the range of the inputs.
    """
    values = method.parse_parameters(settings).model_dump()
    for name, value in values.items():
        if isinstance(value, int | float) and not abs(value) <= LARGEST:
            raise UserError(f"{method.label}: {name} = {value} exceeds this form's maximum, {LARGEST}.")
    return {_key(prefix, method, name): value for name, value in values.items()}


def _key(prefix: str, method: type[Method], name: str) -> str:
    return f"{prefix}_{method.name}_{name}"


def _input(key: str, name: str, field: FieldInfo) -> Scalar:
    """Show the input of a parameter and return its value; None leaves it to the method.

    The session holds the initial value, because a typed chain later sets it there too.
    """
    st.session_state.setdefault(key, field.default)
    label, kind = field.title or name.replace("_", " ").capitalize(), type_of(field)
    help = f"`{name}`: {field.description}"  # the name in chain notation
    auto = AUTO if field.default is None else plain(field.default)
    if kind is bool:
        return st.toggle(label, key=key, help=help, **KEPT)
    if options := choices(field):
        return st.selectbox(label, options, key=key, help=help, **KEPT)
    if kind in (int, float):
        limits = bounds(field)  # the validation checks open ends
        low, high = (next((kind(limits[sign]) for sign in signs if sign in limits), None) for signs in ENDS)
        step, format = (1, "%d") if kind is int else (None, "%g")
        return st.number_input(label, low, high, None, step, format, key=key, help=help, placeholder=auto, **KEPT)
    return st.text_input(label, key=key, help=help, placeholder=auto, **KEPT) or None
