"""The zero-shot tasks: prompts, choices and metrics are those of lm-evaluation-harness, the documents are local files.

A task id names one set of scored documents. Where the documents behind it are others than the catalogue's, by the
sha256 of what the harness reads of them, the id becomes `task@sha8`. Listing and identifying import no harness.
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
    id: str
    source: str  # where the documents come from, or would come from
    label: str
    chance: float
    metric: str


def identify_task(name: str) -> TaskSource:
    """Return the id and the source of a task.

    Fetches nothing: documents that are not on this machine are taken to be the catalogue's until they are here.
    """
    task = card(name)
    found = files.find(task.file)
    id, source = task.id, files.source_of(task.file)
    if found is not None:
        digest = cached_text(f"task {task.id}", [found.path], lambda: _digest(task, found))
        id = task.id if digest == task.sha256 else f"{task.id}@{digest[:8]}"
    return TaskSource(id=id, source=source, label=task.label, chance=task.chance, metric=task.metric)


def harness_tasks(names: Sequence[str], progress: Progress = silent, with_pool: bool = False) -> "dict[str, LocalTask]":
    """Return the harness' task objects by name, documents loaded, with no call to the network once files are here.

    A group (`mmlu`) gives its subjects, each under its own name (`mmlu_anatomy`); `parts` says which. `with_pool` loads
    the split that demonstrations are of, too, where there is one.
    """
    from core.data import harness

    tasks: dict[str, LocalTask] = {}
    for name in names:
        task = card(name)
        found = files.get(task.file, progress)
        if "@" in name and (here := identify_task(name).id) != name:
            raise UserError(f"The documents of {name} are not on this machine; there are those of {here}.")
        pool = files.table(files.get(task.pool, progress).path) if with_pool and task.pool else None
        built = harness.build(task, files.table(found.path), pool)
        tasks |= built if len(built) > 1 else {name: built[task.id]}
    return tasks


def parts(name: str) -> tuple[str, ...]:
    """Return the names under which `harness_tasks` gives a task: itself, or the subjects of a group."""
    task = card(name)
    if task.yaml.endswith(".yaml"):
        return (name,)
    from core.data import harness

    return tuple(harness.subjects(task))


def _digest(task: TaskCard, found: files.DataFile) -> str:
    table = files.table(found.path)
    if absent := set(task.columns) - set(table.column_names):
        raise UserError(f"The data file {found.path} has no column {min(absent)!r}, which {task.id} needs.")
    digest = hashlib.sha256()
    for row in table.select(list(task.columns)).to_pylist():
        digest.update(f"{canonical_json(row)}\n".encode())
    return digest.hexdigest()
