"""What every kind of model source can do: find a model by its name, fetch its files, and open them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, TypeVar

from core.models.shape import Config
from core.models.source import ModelSource
from core.progress import Progress

Loaded = TypeVar("Loaded")


class SourceKind(ABC):
    """A kind of model source; `name` is the `kind` of its sources."""

    name: ClassVar[str]
    converted: ClassVar[bool] = False  # whether this project wrote the files itself

    @abstractmethod
    def find(self, model: str, revision: str | None = None) -> ModelSource | None:
        """Return the source of a name, or None if no source of this kind has it; download nothing.

        Only folders can share a name. A `revision` selects one of them, if a folder had it when it was read.
        """

    def find_all(self, name: str) -> list[ModelSource]:
        """Return the sources of a name that digits of a revision can follow."""
        source = self.find(name)
        return [source] if source else []

    @abstractmethod
    def fetch(self, source: ModelSource, progress: Progress) -> ModelSource:
        """Return a source with its files and its configuration; download absent files."""

    def open_model(
        self,
        source: ModelSource,
        load: Callable[[Path, Config], Loaded],
        reads: Callable[[str], bool],
        progress: Progress,
    ) -> Loaded:
        """Return `load(folder, configuration)` of a fetched model.

        Args:
            source: The model, which is fetched if necessary.
            load: Loads the model, or a part of it.
            reads: Whether `load` reads a file of this name.
            progress: Receives the progress of a download.
        """
        here = self.fetch(source, progress)
        return load(here.files, here.required_config)
