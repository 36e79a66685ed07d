"""Damage values as JSON has them, driven by a given generator."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

from tests.attacks.mutation import piece

DEEP: Any = 0
for _ in range(60):
    DEEP = [DEEP]
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1e-320, 1e308, -3, 2**31, 2**63, -(2**63), 2**64, 10**400, -(10**400)),
    *(math.inf, -math.inf, math.nan, "", " ", "x", "0", "-1", "1e400", "nan", "\ud800", "\x00", "\n", "[bold]", "=1+1"),
    *("../../etc/passwd", "9" * 5_000, "é" * 300, [], {}, [None], {"": None}, [[]], DEEP, {"a": {"a": {"a": [1, 2]}}}),
)


def mutate_tree(value: Any, draw: random.Random, most: int = 3) -> Any:
    """Return a copy of a JSON value after one to `most` random changes somewhere in it."""
    value = copy.deepcopy(value)
    for _ in range(draw.randint(1, most)):
        places = list(_places(value))
        if not places:
            return _value(draw)
        holder, name = draw.choice(places)
        draw.choice(CHANGES)(holder, name, draw, places)
    return value


def as_json(value: Any) -> bytes:
    """Return a value as JSON, with `NaN` and `Infinity` as Python writes them."""
    return json.dumps(value).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each holder in a tree with each of its names or indices."""
    todo = [value]
    while todo:
        holder = todo.pop()
        if isinstance(holder, dict | list):
            for name in list(holder) if isinstance(holder, dict) else range(len(holder)):
                yield holder, name
                todo.append(holder[name])


def _value(draw: random.Random) -> Any:
    """Return a value of its own, so that no later change reaches another try."""
    return copy.deepcopy(draw.choice(VALUES))


Places = list[tuple[Any, Any]]


def _replace(holder: Any, name: Any, draw: random.Random, places: Places) -> None:
    holder[name] = _value(draw)


def _replace_text(holder: Any, name: Any, draw: random.Random, places: Places) -> None:
    holder[name] = piece(draw)


def _splice(holder: Any, name: Any, draw: random.Random, places: Places) -> None:
    other, place = draw.choice(places)
    with_it = copy.deepcopy(other[place]) if _is_in(other, place) else None
    holder[name] = with_it


def _scale(holder: Any, name: Any, draw: random.Random, places: Places) -> None:
    old = holder[name] if _is_in(holder, name) else None
    if isinstance(old, int | float) and not isinstance(old, bool) and abs(old) < 1e100:
        holder[name] = draw.choice((-old, old + 1, old * 1e6, old * 2, str(old), [old], old / 3))
    else:
        holder[name] = _value(draw)


def _delete(holder: Any, name: Any, draw: random.Random, places: Places) -> None:
    if _is_in(holder, name):
        del holder[name]


def _add(holder: Any, name: Any, draw: random.Random, places: Places) -> None:
    if isinstance(holder, list):
        holder.insert(draw.randint(0, len(holder)), _value(draw))
    else:
        holder[piece(draw)] = _value(draw)


def _repeat(holder: Any, name: Any, draw: random.Random, places: Places) -> None:
    if isinstance(holder, list) and _is_in(holder, name):
        holder.extend(copy.deepcopy([holder[name]]) * draw.choice((1, 3, 200)))


def _is_in(holder: Any, name: Any) -> bool:
    return name in holder if isinstance(holder, dict) else name < len(holder)


CHANGES: tuple[Callable[[Any, Any, random.Random, Places], None], ...] = (
    *(_replace, _replace, _replace, _replace_text, _splice, _scale, _scale, _delete, _delete, _add, _repeat),
)
