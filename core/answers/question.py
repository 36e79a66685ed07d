"""A question to several models, and the lines that the process of the answers reads and writes; imports no torch."""

from typing import Literal

from pydantic import Field

from core.evaluation.generation.sampling import Sampling, Token
from core.notation.chain import format_chain
from core.specs import Frozen, VariantSpec

MOST_COMPARED = 3  # variants compared with dense
MOST_PROMPT = 4000  # characters
MOST_TOKENS = 512  # of an answer

State = Literal["queued", "loading", "running", "done", "failed"]


class QuestionRow(Frozen):
    """What the row of a question has, which others may read; not its prompt."""

    model: str
    chains: tuple[str, ...]

    @property
    def title(self) -> str:
        return f"{self.model}: {', '.join(self.chains)}"


class Question(Frozen):
    """A prompt to several variants of one model, the dense model first."""

    prompt: str = Field(min_length=1, max_length=MOST_PROMPT, repr=False)  # prompts are private: no log has them
    variants: tuple[VariantSpec, ...] = Field(min_length=1, max_length=1 + MOST_COMPARED)
    chat: bool = True  # whether the prompt is inside the model's chat template, if it has one
    sampling: Sampling = Sampling()

    @property
    def row(self) -> QuestionRow:
        chains = tuple(format_chain(one.stages) for one in self.variants)
        return QuestionRow(model=self.variants[0].model, chains=chains)


class Command(Frozen):
    """A line to the process: a question under a new number, or None to stop the answers to that number."""

    number: int
    question: Question | None = None


class Event(Frozen):
    """A line from the process: the state of the answers to a question, or of the one at a `place` in its variants."""

    number: int
    state: State
    place: int | None = None
    token: Token | None = None  # a new one
    error: str | None = None  # one sentence
    stopped: bool = False  # whether a command stopped the answers
