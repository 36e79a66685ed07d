r"""The symbols in the methods' formulas: a legend that all methods share, and additions by each declaration.

A symbol is a Latin or Greek letter, `\mathcal{...}`, or one of these with a prime. Letters inside `\text`, `\mathrm`
and `\operatorname` are words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.methods.base import Method

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
