"""Shared storage: a folder or an fsspec URL in `SLIMSCOPE_STORAGE` that all machines of a store reach.

Each machine works on its own files. It copies finished ones to the storage and fetches from there what it lacks.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from core.base.errors import StorageError, UserError, echo
from core.cache import disk

VARIABLE = "SLIMSCOPE_STORAGE"
VARIANTS = "variants"  # folder of compressed models, one folder for each key
LISTED_SECONDS = 5.0  # for which a listing of a folder is used again
Listing = tuple[float, frozenset[str]]  # its time, and the names in the folder


class Storage:
    """Files of a storage by their names, such as `samples/<key>/<file>`."""

    def __init__(self, url: str):
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:  # ImportError: fsspec names the package of the protocol
            raise UserError(f"{VARIABLE} is {echo(url)}, which cannot be opened: {error}") from None
        self._root = root.rstrip("/")
        self._listings: dict[str, Listing] = {}

    def names(self, folder: str) -> frozenset[str]:
        """Return the names in a folder, which may be a few seconds old; none without the folder."""
        listed = self._listings.get(folder)
        if listed is None or time.monotonic() - listed[0] > LISTED_SECONDS:
            with self._sentences():
                try:
                    found = self._files.ls(self._path(folder), detail=False, refresh=True)
                except FileNotFoundError:
                    found = []
            listed = self._listings[folder] = time.monotonic(), frozenset(one.rpartition("/")[2] for one in found)
        return listed[1]

    def send(self, file: Path, name: str) -> None:
        """Copy a file into the storage, complete or not at all."""
        path = self._path(name)
        with self._sentences():
            if isinstance(self._files, LocalFileSystem):  # an object appears whole, a file as it grows
                part = f"{path}.{os.getpid()}.part"
                self._files.makedirs(self._files._parent(path), exist_ok=True)
                self._files.put_file(str(file), part)
                os.replace(part, path)
            else:
                self._files.put_file(str(file), path)
        self._listings.pop(name.rpartition("/")[0], None)

    def fetch(self, name: str, file: Path) -> bool:
        """Copy a file from the storage, complete or not at all; return False if the storage lacks it."""
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._sentences(), tempfile.TemporaryDirectory(dir=file.parent, prefix=".fetch-") as folder:
            part = Path(folder) / "part"
            try:
                self._files.get_file(self._path(name), str(part))
            except FileNotFoundError:
                return False
            os.replace(part, file)
        return True

    def tail(self, name: str, size: int) -> bytes | None:
        """Return up to `size` last bytes of a file; None if the storage lacks it."""
        with self._sentences():
            try:
                length = self._files.size(self._path(name))
                found: bytes = self._files.cat_file(self._path(name), start=max(0, length - size), end=length)
            except FileNotFoundError:
                return None
        return found

    def send_folder(self, folder: Path, name: str) -> None:
        """Copy a folder with its checksums, which go last, so that a folder with them is complete."""
        for file in sorted(folder.rglob("*"), key=lambda file: file.name == disk.NAME):
            if file.is_file():
                self.send(file, f"{name}/{file.relative_to(folder).as_posix()}")

    def fetch_folder(self, name: str, folder: Path) -> None:
        """Copy the files of a folder of the storage."""
        with self._sentences():
            found = self._files.find(self._path(name))
        for path in found:
            below = path[len(self._path(name)) + 1 :]
            self.fetch(f"{name}/{below}", folder / below)

    def size(self, folder: str) -> int:
        """Return the bytes of the files of a folder."""
        with self._sentences():
            return int(self._files.du(self._path(folder)))

    def delete(self, name: str) -> None:
        """Delete a file or a folder, if there is one."""
        with self._sentences(), suppress(FileNotFoundError):
            self._files.rm(self._path(name), recursive=True)
        self._listings.pop(name.rpartition("/")[0], None)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(f"The shared storage {self._root} failed: {error.strerror or error}.") from error


def shared_storage() -> Storage | None:
    """Return the storage of `SLIMSCOPE_STORAGE`, None without one."""
    url = os.environ.get(VARIABLE)
    return _opened(url) if url else None


@lru_cache(maxsize=4)
def _opened(url: str) -> Storage:
    return Storage(url)
