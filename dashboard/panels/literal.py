"""Text that is shown as it is, whatever signs are in it."""

import re


def literal(text: str) -> str:
    """Return Markdown that shows a text as it is, whatever signs a path in it has."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)
