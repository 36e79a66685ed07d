"""Which linears a selection names, `first:last` block indices or a regular expression; imports no torch."""

import re
from collections.abc import Callable, Sequence

from core.errors import UserError, echo


def selector(layers: str, blocks: int) -> Callable[[int, str], bool]:
    """Return whether a linear is selected, told by its block's index and its name.

    `first:last` includes both ends; a regular expression is searched for in the names. Raises `UserError` where it is
    neither, or selects none of the model's `blocks`.
    """
    span = re.fullmatch(r"([0-9]*):([0-9]*)", layers)
    if span:
        first, last = _index(span[1] or "0"), _index(span[2] or str(blocks - 1))
        if not first <= min(last, blocks - 1):
            raise UserError(f"Layers {echo(layers)} selects none of the model's blocks, which are 0 to {blocks - 1}.")
        return lambda block, name: first <= block <= last
    try:
        pattern = re.compile(layers)
    except re.error as error:
        raise UserError(f"Layers {echo(layers)} is neither FIRST:LAST nor a regular expression: {error}.") from None
    except RecursionError:
        raise UserError(f"Layers {echo(layers)} has more nested groups than can be read; leave out brackets.") from None
    return lambda block, name: pattern.search(name) is not None


def selects(layers: str, blocks: int, linears: Sequence[tuple[int, str]]) -> list[bool]:
    """Return of each linear, its block's index and its name, whether it is selected; a `UserError` where none is."""
    selected = selector(layers, blocks)
    found = [selected(block, name) for block, name in linears]
    if linears and not any(found):
        raise UserError(
            f"Layers {echo(layers)} selects none of the {len(linears)} linears in blocks 0 to {blocks - 1}, "
            f"whose names look like {linears[0][1]}."
        )
    return found


def _index(digits: str) -> int:
    # Python reads no number of thousands of digits, and the first nine of one are beyond every model's blocks, too.
    return int(digits.lstrip("0")[:9] or "0")
