"""The inputs of a run, each resolved once and shared by the variant and its dense baseline."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.base.errors import UserError
from core.base.progress import Progress, silent
from core.cache.disk import FileStamps
from core.cache.shelf import Shelf
from core.data.corpus import CorpusSource
from core.data.tasks import open_tasks
from core.data.windows import Texts, calibration_windows, evaluation_windows
from core.models.folders import weight_files
from core.models.parts.blocks import execution_device
from core.models.source import ModelSource
from core.models.sources import fetch_model, identify_again, load_model, load_tokenizer
from core.request.complete import check_save_folder
from core.shipping.base import Format
from core.shipping.formats import requested_format
from core.specs import Perplexity, RunSpec


class ScoredText(NamedTuple):
    """The windows of a perplexity, (N, L), and the corpus that they are from."""

    windows: Tensor
    corpus: CorpusSource


class ExportTarget(NamedTuple):
    """The source of the dense model, and the folder, the format and its type in which a run saves its variant."""

    source: ModelSource
    folder: Path
    form: Format
    kind: str


class Session:
    """The dense model of a run with its tokenizer, the device, and the texts."""

    def __init__(self, parts: Sequence[RunSpec], progress: Progress = silent):
        """Resolve the model of a run, and read all texts that its numbers need, so that it fails at once if one lacks.

        The parts of the run are of one model and one device. Raises `UserError` if the model here is not the revision
        that the run names or cannot be read, a text is too short or missing, or the device is missing.
        """
        wanted = parts[0].variant
        found = identify_again(wanted.model, wanted.revision)
        if found.revision != wanted.revision:
            raise UserError(
                f"Model {found.id} is now at revision {found.revision}, not {wanted.revision}; start the run again."
            )
        self.export = _export_target(parts[0], found)
        self.source = fetch_model(found, progress)  # with its files on this machine
        self.weights = FileStamps(weight_files(self.source.files))
        self.memory: int | None = None  # bytes that the current part of the run may take
        self.shelf: Shelf | None = None  # of compressed blocks while the current part streams its model
        self.device = execution_device(parts[0].device)
        self.tokenizer = load_tokenizer(self.source, progress)
        self.tasks = open_tasks(dict.fromkeys(task for part in parts for task in part.tasks), progress)
        for task, read in self.tasks.items():
            if read.source.id != task.task:
                raise UserError(
                    f"The documents of {task.task} on this machine differ from the catalogue's; use their id, "
                    f"{read.source.id}, instead."
                )
        self.texts = Texts()
        self.scored: dict[Perplexity, ScoredText] = {}
        for text in dict.fromkeys(text for part in parts for text in part.perplexity):
            corpus = self.texts.corpus(text.corpus)
            windows = evaluation_windows(corpus, self.tokenizer, text.window, text.windows, text.spread)
            self.scored[text] = ScoredText(windows, corpus.identity)
        self.scanned: Tensor | None = None  # sequences of the sensitivity scan, (N, L)
        if scan := parts[0].scan:
            self.scanned = calibration_windows(self.texts.data(scan.text), self.tokenizer, scan.seed)

    def load_model(
        self, dtype: str, device: torch.device | str = "cpu", progress: Progress = silent, mapped: bool = False
    ) -> PreTrainedModel:
        """Return the dense model as of `core.models.sources.load_model`; raise `UserError` if its files changed."""
        model = load_model(self.source, dtype, device, progress, mapped)
        self.weights.check()
        return model


def _export_target(spec: RunSpec, source: ModelSource) -> ExportTarget | None:
    """Return where and how a run saves its variant; a `UserError` if it cannot be saved there or so."""
    if spec.save is None:
        return None
    folder = Path(spec.save)
    check_save_folder(folder)
    form, kind = requested_format(spec)
    form.check(spec.variant, source)
    return ExportTarget(source, folder, form, kind)
