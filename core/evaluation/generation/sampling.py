"""The choice of the tokens of an answer, and the tokens themselves; imports no torch."""

from typing import NamedTuple

from pydantic import Field

from core.specs import Frozen

LIKELIEST = 5  # tokens shown at each step


class Sampling(Frozen):
    """The choice of each token: at temperature 0 the likeliest one, else a draw with the seed."""

    tokens: int = Field(default=64, ge=1)  # at most
    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)  # least probability of the tokens to draw from
    seed: int = Field(default=0, ge=0, lt=2**63)

    @property
    def greedy(self) -> bool:
        """Whether each token is the likeliest one."""
        return self.temperature == 0


class Candidate(NamedTuple):
    """A token that the model could choose, and its natural log-probability."""

    text: str
    logprob: float


class Token(NamedTuple):
    """A generated token: its id, its text, its natural log-probability, and the likeliest tokens at its place.

    The log-probabilities are those of the model itself, at temperature 1. The text of a token that ends inside a
    character is empty; the token that completes the character has all of it.
    """

    id: int
    text: str
    logprob: float
    likeliest: tuple[Candidate, ...]
    ends: bool = False  # whether it ends the text
