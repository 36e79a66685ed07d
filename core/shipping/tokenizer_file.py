"""The tokenizer of a model on disk, which exports contain."""

from __future__ import annotations

from pathlib import Path

from core.models.source import ModelSource


def tokenizer_file(source: ModelSource) -> Path | None:
    """Return the file with the tokens of a model; None if it has none on this machine."""
    file = source.folder and source.folder / "tokenizer.json"
    return file if file and file.is_file() else None


def tokenizer_bytes(source: ModelSource) -> int:
    """Return the bytes that the tokenizer takes in a folder; 0 if the model has none on this machine."""
    file = tokenizer_file(source)
    return file.stat().st_size if file else 0
