"""Errors for users, whose messages give the fault and its fix, and helpers to write them."""

import math
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import JsonValue

MOST_ECHOED = 80  # characters of user input in a sentence
MEMORY_RAN_OUT = "Memory ran out; choose a smaller model, or fewer or shorter sequences."


class UserError(Exception):
    """Bad input or a missing resource. The message gives the fault, the value, and the allowed values or the fix."""


class ChainError(UserError):
    """A fault at one place of a chain.

    Attributes:
        position: Index of the faulty character, from 0.
        message: Fault at this position, without the chain.
    """

    def __init__(self, chain: str, position: int, message: str):
        super().__init__(f"{echo(chain)}, character {position + 1}: {message}")
        self.position, self.message = position, message


class StorageError(UserError):
    """A failure to write a result, after which later results would be lost, too."""


class CancelledError(Exception):
    """A running job was cancelled. `kept` is its partial result if that is worth storing, else None."""

    def __init__(self, kept: Any = None):  # Any: a `Result`, of a higher floor
        super().__init__("cancelled")
        self.kept = kept


class LostJobError(CancelledError):
    """Another process has the job of this one, which may not store anything."""


def how_to_install(extra: str) -> str:
    """Return the command that installs an extra; Slimscope is on no package index, so it needs a checkout."""
    return f"pip install '.[{extra}]' in a checkout of Slimscope"


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the memory of the machine or a GPU ran out."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def short(text: str, most: int = MOST_ECHOED) -> str:
    """Shorten text for a message: an ellipsis replaces the middle of one with more than `most` characters."""
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[:half]}...{text[-half:]}"


def echo(value: "JsonValue") -> str:
    """Quote and shorten user input for a message."""
    return short(repr(value))


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, which gets an `s` unless the count is 1: `1 number`, `20 numbers`."""
    return f"{count} {noun}{'s' * (count != 1)}"


def check_above(value: float, least: float, start: str, example: float) -> None:
    """Raise `UserError`, which begins with `start`, unless a number is finite and above `least`, as `example` is."""
    if not least < value < math.inf:
        raise UserError(f"{start} above {least:g}; give one such as {example:g}.")


def unknown(kind: str, name: str, allowed: Iterable[str]) -> UserError:
    """Return the error for an unknown name, with the nearest known name or all known names."""
    allowed = list(allowed)
    near = get_close_matches(name, allowed, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(allowed)}."
    return UserError(f"Unknown {kind} {echo(name)}; {hint}")
