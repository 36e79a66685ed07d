"""Models in local folders: their revision, and the names under which they were read.

A stored run has no path. The id and revision of its model identify the folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from core.base.errors import UserError
from core.base.paths import cache_dir
from core.cache.folders import cached_text, read_small, write_small
from core.models.catalogue import BY_ID
from core.models.folders import read_config, weight_files
from core.models.names import short_revision
from core.models.shape import Config
from core.models.source import ModelSource

# Prefixes of the files, besides configuration and weights, that affect tokens, answers or training.
READ = ("tokenizer", "vocab", "merges", "added_tokens", "special_tokens", "generation_config", "constraints")
BETWEEN = b"\0"  # separator of paths, which cannot contain it


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
    """Return the revision of a model, a digest of its files, and its configuration.

    Raises:
        UserError: Files are missing or unreadable.
    """
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
