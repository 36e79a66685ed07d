"""The identity and the content of a corpus, and its instructions: the prompt template, and the columns of a file."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from core.base.errors import UserError
from core.data.texts import Corpus
from core.specs import Frozen

SUFFIXES = (".json", ".jsonl")
PROMPT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:\n"
)
PROMPT_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
)
ANSWERS = ("response", "completion", "answer")  # possible names of the answer's column next to `prompt`

Pair = tuple[str, str]  # prompt, answer


def read_pairs(content: str, name: str) -> list[Pair]:
    """Return the pairs in a JSON list or JSON lines; raise `UserError` for other content."""
    try:
        if content.lstrip().startswith("["):
            rows = json.loads(content)
        else:
            rows = [json.loads(line) for line in content.split("\n") if line.strip()]
    except (ValueError, RecursionError):  # too deeply nested lists raise the latter
        raise UserError(f"{name} is neither a JSON list nor JSON lines.") from None
    return pairs_of(rows, name)


def pairs_of(rows: Iterable[JsonValue], name: str) -> list[Pair]:
    """Return (prompt, answer) of rows with `instruction` (and `input`) and `output`, or with `prompt` and an answer."""
    pairs = []
    for number, row in enumerate(rows, start=1):
        pair = _pair(row) if isinstance(row, Mapping) else None
        if pair is None:
            raise UserError(
                f"Row {number} of {name} is no instruction; give `instruction`, `input` and `output`, "
                f"or `prompt` and one of {', '.join(ANSWERS)}."
            )
        pairs.append(pair)
    return pairs


def _pair(row: Mapping[str, Any]) -> Pair | None:  # Any: JSON whose types are checked here
    if isinstance(row.get("instruction"), str) and isinstance(row.get("output"), str):
        template = PROMPT_WITH_INPUT if row.get("input") else PROMPT
        return template.format(instruction=row["instruction"], input=row.get("input")), row["output"]
    answer = next((row[name] for name in ANSWERS if isinstance(row.get(name), str)), None)
    return (row["prompt"], answer) if isinstance(row.get("prompt"), str) and answer is not None else None


class CorpusSource(Frozen):
    """The id and the source of a corpus or of the documents of a task."""

    id: str
    source: str  # where the text comes from, or would come from


@dataclass(frozen=True)
class CorpusText:
    """A corpus that was read, and the name that it was read by."""

    name: str
    identity: CorpusSource
    text: str  # for perplexity
    card: Corpus | None = None  # of the catalogue; None for a user's file
    rows: tuple[str, ...] = ()  # of the catalogue's file
    instructions: tuple[Pair, ...] = ()  # of the catalogue's file, if its rows are instructions

    @property
    def documents(self) -> list[str]:
        """The rows of the catalogue's file, or the paragraphs or pairs of a user's file."""
        if self.card:
            return [row for row in self.rows if row.strip()]
        if (pairs := self.pairs) is not None:
            return ["".join(pair) for pair in pairs]
        return [part for part in re.split(r"\n\s*\n", self.text) if part.strip()]

    @property
    def pairs(self) -> list[Pair] | None:
        """(prompt, answer) pairs; None if it is plain text. Raises `UserError` for a file of other content."""
        if self.card:
            return list(self.instructions) if self.card.instructions else None
        file_name = re.sub(r"@[0-9a-f]{8}$", "", self.identity.id)
        return read_pairs(self.text, self.name) if file_name.endswith(SUFFIXES) else None


def text_sha256(content: str) -> str:
    """Compute the hex digest of a text."""
    return hashlib.sha256(content.encode()).hexdigest()
