"""Models in local folders: named by a path, or by the name under which a folder was read before."""

import hashlib
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from core.base.errors import UserError
from core.base.paths import cache_dir, typed_path
from core.base.progress import Progress
from core.cache.folders import cached_text, read_small, write_small
from core.models.catalogue import BY_ID
from core.models.folders import check_files, read_config, weight_files
from core.models.kinds.base import SourceKind
from core.models.names import is_hub_id, short_revision
from core.models.shape import Config
from core.models.source import ModelSource

# Prefixes of the files, besides configuration and weights, that affect tokens, answers or training.
READ = ("tokenizer", "vocab", "merges", "added_tokens", "special_tokens", "generation_config", "constraints")
BETWEEN = b"\0"  # separator of paths, which cannot contain it
WHOLE_REVISION = re.compile("@sha256:[0-9a-f]{12}$")  # of a folder, after its name


def folder_sources(folders: Sequence[Path], name: str) -> list[ModelSource]:
    """Return the sources, under one name, of those folders that still contain a model."""
    found = []
    for folder in folders:
        with suppress(UserError):
            found.append(folder_source(folder, name))
    return found


def folder_source(folder: Path, name: str | None = None) -> ModelSource:
    """Return the source of the model in a folder; the default name is the last part of the path."""
    revision, config = read_folder(folder)
    # A catalogue id always names the catalogue's model.
    id = name or (f"{folder.name}-folder" if folder.name in BY_ID else folder.name)
    return ModelSource(id=id, revision=revision, kind="folder", folder=folder, config=config)


def read_folder(folder: Path) -> tuple[str, Config]:
    """Return the revision of a model, a digest of its files, and its configuration; raise `UserError` if files lack."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise UserError(f"The path {str(folder)!r} is not UTF-8, which tokenizers need; rename it.") from None
    config = read_config(folder, folder.name)
    files = weight_files(folder)
    if not files:
        raise UserError(f"{folder} has no complete set of weights (model*.safetensors or pytorch_model*.bin).")
    others = [path for path in sorted(folder.iterdir()) if path.name.startswith(READ)]
    files = [folder / "config.json", *others, *files]
    try:
        digest = cached_text("model", files, lambda: _digest(files))
    except OSError as error:
        raise UserError(f"{error.filename or folder} cannot be read: {error.strerror}.") from None
    return f"sha256:{digest[:12]}", config


def only_source(name: str, folders: Sequence[Path]) -> ModelSource:
    """Return the source of the one model in the folders of a name; raise `UserError` with the paths of several."""
    found = {source.revision: source for source in folder_sources(folders, name)}
    if len(found) > 1:
        paths = " or ".join(f"{one.folder} ({name}@{short_revision(one.revision)})" for one in found.values())
        raise UserError(f"{name} is ambiguous: {paths}; give the path, or the name with its revision.")
    return next(iter(found.values()), None) or folder_source(folders[-1], name)  # raises the reason


def _digest(files: list[Path]) -> str:
    """Return one sha256 digest of the files' contents."""
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def remember(source: ModelSource) -> None:
    """Store the path of a folder under the id of its model, with and without the revision, besides other folders."""
    if source.kind != "folder":
        return
    path = str(source.files).encode()
    for name in (source.id, f"{source.id}@{source.revision}"):
        known = (read_small(_file(name)) or b"").split(BETWEEN)
        if path not in known:
            write_small(_file(name), BETWEEN.join([*filter(None, known), path]))


def remembered(name: str) -> list[Path]:
    """Return the existing folders from which models of this name were read, oldest first."""
    known = (read_small(_file(name)) or b"").split(BETWEEN)
    return [Path(path.decode()) for path in known if path and os.path.isdir(path)]


def _file(name: str) -> Path:
    return cache_dir() / "folders" / hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()


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
