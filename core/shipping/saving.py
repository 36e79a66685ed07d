"""Size and export check of a saved model, in words; imports no torch."""

from __future__ import annotations

from pathlib import Path

from core.shipping.proof import read_proof


def size_words(size: float, kind: str) -> str:
    """Return a size and its type in words: `538 MB, fp32`."""
    digits = 0 if size >= 10e6 else 2
    return f"{size / 1e6:.{digits}f} MB, {kind}"


def saved_words(folder: str, kind: str, usual: str) -> str:
    """Describe a saved model: its folder, the current size of the folder, and its export check.

    `usual` describes the usual difference that such a check finds.
    """
    try:
        size = sum(file.stat().st_size for file in Path(folder).iterdir() if file.is_file())
        proof = read_proof(Path(folder))
    except OSError as error:
        return f"Saved to {folder} as {kind}, but the folder cannot be read: {error.strerror}."
    saved = f"Saved to {folder}, {size_words(size, kind)}."
    if proof is None:
        return saved
    return " ".join(filter(None, [saved, proof.words(), usual if proof.reason is None else ""]))
