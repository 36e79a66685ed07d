"""Per-document answers of `lm_eval --log_samples`, in files `samples_TASK_*.jsonl`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from core.base.errors import UserError
from core.evaluation.outcomes import METRICS
from core.fields import fault
from core.imports.uploads import Upload

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_LINES, MOST_CHOICES = 20_000, 50
Likelihood = Annotated[float, Field(allow_inf_nan=True)]


class _Line(BaseModel):
    """The fields read from a line: document, right answer, log-likelihood of each choice, and metrics."""

    doc_id: int = Field(ge=0, lt=2**31)
    target: Any = None  # Any: JSON of the user
    # Any: JSON of the user
    answers: list[tuple[Likelihood, Any]] = Field(alias="filtered_resps", min_length=1, max_length=MOST_CHOICES)
    filter: str = "none"
    acc: float | None = Field(default=None, ge=0, le=1)
    acc_norm: float | None = Field(default=None, ge=0, le=1)
    perplexity: float | None = None  # a log-likelihood


@dataclass(frozen=True)
class Answers:
    """The answers of one task, with the columns of `core.evaluation.zeroshot`.

    `frame` has one row per document: doc_id, target (the right choice), loglikelihoods and the metrics.
    """

    file: str
    frame: DataFrame


def read_answers(uploads: Sequence[Upload], tasks: Sequence[str], task_names: Mapping[str, str]) -> dict[str, Answers]:
    """Return the answers by task; each file name contains its task, which must be one of `tasks`.

    `task_names` maps task names in file names to the names here.
    """
    found: dict[str, Answers] = {}
    for upload in uploads:
        named = re.fullmatch(r"samples_(.+?)(_\d{4}-\d\d-\d\dT.*)?\.jsonl", upload.shown)
        task = task_names.get(named[1], named[1]) if named else None
        if task is None or task not in tasks:
            raise UserError(f"{upload.shown} is not named samples_TASK_DATE.jsonl after a task of the results file.")
        if task in found:
            raise UserError(f"{upload.shown} and {found[task].file} are of one task; give only one.")
        found[task] = Answers(upload.shown, _frame(upload))
    return found


def _frame(upload: Upload) -> DataFrame:
    import pandas

    lines = sorted(_lines(upload), key=lambda line: line.doc_id)
    if not lines:
        raise UserError(f"{upload.shown} has no document.")
    if len({line.doc_id for line in lines}) < len(lines):
        raise UserError(f"{upload.shown} has a document twice.")
    rows = [
        {
            "doc_id": line.doc_id,
            "target": _target(line),
            "loglikelihoods": [likelihood for likelihood, _ in line.answers],
            **{name: getattr(line, name) for name in METRICS},
        }
        for line in lines
    ]
    frame = pandas.DataFrame(rows).astype({"target": "Int64"})
    partial = [name for name in METRICS if 0 < frame[name].notna().sum() < len(frame)]
    if partial:
        raise UserError(f"{upload.shown} has no {partial[0]} in some of its lines.")
    return frame.dropna(axis="columns", how="all")


def _lines(upload: Upload) -> Iterator[_Line]:
    texts = upload.text.split("\n")
    if len(texts) > MOST_LINES:
        raise UserError(f"{upload.shown} has {len(texts)} lines; at most {MOST_LINES} are read.")
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            continue
        try:
            line = _Line.model_validate_json(text)
        except ValidationError as error:
            raise UserError(
                f"{upload.shown}, line {number} is not a sample of log-likelihoods: {fault(error)}."
            ) from None
        if line.filter == "none":
            yield line


def _target(line: _Line) -> int | None:
    """Return the index of the right choice; None if there is only one choice or the index is unknown.

    The files state it as a number except for WinoGrande, whose choices are contexts. With two choices, it then follows
    from the answer and its accuracy.
    """
    if len(line.answers) == 1:
        return None
    if re.fullmatch(r"\d{1,4}", str(line.target)):
        return int(str(line.target))
    if len(line.answers) != 2 or line.acc not in (0, 1):
        return None
    first, second = (likelihood for likelihood, _ in line.answers)
    likeliest = int(second > first)
    return likeliest if line.acc else 1 - likeliest
