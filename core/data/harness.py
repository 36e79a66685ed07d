"""Task objects of lm-evaluation-harness on local documents.

The harness' index of all its tasks takes seconds to build and its loader asks the hub; so its own YAML definitions are
read one by one, and only where the documents come from is replaced.
"""

import logging
from pathlib import Path
from typing import Any

import datasets
import lm_eval
import pyarrow as pa
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml

from core.data.cards import TaskCard
from core.errors import UserError

datasets.disable_progress_bars()
_DEFINITIONS = Path(lm_eval.__file__).parent / "tasks"
# Of the registry, and what zero-shot scoring of one split does not use.
_UNUSED = ("tag", "training_split", "validation_split", "fewshot_split", "should_decontaminate")


class LocalTask(ConfigurableTask):
    """A task of the harness whose scored split is given, and perhaps one for demonstrations; no other ones exist."""

    def __init__(self, config: dict[str, Any], documents: datasets.Dataset, pool: datasets.Dataset | None = None):
        config = {key: value for key, value in config.items() if key not in _UNUSED}
        # Here once: the harness would do it again at every look at the documents.
        process = config.pop("process_docs", None) or (lambda documents: documents)
        self._given = process(documents)
        self.pool = None if pool is None else process(pool)
        super().__init__(config={**config, "test_split": "given"})

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        self.dataset = {"given": self._given}


def build(card: TaskCard, table: pa.Table, pool: pa.Table | None = None) -> dict[str, LocalTask]:
    """Return the task, or every subject of a group, by the harness' own name."""
    log = logging.getLogger("lm_eval.api.task")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns of defaults that its own definitions rely on
    try:
        if card.yaml.endswith(".yaml"):
            drawn = None if pool is None else _dataset(pool)
            return {card.id: LocalTask(load_yaml(_DEFINITIONS / card.yaml), _dataset(table), drawn)}
        built = {}
        for name, config in subjects(card).items():
            rows = _of_subject(table, config)
            if not rows.num_rows:
                raise UserError(f"{card.file} has no documents of {name}, so {card.id} is not whole.")
            drawn = None if pool is None else _dataset(_of_subject(pool, config))
            built[name] = LocalTask(config, _dataset(rows), drawn)
        return built
    finally:
        log.setLevel(level)


def subjects(card: TaskCard) -> dict[str, dict[str, Any]]:
    """Return the configurations of a group's subjects by task name, in alphabetical order."""
    found = (load_yaml(path) for path in sorted((_DEFINITIONS / card.yaml).glob(f"{card.id}_*.yaml")))
    return {config["task"]: config for config in found}


def _of_subject(table: pa.Table, config: dict[str, Any]) -> pa.Table:
    return table.filter(pa.compute.equal(table["subject"], config["dataset_name"]))


def _dataset(table: pa.Table) -> datasets.Dataset:
    """Return the table as an in-memory data set, which writes nothing to the cache of `datasets`."""
    return datasets.Dataset(datasets.table.InMemoryTable(table))
