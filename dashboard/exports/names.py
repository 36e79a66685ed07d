"""The names of exported files: `slimscope-MODEL-TEXT-CONTENT`, of characters that every system and LaTeX takes."""

from __future__ import annotations

import re
from pathlib import PurePath

LONGEST = 180  # characters, of the 255 that file systems take


def export_name(*parts: str) -> str:
    """Return a file's name without ending, such as `slimscope-smollm2-135m-wikitext2-16x2048-perplexity`.

    The last part says what the file holds, and is whole however long the others are.
    """
    *others, content = (_safe(part) for part in ("slimscope", *parts))
    start = "-".join(part for part in others if part)
    return f"{start[: LONGEST - len(content)].rstrip('-.')}-{content}"


def model_part(model: str) -> str:
    """Return a model's name: of one in a folder that of the folder, as paths are nobody else's business."""
    path = PurePath(model)
    return path.name if path.is_absolute() else model


def text_part(corpus: str, window: int, windows: int | None, spread: bool = False) -> str:
    """Return a text with how much of it was read: `wikitext2-16x2048`."""
    return f"{corpus}-{windows or 'all'}x{window}" + "-spread" * spread


def _safe(text: str) -> str:
    """Return a text in small letters, digits, points and dashes: `50 %` is `50pct`, and `2:4` is `2of4`."""
    text = re.sub(r"(\d+):(\d+)", r"\1of\2", text.lower()).replace(" %", "pct")
    return re.sub(r"-?[^a-z0-9.-]+-?", "-", text).strip("-.")
