"""The interface of a kind of model source, which finds a model by its name, fetches its files and opens them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, TypeVar

from core.base.progress import Progress
from core.models.shape import Config
from core.models.source import ModelSource

Loaded = TypeVar("Loaded")


class SourceKind(ABC):
    """A kind of model source; its `name` is the `kind` of a `ModelSource`."""

    name: ClassVar[str]
    converted: ClassVar[bool] = False  # whether this project wrote the files itself

    @abstractmethod
    def find(self, model: str, revision: str | None = None) -> ModelSource | None:
        """Return the source of a name as of `identify`, or None if no model of this kind has it; download nothing.

        The revision of an earlier look-up selects a folder, as several can share a name.
        """

    def find_all(self, name: str) -> list[ModelSource]:
        """Return the sources that `NAME@DIGITS` can mean, of all revisions; empty for an unknown name."""
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
        """Return `load(folder, configuration)` of a model, which is fetched if necessary.

        `reads` tells whether `load` reads a file of this name.
        """
        here = self.fetch(source, progress)
        return load(here.files, here.required_config)
