"""Models in folders of this machine: their revision, and the names that they were read by.

A stored run has no path, only its model's id and revision, by which the folder is found again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from core.cache.folders import cached_text, read_small, write_small
from core.errors import UserError
from core.models.catalogue import BY_ID
from core.models.folders import check_config, weight_files
from core.models.names import short_revision
from core.models.source import ModelSource
from core.paths import cache_dir

# How the files begin that decide, beside configuration and weights, how a model reads, answers and is trained.
READ = ("tokenizer", "vocab", "merges", "added_tokens", "special_tokens", "generation_config", "constraints")
BETWEEN = b"\0"  # paths, none of which has it


def folder_sources(folders: Sequence[Path], name: str) -> list[ModelSource]:
    """Return the sources, under a name, of those of the folders that still hold a model."""
    found = []
    for folder in folders:
        with suppress(UserError):
            found.append(folder_source(folder, name))
    return found


def folder_source(folder: Path, name: str | None = None) -> ModelSource:
    """Return the source of the model in a folder, by default named by its last part, and remember it by that name."""
    revision = folder_revision(folder)
    # A catalogue id always means the catalogue's model.
    id = name or (f"{folder.name}-folder" if folder.name in BY_ID else folder.name)
    for known in (id, f"{id}@{revision}"):
        remember_folder(known, folder)
    return ModelSource(id=id, revision=revision, kind="folder", folder=folder)


def folder_revision(folder: Path) -> str:
    """Return what tells the content of a model's files; a `UserError` where they are not all there."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise UserError(f"The path {str(folder)!r} is no UTF-8 text, which tokenizers need; rename it.") from None
    check_config(folder, folder.name)
    files = weight_files(folder)
    if not files:
        raise UserError(f"{folder} has no complete set of weights (model*.safetensors, or pytorch_model*.bin).")
    others = [path for path in sorted(folder.iterdir()) if path.name.startswith(READ)]
    files = [folder / "config.json", *others, *files]
    try:
        digest = cached_text("model", files, lambda: _digest(files))
    except OSError as error:
        raise UserError(f"{error.filename or folder} cannot be read: {error.strerror}.") from None
    return f"sha256:{digest[:12]}"


def only_source(name: str) -> ModelSource:
    """Return the source of the one model that folders of this name hold; a `UserError` gives the paths of several."""
    folders = remembered(name)
    found = {source.revision: source for source in folder_sources(folders, name)}
    if len(found) > 1:
        paths = " or ".join(f"{one.folder} ({name}@{short_revision(one.revision)})" for one in found.values())
        raise UserError(f"{name} may be {paths}; give the path, or the name with its revision.")
    return next(iter(found.values()), None) or folder_source(folders[-1], name)  # which says what is wrong


def _digest(files: list[Path]) -> str:
    """Return one sha256 over the files' contents."""
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def remember_folder(name: str, folder: Path) -> None:
    """Note that a folder holds a model of this name; the others that do keep it, too."""
    file, path = _file(name), str(folder).encode()
    known = (read_small(file) or b"").split(BETWEEN)
    if path not in known:
        write_small(file, BETWEEN.join([*filter(None, known), path]))


def remembered(name: str) -> list[Path]:
    """Return the folders that are there of those that models of this name were read from, the oldest first."""
    known = (read_small(_file(name)) or b"").split(BETWEEN)
    return [Path(path.decode()) for path in known if path and os.path.isdir(path)]


def _file(name: str) -> Path:
    return cache_dir() / "folders" / hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
