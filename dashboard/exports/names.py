"""Names of exported files: `slimscope-MODEL-TEXT-CONTENT`, in characters that are valid everywhere and in LaTeX."""

from __future__ import annotations

import re
from pathlib import PurePath

LONGEST = 180  # characters; file systems allow 255


def export_name(*parts: str) -> str:
    """Return a file name without extension, such as `slimscope-smollm2-135m-wikitext2-16x2048-perplexity`.

    The last part names the content and is never shortened.
    """
    *others, content = (_safe(part) for part in ("slimscope", *parts))
    start = "-".join(part for part in others if part)
    return f"{start[: LONGEST - len(content)].rstrip('-.')}-{content}"


def model_part(model: str) -> str:
    """Return a model's name; for a model in a folder, the folder's name, so that exports contain no private paths."""
    path = PurePath(model)
    return path.name if path.is_absolute() else model


def text_part(corpus: str, window: int, windows: int | None, spread: bool = False) -> str:
    """Return a corpus with the number and length of its windows: `wikitext2-16x2048`."""
    return f"{corpus}-{windows or 'all'}x{window}" + "-spread" * spread


def _safe(text: str) -> str:
    """Return a text in lower-case letters, digits, points and dashes: `50 %` is `50pct`, and `2:4` is `2of4`."""
    text = re.sub(r"(\d+):(\d+)", r"\1of\2", text.lower()).replace(" %", "pct")
    return re.sub(r"-?[^a-z0-9.-]+-?", "-", text).strip("-.")
