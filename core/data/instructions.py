"""Instructions and their answers: the prompt template, and the columns of their files."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from core.base.errors import UserError

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


def is_instructions(path: Path) -> bool:
    """Return whether a user's file has instructions, by its name, with or without the `@sha8` of an id."""
    return re.sub(r"@[0-9a-f]{8}$", "", path.name).endswith(SUFFIXES)


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
