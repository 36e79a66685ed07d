"""Tasks with the prompts, choices and metrics of lm-evaluation-harness, and documents from local files.

A task id names one set of scored documents. If the sha256 of the fields that the harness reads differs from the
catalogue's, the id becomes `task@sha8`. Identification does not import the harness.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.cache.folders import cached_text
from core.data import files
from core.data.cards import TaskCard, card
from core.errors import UserError
from core.progress import Progress, silent
from core.specs import Frozen, canonical_json

if TYPE_CHECKING:
    from core.data.harness import LocalTask


class TaskSource(Frozen):
    """The id, source, chance accuracy and metric of a task."""

    id: str
    source: str  # where the documents come from, or would come from
    label: str
    chance: float
    metric: str


def identify_task(name: str) -> TaskSource:
    """Return the id and the source of a task.

    Nothing is fetched. A task whose documents are not on this machine gets the catalogue's id.
    """
    task = card(name)
    local = files.find(task.file)
    id, source = task.id, files.source_of(task.file)
    if local is not None:
        digest = cached_text(f"task {task.id}", [local.path], lambda: _digest(task, local))
        id = task.id if digest == task.sha256 else f"{task.id}@{digest[:8]}"
    return TaskSource(id=id, source=source, label=task.label, chance=task.chance, metric=task.metric)


def harness_tasks(names: Sequence[str], progress: Progress = silent, with_pool: bool = False) -> "dict[str, LocalTask]":
    """Return the harness' task objects by name, with their documents; only missing files need a network.

    A group (`mmlu`) becomes its subjects, each under its own name (`mmlu_anatomy`), as `parts` lists them. `with_pool`
    also loads the split of few-shot examples, if there is one.
    """
    from core.data import harness

    tasks: dict[str, LocalTask] = {}
    for name in names:
        task = card(name)
        local = files.get(task.file, progress)
        if "@" in name and (current := identify_task(name).id) != name:
            raise UserError(f"The documents of {name} are not on this machine, which has those of {current}.")
        pool = files.table(files.get(task.pool, progress).path) if with_pool and task.pool else None
        built = harness.build(task, files.table(local.path), pool)
        tasks |= built if len(built) > 1 else {name: built[task.id]}
    return tasks


def parts(name: str) -> tuple[str, ...]:
    """Return the names of a task in `harness_tasks`: its own, or those of the subjects of a group."""
    task = card(name)
    if task.yaml.endswith(".yaml"):
        return (name,)
    from core.data import harness

    return tuple(harness.subjects(task))


def _digest(task: TaskCard, file: files.DataFile) -> str:
    table = files.table(file.path)
    if absent := set(task.columns) - set(table.column_names):
        raise UserError(f"The data file {file.path} has no column {min(absent)!r}, which {task.id} needs.")
    digest = hashlib.sha256()
    for row in table.select(list(task.columns)).to_pylist():
        digest.update(f"{canonical_json(row)}\n".encode())
    return digest.hexdigest()
