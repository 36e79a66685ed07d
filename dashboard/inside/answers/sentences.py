"""Sentences on answers, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from core.evaluation.generation.sampling import Token
from core.findings.inside.answers import agreement
from dashboard.shared.literal import literal

UNSEEN = {"\n": "a line break", "\n\n": "an empty line", "": "a part of a character", " ": "a space"}


def difference(name: str, dense: Sequence[Token], other: Sequence[Token], greedy: bool) -> str:
    """Return the sentence on the first difference of an answer from the dense model's answer."""
    found = agreement(_ids(dense), _ids(other))
    kind = "greedy" if greedy else "drawn"
    share = f"{found.equal} of {found.dense} {kind} tokens, {100 * found.share:.0f} %"
    if found.place is None:
        whole = "for the whole answer" if found.equal == found.dense else "as far as it goes"
        return f"{literal(name)} equals dense {whole} ({share})."
    first, second = (_quoted(tokens[found.place]) for tokens in (other, dense))
    if not found.place:
        return f"{literal(name)} differs from dense at the first token: it has {first} instead of {second} ({share})."
    return f"{literal(name)} equals dense at the start ({share}), then has {first} instead of {second}."


def _ids(tokens: Sequence[Token]) -> list[int]:
    return [token.id for token in tokens]


def _quoted(token: Token) -> str:
    if token.ends:
        return "its end"
    text = " ".join(token.text.split())
    return UNSEEN.get(token.text) or (f"“{literal(text)}”" if text else "white space")
