"""A report on this machine: packages, hardware, network, and the source of each model, corpus and task."""

import importlib.metadata
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

from core import metrics, registry
from core.base.errors import UserError
from core.base.paths import cache_dir, data_dir, local_results_dir, unwritable
from core.cache import hub
from core.data import corpora, embedded, files
from core.data.cards import TASKS
from core.data.corpora import default_corpora, identify_corpus
from core.data.corpus import CorpusSource
from core.data.tasks import TaskSource, identify_task
from core.data.texts import CORPORA
from core.models.catalogue import BY_ID
from core.models.sources import identify
from core.request.stages import DEFAULT_MODEL
from core.shipping import formats
from core.shipping.formats import FORMATS
from core.shipping.proof import HOW
from core.specs import Frozen

PACKAGES = ("torch", "transformers", "datasets", "lm_eval", "streamlit", "plotly", "matplotlib", "sqlalchemy")
OPTIONAL = [package for form in FORMATS for package in form.runtime.packages if package not in PACKAGES]


class Check(Frozen):
    """A row of the report."""

    group: str
    name: str
    ok: bool
    detail: str


def report() -> list[Check]:
    """Return every check in display order; download nothing."""
    return [*_installed(), *_plug_ins(), *_machine(), *_reachable(), *_models(), *_texts(), *_tasks()]


def _installed() -> Iterator[Check]:
    yield Check(group="installed", name="python", ok=True, detail=sys.version.split()[0])
    for package in PACKAGES:
        try:
            yield Check(group="installed", name=package, ok=True, detail=importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Check(
                group="installed", name=package, ok=False, detail="missing: pip install . in a checkout of Slimscope"
            )
    for package in OPTIONAL:
        try:
            yield Check(group="optional", name=package, ok=True, detail=importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            detail = f"not installed, so it cannot check exports: {HOW}"
            yield Check(group="optional", name=package, ok=False, detail=detail)


def _plug_ins() -> Iterator[Check]:
    for name, method in registry.PLUG_INS.usable.items():
        yield Check(group="plug-in", name=name, ok=True, detail=f"{method.label}, from {method.__module__}")
    for name, form in formats.PLUG_INS.usable.items():
        yield Check(group="plug-in", name=name, ok=True, detail=f"{form.label}, from {type(form).__module__}")
    for name, path in corpora.PLUG_INS.usable.items():
        yield Check(group="plug-in", name=name, ok=True, detail=f"a text, {path}")
    for name, metric in metrics.PLUG_INS.usable.items():
        yield Check(group="plug-in", name=name, ok=True, detail=f"a metric, {metric.title}")
    for plug_ins in (registry.PLUG_INS, formats.PLUG_INS, corpora.PLUG_INS, metrics.PLUG_INS):
        for sentence in plug_ins.left_out:
            yield Check(group="plug-in", name="", ok=False, detail=sentence)


def _machine() -> Iterator[Check]:
    import psutil
    import torch

    cores, memory = psutil.cpu_count(logical=False) or psutil.cpu_count(), psutil.virtual_memory()
    yield Check(group="machine", name="cores", ok=True, detail=f"{cores}")
    detail = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free"
    yield Check(group="machine", name="memory", ok=memory.available > 4e9, detail=detail)
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield Check(
        group="machine", name="GPU", ok=bool(gpus), detail=", ".join(gpus) or "none: everything runs on the CPU"
    )
    for name, folder in (("cache", cache_dir()), ("results", local_results_dir())):
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(there).free
        yield Check(group="machine", name=name, ok=free > 2e9, detail=f"{folder}, {free / 1e9:.1f} GB free")
    problem = unwritable(local_results_dir())
    yield Check(group="machine", name="queue", ok=problem is None, detail=problem or "jobs can start")


def _reachable() -> Iterator[Check]:
    hub_answers = hub.online()
    detail = "answers" if hub_answers else "does not answer: only cached models and data sets of the hub can be used"
    yield Check(group="reachable", name="Hugging Face Hub", ok=hub_answers, detail=detail)
    command = [sys.executable, "-m", "pip", "index", "versions", embedded.WHEEL.name]
    command += ["--timeout", "5", "--retries", "0", "--disable-pip-version-check"]
    index_answers = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0
    detail = "answers" if index_answers else "does not answer: the default model and data must be on this machine"
    yield Check(group="reachable", name="Python package index", ok=index_answers, detail=detail)


def _models() -> Iterator[Check]:
    for card in BY_ID.values():
        if card.packed:
            here = identify(card.id).folder is not None
            wanted = "" if card.id == DEFAULT_MODEL else f" {card.id}"
            terms = f", which asks you to agree to the {card.terms.name}" if card.terms else ""
            detail = f"{card.label}, {'here' if here else f'not here yet: slimscope fetch{wanted}{terms}'}"
            yield Check(group="model", name=card.id, ok=here, detail=detail)
        if card.hub_id and (commit := hub.cached_revision(card.hub_id)):
            yield Check(group="model", name=card.id, ok=True, detail=f"{card.hub_id} at {commit[:12]}, cached")


def _texts() -> Iterator[Check]:
    folder = data_dir()
    detail = str(folder) if folder else "not set"
    yield Check(group="corpus", name="SLIMSCOPE_DATA", ok=folder is None or folder.is_dir(), detail=detail)
    for corpus in CORPORA:
        yield _data("corpus", corpus.id, corpus.file, identify_corpus)
    yield Check(
        group="corpus", name="default", ok=True, detail="measure on {}, calibrate on {}".format(*default_corpora())
    )


def _tasks() -> Iterator[Check]:
    for task in TASKS.values():
        yield _data("task", task.id, task.file, identify_task)


def _data(group: str, name: str, file: str, identify: Callable[[str], CorpusSource | TaskSource]) -> Check:
    here = files.find(file) is not None
    try:
        found = identify(name)
    except UserError as error:
        return Check(group=group, name=name, ok=False, detail=str(error))
    detail = f"from {found.source}" if here else f"would come from {found.source}"
    if found.id != name:
        detail += f"; its text differs from the catalogue's, so its id is {found.id}"
    return Check(group=group, name=name, ok=here, detail=detail)
