"""What can go wrong, said in one sentence that a user can act on."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

MOST_ECHOED = 80  # characters of user input in a sentence
MEMORY_RAN_OUT = "The memory ran out; choose a smaller model, shorter windows or fewer calibration windows."


class UserError(Exception):
    """Bad input or a missing resource. The message is one sentence: what is wrong and what is allowed."""


class ChainError(UserError):
    """A fault at one place of a chain.

    Attributes:
        position: Index of the character at which it is, from 0.
        message: What is wrong there, without the chain.
    """

    def __init__(self, chain: str, position: int, message: str):
        super().__init__(f"{echo(chain)}, character {position + 1}: {message}")
        self.position, self.message = position, message


class StorageError(UserError):
    """A result could not be written: whatever is computed next would be lost, too."""


class CancelledError(Exception):
    """The user asked a running job to stop. `kept` is the result that it had come to, if it is worth keeping."""

    def __init__(self, kept: Any = None):
        super().__init__("cancelled")
        self.kept = kept


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that there was too little memory, of the machine or of a GPU."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def short(text: str) -> str:
    """Return text for a sentence, with an ellipsis in place of its middle where it is long."""
    half = (MOST_ECHOED - 3) // 2
    return text if len(text) <= MOST_ECHOED else f"{text[:half]}...{text[-half:]}"


def echo(value: Any) -> str:
    """Return user input for a sentence: in quotes, and short."""
    return short(repr(value))


def unknown(kind: str, name: str, allowed: Iterable[str]) -> UserError:
    """Return the error for a name that is not in a catalogue, with the nearest match if there is one."""
    allowed = list(allowed)
    near = get_close_matches(name, allowed, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(allowed)}."
    return UserError(f"Unknown {kind} {echo(name)}; {hint}")
