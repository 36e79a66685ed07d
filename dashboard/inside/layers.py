"""The tab of layers."""

from __future__ import annotations

from dashboard.exports.files import Item
from dashboard.inside.selection import Subject, pick_variants


def show_layers(subject: Subject) -> list[Item]:
    """Show the layers of a variant."""
    pick_variants(subject, "Without another variant, the page shows the stages of one.")
    return []
