"""The point that the drawer shows."""

from __future__ import annotations

from typing import NamedTuple

from core.notation.chain import file_name
from core.results import Result
from dashboard import data
from dashboard.exports.names import export_name, model_part


class Point(NamedTuple):
    """The shown point and its name in captions."""

    result: Result
    name: str

    def file(self, content: str) -> str:
        """Return the name of an export file, without extension."""
        variant = self.result.variant
        return export_name(model_part(data.called(variant)), file_name(variant.stages), content)
