"""Wheels made in the test, in the one folder that pip looks in."""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

from core.cache.wheels import Wheel


def only_from(folder: Path, monkeypatch) -> Path:
    """Let pip look nowhere but in a new folder, and return that."""
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def put_wheel(folder: Path, name: str, content: Mapping[str, str]) -> Wheel:
    """Put a wheel with files, and return its card."""
    stem = name.replace("-", "_")
    path = folder / f"{stem}-1.0-py3-none-any.whl"
    about = {
        f"{stem}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{stem}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{stem}-1.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in (content | about).items():
            archive.writestr(member, text)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Wheel(name=name, version="1.0", size=path.stat().st_size, sha256=digest, licence="MIT")
