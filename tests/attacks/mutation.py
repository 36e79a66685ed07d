"""Damage text by rules that keep some of its structure, driven by a given generator."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

TOKEN = re.compile(r"[A-Za-z_]+|\d+|\s+|.", re.DOTALL)
NUMBERS = (
    *("0", "-0", "00", "1", "-1", "+1", "0.5", "-0.5", ".5", "5.", "1e3", "1e-3", "1E400", "-1e400", "0x10", "1_0"),
    *("inf", "-inf", "nan", "Infinity", "NaN", "None", "true", "9" * 9, "9" * 10, "9" * 400, "9" * 5000, "0.9999999"),
    *("2147483647", "2147483648", "9223372036854775808", "1e-324", "0." + "0" * 400 + "1", "1/2", "50%"),
    *("٣", "２", "²", "½", "Ⅳ", "৪", "−1"),  # digits, and a minus, of other scripts
)
SIGNS = (
    *("", " ", "\t", "\n", "\r\n", "\x00", "\x07", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u200b", "\u202e", "\ufeff"),
    *("\ud800", "\udfff", "\U0001f600", "é", "e\u0301", "ß", "İ", "ﬁ", "中"),
    *("+", ",", "@", '"', '""', "'", "=", ":", ";", "/", "\\", "..", "../", "~", "%", "%s", "{}", "$", "`", "|", "*"),
    *("(", ")", "[", "]", "[bold]", "[/]", "<b>", "&amp;", "#", "--", "-", "?", "!", "x", "bit", "(a+)+$"),
)


def mutate(text: str, draw: random.Random, others: Sequence[str] = (), most: int = 4) -> str:
    """Return the text after one to `most` random changes of its tokens.

    Args:
        text: Text to change.
        draw: Generator of every choice.
        others: Texts whose fragments may be spliced in.
        most: Changes at most.
    """
    for _ in range(draw.choice((1, 1, 2, most))):
        tokens = TOKEN.findall(text)
        text = "".join(draw.choice(CHANGES)(tokens, draw, others))
    return text


def piece(draw: random.Random, others: Sequence[str] = ()) -> str:
    """Return a number, a sign or a fragment of another text."""
    kind = draw.random()
    if others and kind < 0.3:
        tokens = TOKEN.findall(draw.choice(others))
        start = draw.randint(0, len(tokens))
        return "".join(tokens[start : start + draw.randint(1, 6)])
    return draw.choice(NUMBERS if kind < 0.65 else SIGNS)


def _swap(tokens: list[str], draw: random.Random, others: Sequence[str]) -> list[str]:
    if len(tokens) > 1:
        first, second = draw.sample(range(len(tokens)), 2)
        tokens[first], tokens[second] = tokens[second], tokens[first]
    return tokens


def _delete(tokens: list[str], draw: random.Random, others: Sequence[str]) -> list[str]:
    start = draw.randint(0, len(tokens))
    return tokens[:start] + tokens[start + draw.randint(1, 3) :]


def _repeat(tokens: list[str], draw: random.Random, others: Sequence[str]) -> list[str]:
    start = draw.randint(0, len(tokens))
    stop = start + draw.randint(1, 8)
    times = draw.choice((2, 2, 2, 3, 10, 300))
    return tokens[:start] + tokens[start:stop] * times + tokens[stop:]


def _replace(tokens: list[str], draw: random.Random, others: Sequence[str]) -> list[str]:
    if tokens:
        tokens[draw.randrange(len(tokens))] = piece(draw, others)
    return tokens


def _replace_number(tokens: list[str], draw: random.Random, others: Sequence[str]) -> list[str]:
    places = [place for place, token in enumerate(tokens) if token.isdecimal()]
    if places:
        tokens[draw.choice(places)] = draw.choice(NUMBERS)
    return tokens


def _insert(tokens: list[str], draw: random.Random, others: Sequence[str]) -> list[str]:
    place = draw.randint(0, len(tokens))
    return [*tokens[:place], piece(draw, others), *tokens[place:]]


def _cut(tokens: list[str], draw: random.Random, others: Sequence[str]) -> list[str]:
    return tokens[: draw.randint(0, len(tokens))]


CHANGES: tuple[Callable[[list[str], random.Random, Sequence[str]], list[str]], ...] = (
    *(_swap, _delete, _repeat, _replace, _replace, _replace_number, _replace_number, _insert, _insert, _cut),
)
