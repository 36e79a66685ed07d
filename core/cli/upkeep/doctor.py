"""A report on this machine: packages, hardware, network, and the source of each model, corpus and task."""

import importlib.metadata
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from core import metrics, registry
from core.base.errors import UserError
from core.base.paths import cache_dir, data_dir, local_results_dir, unwritable
from core.cache import hub
from core.data import corpora, embedded, files
from core.data.cards import TASKS
from core.data.corpora import default_corpora, identify_corpus
from core.data.corpus import CorpusSource
from core.data.tasks import identify_task
from core.data.texts import CORPORA
from core.models.catalogue import BY_ID
from core.models.sources import identify
from core.request.stages import DEFAULT_MODEL
from core.shipping import formats
from core.shipping.formats import FORMATS
from core.shipping.proof import HOW

PACKAGES = ("torch", "transformers", "datasets", "lm_eval", "streamlit", "plotly", "matplotlib", "sqlalchemy")
OPTIONAL = [package for form in FORMATS for package in form.runtime.packages if package not in PACKAGES]


class Check(NamedTuple):
    """A row of the report."""

    group: str
    name: str
    ok: bool
    detail: str


def report() -> list[Check]:
    """Return every check in display order; download nothing."""
    return [*_installed(), *_plug_ins(), *_machine(), *_reachable(), *_models(), *_texts(), *_tasks()]


def _installed() -> Iterator[Check]:
    yield Check("installed", "python", True, sys.version.split()[0])
    absent = f"not installed, so it cannot check exports: {HOW}"
    yield from (_package("installed", name, "missing: pip install . in a checkout of Slimscope") for name in PACKAGES)
    yield from (_package("optional", name, absent) for name in OPTIONAL)


def _package(group: str, name: str, absent: str) -> Check:
    try:
        return Check(group, name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(group, name, False, absent)


def _plug_ins() -> Iterator[Check]:
    for name, method in registry.PLUG_INS.usable.items():
        yield Check("plug-in", name, True, f"{method.label}, from {method.__module__}")
    for name, form in formats.PLUG_INS.usable.items():
        yield Check("plug-in", name, True, f"{form.label}, from {type(form).__module__}")
    for name, path in corpora.PLUG_INS.usable.items():
        yield Check("plug-in", name, True, f"a text, {path}")
    for name, metric in metrics.PLUG_INS.usable.items():
        yield Check("plug-in", name, True, f"a metric, {metric.title}")
    for plug_ins in (registry.PLUG_INS, formats.PLUG_INS, corpora.PLUG_INS, metrics.PLUG_INS):
        for sentence in plug_ins.left_out:
            yield Check("plug-in", "", False, sentence)


def _machine() -> Iterator[Check]:
    import psutil
    import torch

    cores, memory = psutil.cpu_count(logical=False) or psutil.cpu_count(), psutil.virtual_memory()
    yield Check("machine", "cores", True, f"{cores}")
    detail = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free"
    yield Check("machine", "memory", memory.available > 4e9, detail)
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield Check("machine", "GPU", bool(gpus), ", ".join(gpus) or "none: everything runs on the CPU")
    for name, folder in (("cache", cache_dir()), ("results", local_results_dir())):
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(there).free
        yield Check("machine", name, free > 2e9, f"{folder}, {free / 1e9:.1f} GB free")
    problem = unwritable(local_results_dir())
    yield Check("machine", "queue", problem is None, problem or "jobs can start")


def _reachable() -> Iterator[Check]:
    hub_answers = hub.online()
    detail = "answers" if hub_answers else "does not answer: only cached models and data sets of the hub can be used"
    yield Check("reachable", "Hugging Face Hub", hub_answers, detail)
    command = [sys.executable, "-m", "pip", "index", "versions", embedded.WHEEL.name]
    command += ["--timeout", "5", "--retries", "0", "--disable-pip-version-check"]
    index_answers = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0
    detail = "answers" if index_answers else "does not answer: the default model and data must be on this machine"
    yield Check("reachable", "Python package index", index_answers, detail)


def _models() -> Iterator[Check]:
    for card in BY_ID.values():
        if card.packed:
            here = identify(card.id).folder is not None
            wanted = "" if card.id == DEFAULT_MODEL else f" {card.id}"
            terms = f", which asks you to agree to the {card.terms.name}" if card.terms else ""
            detail = f"{card.label}, {'here' if here else f'not here yet: slimscope fetch{wanted}{terms}'}"
            yield Check("model", card.id, here, detail)
        if card.hub_id and (commit := hub.cached_revision(card.hub_id)):
            yield Check("model", card.id, True, f"{card.hub_id} at {commit[:12]}, cached")


def _texts() -> Iterator[Check]:
    folder = data_dir()
    detail = str(folder) if folder else "not set"
    yield Check("corpus", "SLIMSCOPE_DATA", folder is None or folder.is_dir(), detail)
    for corpus in CORPORA:
        yield _data("corpus", corpus.id, corpus.file, identify_corpus)
    yield Check("corpus", "default", True, "measure on {}, calibrate on {}".format(*default_corpora()))


def _tasks() -> Iterator[Check]:
    for task in TASKS.values():
        yield _data("task", task.id, task.file, identify_task)


def _data(group: str, name: str, file: str, identify: Callable[[str], CorpusSource]) -> Check:
    here = files.find(file) is not None
    try:
        found = identify(name)
    except UserError as error:
        return Check(group, name, False, str(error))
    detail = f"from {found.source}" if here else f"would come from {found.source}"
    if found.id != name:
        detail += f"; its text differs from the catalogue's, so its id is {found.id}"
    return Check(group, name, here, detail)
