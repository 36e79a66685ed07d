r"""Readers of a method's declaration: its parameters, and the symbols in its formulas.

A symbol is a Latin or Greek letter, `\mathcal{...}`, or one of these with a prime. Letters inside `\text`, `\mathrm`
and `\operatorname` are words.
"""

import re
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from pydantic import JsonValue
from pydantic.fields import FieldInfo

from core.methods.base import Method

AUTO = "auto"  # shown for an optional parameter that is not set
TYPES = {bool: "boolean", int: "integer", float: "number"}
SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
SHARED = {
    "W": "weights of a linear layer: one row per output, one column per input",
    "W'": "the weights after this stage",
    r"i,\ j": "an output and an input of the layer",
    "X": "inputs of the layer on the calibration data: one row per input, one column per token",
    "S": "importance score; the lowest scores are removed",
    "u": "a unit: one attention head or FFN channel, with all its weights",
    "w": "one weight",
    r"A,\ B": "the two thin matrices of the adapter, which are trained",
    r"\mathcal{L}": "loss on the calibration or training data",
    "k": "rank",
    "p": "pruning ratio: share of weights removed",
    "n": "a running index",
    "t": "a token",
}
_WORDS = re.compile(r"\\(?:text|mathrm|operatorname)\*?\{[^{}]*\}")
_GREEK = "alpha|beta|gamma|delta|lambda|sigma|tau|theta|mu|rho|Lambda|Sigma|Delta"
_SIGN = re.compile(rf"(\\mathcal\{{\w\}}'?|\\(?:{_GREEK})(?![A-Za-z])'?)|\\[A-Za-z]+|([A-Za-z]'?)")


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
            "allowed": ", ".join(choices(field) or (f"{sign} {bound:g}" for sign, bound in bounds(field).items())),
            "default": AUTO if field.default is None else str(field.default),
            "what it does": field.description or "",
        }
        for name, field in method.Parameters.model_fields.items()
    ]


def signs(latex: str) -> list[str]:
    """Return the symbols of a formula in order of first appearance."""
    found = (match[1] or match[2] for match in _SIGN.finditer(_WORDS.sub(" ", latex)))
    return list(dict.fromkeys(filter(None, found)))


def legend(method: type[Method]) -> dict[str, str]:
    """Return the meanings of the symbols in a method's formulas, {LaTeX: words}, in order of first appearance.

    It omits unexplained symbols; see `unexplained_symbols`.
    """
    found: dict[str, str] = {}
    for sign in signs(" ".join(method.formulas)):
        for known in (method.symbols, SHARED):
            if key := next((key for key in known if sign in signs(key)), None):
                found.setdefault(key, known[key])
                break
    return found | {key: words for key, words in method.symbols.items() if not signs(key)}


def unexplained_symbols(method: type[Method]) -> list[str]:
    """Return the symbols of a method's formulas that neither it nor the shared legend explains."""
    explained = {sign for key in legend(method) for sign in signs(key)}
    return [sign for sign in signs(" ".join(method.formulas)) if sign not in explained]
