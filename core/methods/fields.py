"""Readers of parameter declarations, for the form and the list of methods."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import JsonValue
from pydantic.fields import FieldInfo

if TYPE_CHECKING:
    from core.methods.base import Method

AUTO = "auto"  # shown for an optional parameter that is not set
TYPES = {bool: "boolean", int: "integer", float: "number"}
SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def type_of(field: FieldInfo) -> Any:  # Any: a class, or a form such as Literal
    """Return the type of a parameter's value, such as `int` for `int | None`."""
    if isinstance(field.annotation, UnionType):
        (kind,) = (part for part in get_args(field.annotation) if part is not NoneType)
        return kind
    return field.annotation


def only_with(name: str) -> dict[str, JsonValue]:
    """Return the `json_schema_extra` of a parameter without effect while the one called `name` is at its default."""
    return {"with": name}


def goes_with(field: FieldInfo) -> str | None:
    """Return the name of the parameter that this one depends on, if any."""
    more = field.json_schema_extra
    return str(more["with"]) if isinstance(more, dict) and "with" in more else None


def choices(field: FieldInfo) -> tuple[str, ...]:
    """Return the allowed values of a parameter; empty unless it is a choice."""
    return get_args(type_of(field)) if get_origin(type_of(field)) is Literal else ()


def bounds(field: FieldInfo) -> dict[str, float]:
    """Return the bounds of a number by sign, such as {">": 0, "<=": 10}."""
    return {sign: getattr(rule, name) for rule in field.metadata for name, sign in SIGNS.items() if hasattr(rule, name)}


def parameter_rows(method: type[Method]) -> list[dict[str, str]]:
    """Return one row per parameter that the method declares."""
    return [
        {
            "parameter": name,
            "type": TYPES.get(type_of(field), "string"),
            "allowed": _allowed(field),
            "default": AUTO if field.default is None else str(field.default),
            "what it does": field.description or "",
        }
        for name, field in method.Parameters.model_fields.items()
    ]


def _allowed(field: FieldInfo) -> str:
    """Return the allowed values of a parameter, such as `> 0, <= 10`."""
    return ", ".join(choices(field) or (f"{sign} {bound:g}" for sign, bound in bounds(field).items()))
