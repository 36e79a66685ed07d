"""The zero-shot tasks: prompts, choices and metrics are those of lm-evaluation-harness, the documents are local files.

A task id names one set of scored documents. Where the documents behind it are others than the catalogue's, by the
sha256 of what the harness reads of them, the id becomes `task@sha8`. Listing and identifying import no harness.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from core.cache.kept import fact
from core.data import files
from core.errors import UserError, unknown
from core.progress import Progress, silent
from core.specs import Frozen, canonical_json

if TYPE_CHECKING:
    from lm_eval.api.task import Task


class TaskCard(Frozen):
    id: str
    label: str
    licence: str
    file: str  # the scored split
    columns: tuple[str, ...]  # what the harness reads of a document
    yaml: str  # the harness' own definition, below lm_eval/tasks; a folder where the task is a group of subjects
    chance: float  # accuracy of guessing
    sha256: str  # of the documents
    metric: Literal["acc", "acc_norm"] = "acc"  # the one that papers report


_ARC = {"licence": "CC BY-SA 4.0", "columns": ("question", "choices", "answerKey"), "chance": 0.25}
_CARDS = (
    TaskCard(
        id="boolq",
        label="BoolQ",
        licence="CC BY-SA 3.0",
        file="tasks/boolq_validation.parquet",
        columns=("question", "passage", "label"),
        yaml="super_glue/boolq/default.yaml",
        chance=0.5,
        sha256="8b4e2455903036e07e5f880f4d41d25597a3c3b5160b1e1ee788bd44acf4d22e",
    ),
    TaskCard(
        id="piqa",
        label="PIQA",
        licence="AFL 3.0",
        file="tasks/piqa_validation.parquet",
        columns=("goal", "sol1", "sol2", "label"),
        yaml="piqa/piqa.yaml",
        chance=0.5,
        sha256="256cd78377a0090efcbc05662c15821c9b60f98a708bf48115d0d9af80c67313",
    ),
    TaskCard(
        id="hellaswag",
        label="HellaSwag",
        licence="MIT",
        file="tasks/hellaswag_validation.parquet",
        columns=("activity_label", "ctx_a", "ctx_b", "endings", "label"),
        yaml="hellaswag/hellaswag.yaml",
        chance=0.25,
        sha256="13e375078497cf7222ec529cccbf546b725445172446aac6585235f50e890fa5",
        metric="acc_norm",
    ),
    TaskCard(
        id="winogrande",
        label="WinoGrande",
        licence="CC BY",
        file="tasks/winogrande_xl_validation.parquet",
        columns=("sentence", "option1", "option2", "answer"),
        yaml="winogrande/default.yaml",
        chance=0.5,
        sha256="8e8671d6097f314f4ddc6c9734e382810926a1e0c3e76664715786d25b4a78d4",
    ),
    TaskCard(
        id="arc_easy",
        label="ARC-e",
        file="tasks/arc_easy_test.parquet",
        yaml="arc/arc_easy.yaml",
        sha256="b142620da6eec7e1105226cbad5e3f34cbd9ccc65e05ea9f138c0da9a117ef0d",
        **_ARC,
    ),
    TaskCard(
        id="arc_challenge",
        label="ARC-c",
        file="tasks/arc_challenge_test.parquet",
        yaml="arc/arc_challenge.yaml",
        sha256="782446d5f137ad1f2ec35ed1e64990905691157f6f9ecd15260b26a4049021c3",
        metric="acc_norm",
        **_ARC,
    ),
    TaskCard(
        id="openbookqa",
        label="OBQA",
        licence="Apache-2.0",
        file="tasks/openbookqa_test.parquet",
        columns=("question_stem", "choices", "answerKey"),
        yaml="openbookqa/openbookqa.yaml",
        chance=0.25,
        sha256="d558cc5b6cf7d453dfd6f82ac13fd9fc4c1285ded7956340fd5637669ced4795",
        metric="acc_norm",
    ),
    TaskCard(
        id="lambada_openai",
        label="LAMBADA",
        licence="modified MIT",
        file="tasks/lambada_openai_test.parquet",
        columns=("text",),
        yaml="lambada/lambada_openai.yaml",
        chance=0.0,
        sha256="05ae9755847286957976eca1a513750eeb542019e97af8837baa488483398d78",
    ),
    TaskCard(
        id="rte",
        label="RTE",
        licence="none stated (GLUE)",
        file="tasks/rte_validation.parquet",
        columns=("sentence1", "sentence2", "label"),
        yaml="glue/rte/default.yaml",
        chance=0.5,
        sha256="b27b946e07c30c4f6325466dbf189289c001a7acc2e0b017a5ec390e8a83614d",
    ),
    TaskCard(
        id="mmlu",
        label="MMLU",
        licence="MIT",
        file="tasks/mmlu_all_test.parquet",
        columns=("question", "subject", "choices", "answer"),
        yaml="mmlu/default",
        chance=0.25,
        sha256="c808c0f63ddd07ec0f68739ffce3cdded3a92c50076cb9f0d9533b2bcee39ce1",
    ),
)
TASKS: dict[str, TaskCard] = {card.id: card for card in _CARDS}
SEVEN = ("boolq", "piqa", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa")


class TaskSource(Frozen):
    id: str
    source: str  # where the documents come from, or would come from
    label: str
    chance: float
    metric: str


def card(name: str) -> TaskCard:
    """Return the catalogue's entry for a task id, with or without `@sha8`."""
    found = TASKS.get(re.sub(r"@[0-9a-f]{8}$", "", name))
    if found is None:
        raise unknown("task", name, TASKS)
    return found


def identify_task(name: str) -> TaskSource:
    """Return the id and the source of a task.

    Fetches nothing: documents that are not on this machine are taken to be the catalogue's until they are here.
    """
    task = card(name)
    found = files.find(task.file)
    id, source = task.id, files.source_of(task.file)
    if found is not None:
        digest = fact(f"task {task.id}", [found.path], lambda: _digest(task, found))
        id = task.id if digest == task.sha256 else f"{task.id}@{digest[:8]}"
    return TaskSource(id=id, source=source, label=task.label, chance=task.chance, metric=task.metric)


def harness_tasks(names: Sequence[str], progress: Progress = silent) -> "dict[str, Task]":
    """Return the harness' task objects by name, documents loaded, with no call to the network once files are here.

    A group (`mmlu`) gives its subjects, each under its own name (`mmlu_anatomy`); `parts` says which.
    """
    from core.data import harness

    tasks = {}
    for name in names:
        task = card(name)
        found = files.get(task.file, progress)
        if "@" in name and (here := identify_task(name).id) != name:
            raise UserError(f"The documents of {name} are not on this machine; there are those of {here}.")
        built = harness.build(task, files.table(found.path))
        tasks |= built if len(built) > 1 else {name: built[task.id]}
    return tasks


def parts(name: str) -> tuple[str, ...]:
    """Return the names under which `harness_tasks` gives a task: itself, or the subjects of a group."""
    task = card(name)
    if task.yaml.endswith(".yaml"):
        return (name,)
    from core.data import harness

    return tuple(harness.subjects(task))


def _digest(task: TaskCard, found: files.Found) -> str:
    table = files.table(found.path)
    if absent := set(task.columns) - set(table.column_names):
        raise UserError(f"The data file {found.path} has no column {min(absent)!r}, which {task.id} needs.")
    digest = hashlib.sha256()
    for row in table.select(list(task.columns)).to_pylist():
        digest.update(f"{canonical_json(row)}\n".encode())
    return digest.hexdigest()
