"""Selection of linears by `first:last` block indices or a regular expression; imports no torch."""

import re
from collections.abc import Callable, Sequence

from core.base.errors import UserError, echo


def selector(layers: str, blocks: int) -> Callable[[int, str], bool]:
    """Return a function that decides from block index and name whether a linear is selected.

    `first:last` includes both ends; a regular expression is searched for in the names. Raises `UserError` for text that
    is neither, or a range without any of the model's `blocks`.
    """
    span = re.fullmatch(r"([0-9]*):([0-9]*)", layers)
    if span:
        first, last = _index(span[1] or "0"), _index(span[2] or str(blocks - 1))
        if not first <= min(last, blocks - 1):
            raise UserError(f"Layers {echo(layers)} selects none of blocks 0 to {blocks - 1}.")
        return lambda block, name: first <= block <= last
    try:
        pattern = re.compile(layers)
    except re.error as error:
        raise UserError(f"Layers {echo(layers)} is neither FIRST:LAST nor a regular expression: {error}.") from None
    except RecursionError:
        raise UserError(f"Layers {echo(layers)} has too many nested groups; remove brackets.") from None
    return lambda block, name: pattern.search(name) is not None


def selects(layers: str, blocks: int, linears: Sequence[tuple[int, str]]) -> list[bool]:
    """Return whether each linear (block index, name) is selected; raise `UserError` if none is."""
    selected = selector(layers, blocks)
    found = [selected(block, name) for block, name in linears]
    if linears and not any(found):
        raise UserError(
            f"Layers {echo(layers)} selects none of the {len(linears)} linears in blocks 0 to {blocks - 1}; "
            f"their names look like {linears[0][1]}."
        )
    return found


def _index(digits: str) -> int:
    # Python rejects numbers with thousands of digits, and nine digits already exceed every block count.
    return int(digits.lstrip("0")[:9] or "0")
