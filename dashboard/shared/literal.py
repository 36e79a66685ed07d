"""Escaping of Markdown."""

import re


def literal(text: str) -> str:
    """Escape all Markdown characters of a text, such as those of a path."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)
