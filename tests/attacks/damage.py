"""Strategies that damage texts and JSON values so that some of their structure remains, and their settings."""

import copy
import json
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

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
DEEP: Any = 0
for _ in range(60):
    DEEP = [DEEP]
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1e-320, 1e308, -3, 2**31, 2**63, -(2**63), 2**64, 10**400, -(10**400)),
    *(math.inf, -math.inf, math.nan, "", " ", "x", "0", "-1", "1e400", "nan", "\ud800", "\x00", "\n", "[bold]", "=1+1"),
    *("../../etc/passwd", "9" * 5_000, "é" * 300, [], {}, [None], {"": None}, [[]], DEEP, {"a": {"a": {"a": [1, 2]}}}),
)
CHANGES = st.sampled_from(("number", "replace", "insert", "move", "repeat", "cut"))
PIECES = st.sampled_from(NUMBERS) | st.sampled_from(SIGNS)


ATTACK = [pytest.mark.attack, pytest.mark.full, pytest.mark.timeout(3600, method="thread")]


def attack(test):
    """Mark one test of a file as `ATTACK` marks all."""
    for mark in ATTACK:
        test = mark(test)
    return test


def examples(count: int) -> settings:
    """Draw this number of examples, or ten times as many in a profile of 1,000."""
    slow = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture)
    return settings(max_examples=max(1, count * settings.default.max_examples // 100), suppress_health_check=slow)


@st.composite
def damaged(draw: DrawFn, texts: SearchStrategy[str], others: SearchStrategy[str] | None = None) -> str:
    """Draw a text after one to four changes of its tokens; `others` are texts to insert."""
    tokens = TOKEN.findall(draw(texts))
    pieces = PIECES if others is None else PIECES | others
    for change in draw(st.lists(CHANGES, min_size=1, max_size=4)):
        numbers = [place for place, token in enumerate(tokens) if token.isdecimal()]
        start = draw(st.integers(0, len(tokens)))
        part = slice(start, start + draw(st.integers(0, 3)))
        match change:
            case "number" if numbers:
                tokens[draw(st.sampled_from(numbers))] = draw(st.sampled_from(NUMBERS))
            case "replace":
                tokens[part] = [draw(pieces)]
            case "repeat":
                tokens[part] = tokens[part] * draw(st.sampled_from((0, 2, 3, 10, 300)))
            case "move":
                moved, tokens[part] = tokens[part], []
                place = draw(st.integers(0, len(tokens)))
                tokens[place:place] = moved
            case "cut":
                del tokens[start:]
            case _:
                tokens.insert(start, draw(pieces))
    return "".join(tokens)


@st.composite
def damaged_tree(draw: DrawFn, value: Any) -> Any:
    """Draw a copy of a JSON value after one to three changes somewhere in it."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(value))
        if not places:
            return _value(draw)
        holder, name = draw(st.sampled_from(places))
        old = holder[name]
        match draw(st.sampled_from(("value", "value", "text", "splice", "scale", "scale", "delete", "add", "repeat"))):
            case "text":
                holder[name] = draw(PIECES)
            case "splice":
                other, place = draw(st.sampled_from(places))
                holder[name] = copy.deepcopy(other[place])
            case "scale" if isinstance(old, int | float) and not isinstance(old, bool) and abs(old) < 1e100:
                holder[name] = draw(st.sampled_from((-old, old + 1, old * 1e6, old * 2, str(old), [old], old / 3)))
            case "delete":
                del holder[name]
            case "add" if isinstance(holder, dict):
                holder[draw(PIECES)] = _value(draw)
            case "repeat" if isinstance(holder, list):
                holder.extend(copy.deepcopy([old]) * draw(st.sampled_from((1, 3, 200))))
            case _:
                holder[name] = _value(draw)
    return value


def as_json(value: Any) -> bytes:
    """Return a value as JSON, with `NaN` and `Infinity` as Python writes them."""
    return json.dumps(value).encode()


@st.composite
def odd_bytes(draw: DrawFn, texts: SearchStrategy[str]) -> bytes:
    """Draw a text as UTF-8, sometimes with bytes that are none."""
    content = draw(texts).encode("utf-8", "replace")
    if draw(st.integers(0, 29)) == 29:
        place = draw(st.integers(0, len(content)))
        odd = draw(st.sampled_from((b"\xff", b"\xed\xa0\x80", b"\x00", b"\xef\xbb\xbf")))
        content = content[:place] + odd + content[place:]
    return content


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each holder in a tree with each of its names or indices."""
    todo = [value]
    while todo:
        holder = todo.pop()
        if isinstance(holder, dict | list):
            for name in list(holder) if isinstance(holder, dict) else range(len(holder)):
                yield holder, name
                todo.append(holder[name])


def _value(draw: DrawFn) -> Any:
    return copy.deepcopy(draw(st.sampled_from(VALUES)))
