"""The bundled answers of some variants to the prepared prompts, so that visitors read answers before anything runs."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from core.base import paths
from core.evaluation.generation.sampling import Sampling, Token
from core.specs import Frozen

PROMPTS = {  # by the name that is in links
    "A fact": "What is the capital of France?",
    "A sum": "Ann has 17 apples and buys 25 more. How many apples does she have now?",
    "A story": "Write the beginning of a story about a lighthouse keeper who finds a letter in a bottle.",
    "Code": "Write a Python function that returns the largest number in a list.",
    "A summary": (
        "Summarise this text in one sentence: Bees collect nectar from flowers and turn it into honey. On their way "
        "they carry pollen from flower to flower. Many fruits and vegetables grow only after such a visit."
    ),
    "A translation": "Translate this sentence into French: The book is on the table.",
    "A list": "Name three animals that live in the sea.",
    "A reason": "Why is the sky blue?",
    "A letter": "Write a short email that asks for a day off.",
    "A correction": "Correct the grammar of this sentence: She go to school every days.",
}
SAMPLING = Sampling(tokens=48)  # of these answers, which are inside the chat template


class ShippedAnswer(Frozen):
    """The answer of a variant to a prompt."""

    key: str  # of the variant
    prompt: str  # its text
    tokens: tuple[Token, ...]


ShippedAnswers = Mapping[tuple[str, str], ShippedAnswer]  # by key of the variant and text of the prompt
LINE = TypeAdapter(ShippedAnswer)


def shipped_answers() -> ShippedAnswers:
    """Return the bundled answers, those of the best variants first."""
    return _read(paths.SHIPPED_ANSWERS)


@cache
def _read(path: Path) -> ShippedAnswers:
    lines = path.read_bytes().splitlines() if path.is_file() else []
    return {(one.key, one.prompt): one for one in map(LINE.validate_json, lines)}
