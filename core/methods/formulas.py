r"""What the signs in the methods' formulas mean: a legend that all share, and what each declaration says itself.

A sign is a letter, a Greek one, `\mathcal{...}`, or one of these with a prime; letters inside `\text`, `\mathrm` and
`\operatorname` are words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.methods.base import Method

SHARED = {
    "W": "weights of a linear layer: a row an output, a column an input",
    "W'": "the weights afterwards",
    r"i,\ j": "an output and an input of the layer",
    "X": "inputs of the layer on the calibration text: a row an input, a column a token",
    "S": "score; the lowest go",
    "u": "a unit, which is an attention head or an FFN channel: all weights that go with it",
    "w": "one weight",
    r"A,\ B": "the adapter, two thin matrices that are trained",
    r"\mathcal{L}": "loss on the text",
    "k": "rank",
    "p": "share that is removed",
    "n": "a number that is counted up",
    "t": "a token",
}
_WORDS = re.compile(r"\\(?:text|mathrm|operatorname)\*?\{[^{}]*\}")
_GREEK = "alpha|beta|gamma|delta|lambda|sigma|tau|theta|mu|rho|Lambda|Sigma|Delta"
_SIGN = re.compile(rf"(\\mathcal\{{\w\}}'?|\\(?:{_GREEK})(?![A-Za-z])'?)|\\[A-Za-z]+|([A-Za-z]'?)")


def signs(latex: str) -> list[str]:
    """Return the signs of a formula in their order, each once."""
    found = (match[1] or match[2] for match in _SIGN.finditer(_WORDS.sub(" ", latex)))
    return list(dict.fromkeys(filter(None, found)))


def legend(method: type[Method]) -> dict[str, str]:
    """Return what the signs of a method's formulas mean, {LaTeX: words}, in the order in which they first stand there.

    A sign that nobody explains is not among them; see `unsaid`.
    """
    found: dict[str, str] = {}
    for sign in signs(" ".join(method.formulas)):
        for known in (method.symbols, SHARED):
            if key := next((key for key in known if sign in signs(key)), None):
                found.setdefault(key, known[key])
                break
    return found | {key: words for key, words in method.symbols.items() if not signs(key)}


def unexplained_symbols(method: type[Method]) -> list[str]:
    """Return the signs of a method's formulas that neither it nor the shared legend explains."""
    said = {sign for key in legend(method) for sign in signs(key)}
    return [sign for sign in signs(" ".join(method.formulas)) if sign not in said]
