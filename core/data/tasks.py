"""Tasks with the prompts, choices and metrics of lm-evaluation-harness, and documents from local files.

A task id names one set of scored documents. If the sha256 of the fields that the harness reads differs from the
catalogue's, the id becomes `task@sha8`. Identification does not import the harness.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from core.base.errors import UserError
from core.base.progress import Progress, silent
from core.cache.folders import cached_text
from core.data import files
from core.data.cards import TaskCard, card
from core.data.corpus import CorpusSource
from core.specs import ZERO_SHOT, Task, canonical_json

if TYPE_CHECKING:
    import pyarrow as pa

    from core.data.harness import LocalTask


@dataclass(frozen=True)
class OpenTask:
    """A task that was read: its identity and the harness' objects, by name; a group has its subjects."""

    source: CorpusSource
    parts: "dict[str, LocalTask]"


def identify_task(name: str) -> CorpusSource:
    """Return the id and the source of a task.

    Nothing is fetched. A task whose documents are not on this machine gets the catalogue's id.
    """
    task = card(name)
    local = files.find(task.file)
    if local is None:
        return CorpusSource(id=task.id, source=files.origin(task.file))
    return _identity(task, local, files.table)


def open_tasks(tasks: Iterable[Task], progress: Progress = silent) -> dict[Task, OpenTask]:
    """Read tasks, each file once, and fetch missing files; few-shot tasks with the split of their examples.

    Raises `UserError` if there is no such task, or other documents have its id on this machine.
    """
    read = cache(files.table)
    return {task: _open(task.task, progress, task.fewshot != ZERO_SHOT, read) for task in tasks}


def _open(name: str, progress: Progress, with_pool: bool, read: "Callable[[Path], pa.Table]") -> OpenTask:
    from core.data import harness

    task = card(name)
    local = files.get(task.file, progress)
    source = _identity(task, local, read)
    if "@" in name and source.id != name:
        raise UserError(f"The documents of {name} are not on this machine, which has those of {source.id}.")
    pool = read(files.get(task.pool, progress).path) if with_pool and task.pool else None
    built = harness.build(task, read(local.path), pool)
    return OpenTask(source, built if len(built) > 1 else {name: built[task.id]})


def harness_tasks(names: Sequence[str], with_pool: bool = False) -> "dict[str, LocalTask]":
    """Return the harness' task objects by name, with their documents; only missing files need a network.

    A group (`mmlu`) becomes its subjects, each under its own name (`mmlu_anatomy`). `with_pool`
    also loads the split of few-shot examples, if there is one.
    """
    return {part: task for name in names for part, task in _open(name, silent, with_pool, files.table).parts.items()}


def _identity(task: TaskCard, file: files.DataFile, read: "Callable[[Path], pa.Table]") -> CorpusSource:
    """Return the identity of a task on this machine; `read` reads its file if the digest of this file is not cached."""
    digest = cached_text(f"task {task.id}", [file.path], lambda: _digest(task, file.path, read(file.path)))
    return CorpusSource(id=task.id if digest == task.sha256 else f"{task.id}@{digest[:8]}", source=file.source)


def _digest(task: TaskCard, path: Path, table: "pa.Table") -> str:
    if absent := set(task.columns) - set(table.column_names):
        raise UserError(f"The data file {path} has no column {min(absent)!r}, which {task.id} needs.")
    digest = hashlib.sha256()
    for row in table.select(list(task.columns)).to_pylist():
        digest.update(f"{canonical_json(row)}\n".encode())
    return digest.hexdigest()
