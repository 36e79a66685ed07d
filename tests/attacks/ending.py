"""Run a command line in this process, and judge how it ends."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout

from core.cli.app import main

GOOD = (0, 2)
DOCUMENTED = "points failed"  # of a sweep, which then ends with 1
BAD = ("Traceback (most recent", "Unexpected error (")


def run_command(words: Sequence[str]) -> tuple[int, str]:
    """Return the exit code of a command, and all that it printed."""
    printed = io.BytesIO()
    out = io.TextIOWrapper(printed, "utf-8", write_through=True)  # strict, as a terminal's is
    messages = io.TextIOWrapper(printed, "utf-8", "backslashreplace", write_through=True)
    with redirect_stdout(out), redirect_stderr(messages):
        code = main(words)
    return code, printed.getvalue().decode()


def bad_end(words: Sequence[str], code: int, text: str, good: Sequence[int] = GOOD) -> str | None:
    """Return a sentence where a command printed a traceback or ended with another exit code than `good`."""
    if bad := next((sentence for sentence in BAD if sentence in text), None):
        return f"{words} prints: {text[text.index(bad) :][:300]}"
    if code in good or (code == 1 and DOCUMENTED in text):
        return None
    return f"{words} ends with exit code {code}: {text[-300:]}"
