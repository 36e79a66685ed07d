"""Pinned wheels of the Python package index as a source of files: downloaded by pip, verified, unpacked."""

import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from core.base.errors import UserError
from core.base.progress import Progress, silent
from core.cache.disk import file_sha256
from core.specs import Frozen

POLL_SECONDS = 0.2


class Wheel(Frozen):
    """A wheel whose files are used, but whose code never runs."""

    name: str
    version: str
    size: int  # bytes
    sha256: str
    licence: str

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"


def download(wheel: Wheel, folder: Path, progress: Progress = silent) -> Path:
    """Download a wheel into `folder` with the user's pip configuration, verify its sha256 and return its path.

    A verified wheel from an earlier call is reused. `progress` is called while pip runs and may raise to stop it.
    """
    prefix = f"{wheel.name.replace('-', '_')}-{wheel.version}-"
    for archive in folder.glob(f"{prefix}*.whl"):
        if file_sha256(archive) == wheel.sha256:
            return archive
        archive.unlink()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    # pip's own cache would store and reuse a damaged download.
    command += ["--no-cache-dir", "--disable-pip-version-check", "--dest", str(folder), wheel.requirement]
    before = _bytes_in(folder)  # of earlier downloads
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
    archive = next(folder.glob(f"{prefix}*.whl"))
    if (digest := file_sha256(archive)) != wheel.sha256:
        archive.unlink()
        raise UserError(
            f"The wheel {wheel.requirement} has sha256 {digest[:12]}... instead of {wheel.sha256[:12]}... and is not "
            "used; check pip's package index."
        )
    progress("download", wheel.size, wheel.size, wheel.requirement)
    return archive


def _bytes_in(folder: Path) -> int:
    """Sum the bytes of all files below a folder in which pip may be moving files."""
    total = 0
    for parent, _, names in os.walk(folder):  # which passes over folders that are gone
        for name in names:
            with suppress(FileNotFoundError):
                total += os.stat(os.path.join(parent, name)).st_size
    return total


def _pip_failed(wheel: Wheel, output: str) -> str:
    if "No space left" in output:
        return f"The disk is full; free {wheel.size / 1e6:.0f} MB for {wheel.requirement}."
    if "No module named pip" in output:
        return f"{sys.executable} has no pip to download {wheel.requirement}; install pip there."
    if re.search(r"Wheel '.*' located at .* is invalid", output):
        return _damaged(wheel, "is not a zip archive")
    if "DO NOT MATCH THE HASHES" in output:
        return _damaged(wheel, "has another sha256 than the index reports")
    return (
        f"Downloading {wheel.requirement} ({wheel.size / 1e6:.0f} MB) from the Python package index failed; "
        "check the network and pip's configuration, or run `slimscope fetch` while online."
    )


def _damaged(wheel: Wheel, how: str) -> str:
    return f"The download of {wheel.requirement} {how} and was deleted; try again, or check pip's package index."
