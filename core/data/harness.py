"""Task objects of lm-evaluation-harness on local documents.

The harness' task index takes seconds to build, and its loader contacts the hub. This module reads single YAML
definitions of the harness instead, and replaces only the source of the documents.
"""

import logging
from pathlib import Path
from typing import Any

import datasets
import lm_eval
import pyarrow as pa
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml

from core.base.errors import UserError
from core.data.cards import TaskCard

Config = dict[str, Any]  # Any: YAML of the harness

datasets.disable_progress_bars()
_DEFINITIONS = Path(lm_eval.__file__).parent / "tasks"
# Entries for the registry, and for splits that are not scored.
_UNUSED = ("tag", "training_split", "validation_split", "fewshot_split", "should_decontaminate")


class LocalTask(ConfigurableTask):  # type: ignore[misc]  # the harness has no types
    """A task of the harness with only a given scored split and, optionally, a split of few-shot examples."""

    def __init__(self, card: TaskCard, config: Config, documents: datasets.Dataset, pool: datasets.Dataset | None):
        self.card = card
        config = {key: value for key, value in config.items() if key not in _UNUSED}
        # Processed once: the harness would repeat it at every access to the documents.
        process = config.pop("process_docs", None) or (lambda documents: documents)
        self._given = process(documents)
        self.pool = None if pool is None else process(pool)
        super().__init__(config={**config, "test_split": "given"})

    def download(self, dataset_kwargs: Config | None = None, **kwargs: Any) -> None:  # Any: as of the harness
        self.dataset = {"given": self._given}


def build(card: TaskCard, table: pa.Table, pool: pa.Table | None = None) -> dict[str, LocalTask]:
    """Return the task, or every subject of a group, by its name in the harness."""
    log = logging.getLogger("lm_eval.api.task")
    level = log.level
    log.setLevel(logging.ERROR)  # the harness warns about defaults that its own definitions need
    try:
        if card.yaml.endswith(".yaml"):
            return {card.id: LocalTask(card, load_yaml(_DEFINITIONS / card.yaml), _dataset(table), _dataset(pool))}
        built = {}
        for name, config in subjects(card).items():
            rows, drawn = _dataset(table, config), _dataset(pool, config)
            if not rows:
                raise UserError(f"{card.file} has no documents of {name}, so {card.id} is incomplete.")
            built[name] = LocalTask(card, config, rows, drawn)
        return built
    finally:
        log.setLevel(level)


def subjects(card: TaskCard) -> dict[str, Config]:
    """Return the configurations of a group's subjects by task name, in alphabetical order."""
    configs = (load_yaml(path) for path in sorted((_DEFINITIONS / card.yaml).glob(f"{card.id}_*.yaml")))
    return {config["task"]: config for config in configs}


def _dataset(table: pa.Table | None, subject: Config | None = None) -> datasets.Dataset | None:
    """Return a table, or its rows of a subject, in memory, without files in the cache of `datasets`."""
    if table is None:
        return None
    if subject:
        table = table.filter(pa.compute.equal(table["subject"], subject["dataset_name"]))
    return datasets.Dataset(datasets.table.InMemoryTable(table))
