"""Models in local folders: named by a path, or by the name under which a folder was read before."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from core.base.paths import typed_path
from core.base.progress import Progress
from core.models.catalogue import BY_ID
from core.models.folders import check_files
from core.models.kinds.base import SourceKind
from core.models.kinds.folder_sources import folder_source, folder_sources, only_source, remembered
from core.models.names import is_hub_id
from core.models.source import ModelSource

WHOLE_REVISION = re.compile("@sha256:[0-9a-f]{12}$")  # of a folder, after its name


class FolderKind(SourceKind):
    """Models in local folders."""

    name = "folder"

    def find(self, model: str, revision: str | None = None) -> ModelSource | None:
        if revision and (found := folder_sources(remembered(f"{model}@{revision}"), model)):
            return next((source for source in found if source.revision == revision), found[-1])
        known = remembered(model)
        if folder := _path_of(model, known):
            return folder_source(folder)
        return only_source(model, known) if known and not WHOLE_REVISION.search(model) else None

    def find_all(self, name: str) -> list[ModelSource]:
        named = folder_sources(remembered(name), name)
        # A revision follows no path, except one that could also be the id of a hub model.
        return named or (super().find_all(name) if is_hub_id(name) else [])

    def fetch(self, source: ModelSource, progress: Progress) -> ModelSource:
        check_files(source.files)
        return source


def named_folder(model: str) -> Path | None:
    """Return the folder that a model's name is the path of; None if there is none.

    A catalogue id is never a path. The name of a folder that was read before is a path only if it leads to a
    `config.json`.
    """
    return _path_of(model, remembered(model))


def _path_of(model: str, known: Sequence[Path]) -> Path | None:
    """Return the folder that a model's name is the path of, if the folders `known` were read under this name."""
    path = typed_path(model)
    if not model or model in BY_ID or not os.path.isdir(path):
        return None
    return None if known and not os.path.isfile(path / "config.json") else path.resolve()
