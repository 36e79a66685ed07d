"""Results of `lm_eval --output_path`: files `results_*.json`, with samples (`core.imports.answers`).

An imported number has our protocol if all parts of our protocol agree: task and its version, number of first documents,
few-shot examples, precision. Other settings that change an answer are added to the protocol, which then differs: a chat
template, a system instruction, chosen documents.

Reference: lm_eval/result_schema.py and lm_eval/loggers/evaluation_tracker.py of lm-evaluation-harness 0.4.13.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, TypeVar

from pydantic import BaseModel, Field, JsonValue, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from core.base.errors import UserError, echo
from core.data.cards import TASKS, TaskCard
from core.evaluation.outcomes import METRICS, summary
from core.fields import fault
from core.imports.answers import Answers, read_answers
from core.imports.series import ImportedVariant, ImportPreview, ModelOf, check_range, parse_model
from core.imports.uploads import Upload
from core.protocols import task_protocol
from core.results import Measurement, Result
from core.specs import DTYPES, UNKNOWN, Task, Unchecked, sha256

PROMPTS = ("chat_template", "system_instruction")  # settings that change every prompt
NAMES = 10  # tasks that a sentence names
MOST_DOCUMENTS = 2**31
Value = TypeVar("Value")


class _Documents(BaseModel):
    original: int = Field(ge=0, lt=MOST_DOCUMENTS)
    effective: int = Field(ge=1, lt=MOST_DOCUMENTS)

    @model_validator(mode="after")
    def _check(self) -> _Documents:
        if self.effective > self.original:
            raise PydanticCustomError("documents", "more documents were scored than there are")
        return self


class _Config(BaseModel):
    model_args: Unchecked | str | None = None
    model_dtype: str | None = None
    limit: float | None = Field(default=None, gt=0, lt=MOST_DOCUMENTS)


def _none_unless_finite(value: JsonValue) -> float | None:
    """Return None for values that the harness writes instead of a number, such as "N/A" or NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _File(BaseModel):
    """The fields read from a results file; others are ignored."""

    results: dict[str, Unchecked] = Field(min_length=1)
    versions: Unchecked = {}
    shots: dict[str, Annotated[int, Field(ge=0, lt=MOST_DOCUMENTS)] | None] = Field(default={}, alias="n-shot")
    documents: dict[str, _Documents] = Field(alias="n-samples")
    config: _Config = _Config()
    lm_eval_version: str | None = Field(default=None, max_length=40)
    chat_template: str | None = None
    system_instruction: str | None = None

    @property
    def arguments(self) -> Mapping[str, JsonValue]:
        """The arguments that loaded the model; earlier versions write them as one text."""
        given = self.config.model_args or {}
        return dict(re.findall(r"([\w.]+)=([^,]*)", given)) if isinstance(given, str) else given

    @property
    def dtype(self) -> str:
        """The precision of the model, as it reports or as requested."""
        stated = (self.config.model_dtype, self.arguments.get("dtype"))
        names = [str(name).removeprefix("torch.") for name in stated if name]
        return next((name for name in names if name in DTYPES), UNKNOWN)

    @property
    def model(self) -> str | None:
        """The hub id of the model; None for a folder or without a name."""
        name = self.arguments.get("pretrained")
        if not isinstance(name, str) or "/" not in name or "\\" in name:
            return None
        try:
            return parse_model(name)
        except UserError:
            return None


def model_of(upload: Upload) -> str | None:
    """Return the hub id of the model that a results file names; None without one."""
    return _parse(upload).model


def read_harness(
    results: Upload,
    samples: Sequence[Upload],
    described: ImportedVariant,
    model_of: ModelOf,
    task_names: Mapping[str, str] | None = None,
) -> ImportPreview:
    """Return the variant of a results file and its given samples; all but its dtype comes from `described`.

    `task_names` maps task names in the files to the ids here. Tasks without a card here are left out and named.

    Raises `UserError` if no task remains, a file is not from `lm_eval`, or the samples do not match the numbers.
    """
    task_names = task_names or {}
    file = _renamed(_parse(results), task_names, results.shown)
    scored, left_out = _tasks(file, results.shown)
    answers = read_answers(samples, list(file.results), task_names)
    details = {"versions": {"lm_eval": file.lm_eval_version}} if file.lm_eval_version else {}
    variant = replace(described, dtype=file.dtype).variant(model_of, details)
    prompts = {name: sha256(text)[:8] for name in PROMPTS if (text := getattr(file, name))}
    rows, behind = [], []
    for card, parts in scored:
        found = _rows(file, card, parts, prompts, results.shown)
        rows += found
        if answer := answers.pop(card.id, None):
            _check_agree(answer, found)
            behind.append((variant.key, found[0], answer.frame))
    result = Result(variant=variant, footprint=None, measurements=tuple(rows))
    if answers:
        left_out += (f"Samples of {_named(answers)} are left out: their tasks are unknown here or incomplete.",)
    return ImportPreview((result,), tuple(behind), left_out)


def _parse(upload: Upload) -> _File:
    try:
        return _File.model_validate_json(upload.text)
    except ValidationError as error:
        raise UserError(f"{upload.shown} is not a results file of lm_eval 0.4.3 or newer: {fault(error)}.") from None


def _renamed(file: _File, task_names: Mapping[str, str], name: str) -> _File:
    """Return a results file with the task names used here.

    Raises `UserError` for a name that the file lacks, and for two tasks with one name.
    """
    for old, new in task_names.items():
        if old not in file.results:
            raise UserError(f"{name} has no task {echo(old)} to map to {new}; it has {_named(file.results)}.")
        if new in file.results or list(task_names.values()).count(new) > 1:
            raise UserError(f"{name} would have two tasks {new}; map {echo(old)} to another one.")

    def renamed(table: Mapping[str, Value]) -> dict[str, Value]:
        return {task_names.get(task, task): value for task, value in table.items()}

    parts = {part: renamed(getattr(file, part)) for part in ("results", "versions", "shots", "documents")}
    return file.model_copy(update=parts)


def _tasks(file: _File, name: str) -> tuple[list[tuple[TaskCard, list[str]]], tuple[str, ...]]:
    """Return the tasks that have a card with their parts, and a sentence on those that have none or are incomplete.

    The parts are the task itself, or the subjects of a group.
    """
    scored, other, sentences = [], [], []
    for task in file.results:
        card = TASKS.get(task)
        parts = [one for one in file.documents if one == task]
        if card and card.subjects > 1:
            parts = sorted(one for one in file.documents if one.startswith(f"{task}_"))
        if card and len(parts) == card.subjects:
            scored.append((card, parts))
        elif card:
            sentences.append(f"{card.label} is left out: {len(parts)} of its {card.subjects} parts were scored.")
        elif not any(one.subjects > 1 and task.startswith(f"{one.id}_") for one in TASKS.values()):
            other.append(task)
    if other:
        sentences.append(f"Tasks unknown here are left out: {_named(other)}.")
    if not scored:
        raise UserError(
            f"{name} has no task that is known here; known: {', '.join(TASKS)}. Map other names with "
            f"--task, such as --task {_named(other[:1]) or 'arc_easy_local'}=arc_easy."
        )
    return scored, tuple(sentences)


def _rows(
    file: _File, card: TaskCard, parts: Sequence[str], prompts: Mapping[str, str], name: str
) -> list[Measurement]:
    counts, limit = [file.documents[part] for part in parts], file.config.limit
    if limit is not None and limit < 1:  # a share of the documents
        first = counts[0].effective if len(parts) == 1 else None
    else:
        first = None if limit is None else int(limit)
    protocol = task_protocol(Task(task=card.id, limit=first), file.dtype)
    try:
        version = file.versions.get(parts[0])  # a number if it is one, as the harness has it in memory
        if isinstance(version, int | float) and not isinstance(version, bool):
            check_range("version", version)
            version = float(version)
        elif version is not None:
            version = str(version)[:40]
    except UserError as error:
        raise UserError(f"{name}, version of {card.id}: {error}") from None
    protocol |= {"fewshot": file.shots.get(parts[0]) or 0, "version": version, "source": "imported", **prompts}
    if any(min(first or count.original, count.original) != count.effective for count in counts):
        protocol |= {"documents": "chosen"}  # not the first ones
    numbers = file.results[card.id]
    rows = []
    for metric in METRICS:
        names = f"{metric},none", f"{metric}_stderr,none"
        value, stderr = (_none_unless_finite(numbers.get(score)) for score in names)
        if value is None:
            continue
        try:
            check_range(metric, value)
            if stderr is not None:
                check_range("stderr", stderr)
        except UserError as error:
            raise UserError(f"{name}, {metric} of {card.id}: {error}") from None
        row = Measurement(
            metric=metric,
            dataset=card.id,
            value=value,
            stderr=stderr,
            n=sum(count.effective for count in counts),
            protocol=protocol,
            origin="external",
        )
        rows.append(row)
    if not rows:
        raise UserError(f"{name} has no number of {card.id}; give unfiltered {', '.join(METRICS)}.")
    return rows


def _check_agree(answers: Answers, rows: Sequence[Measurement]) -> None:
    """Raise `UserError` if the numbers are not the means of the answers."""
    for row in rows:
        if row.metric not in answers.frame:
            raise UserError(f"{answers.file} lacks {row.metric}, which the results have.")
        found = summary(row.metric, answers.frame)
        value, n = found["value"], found["n"]
        if n != row.n or not math.isclose(value, row.value, rel_tol=1e-5, abs_tol=1e-9):
            raise UserError(
                f"{answers.file} has {row.metric} {value:.6g} over {n} documents, but the results have {row.value:.6g} "
                f"over {row.n}; give files of one run."
            )


def _named(names: Iterable[str]) -> str:
    """Return a list of names for a sentence, shortened to `NAMES` names."""
    listed = ["".join(sign if sign.isprintable() else "?" for sign in name)[:40] for name in names]
    more = f" and {len(listed) - NAMES} more" if len(listed) > NAMES else ""
    return ", ".join(listed[:NAMES]) + more
