"""What an editable installation holds: the package `slimscope` only, as the rest is read from the checkout."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

API = Path("core", "api.py")


class EditableHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            build_data["force_include_editable"] = {str(Path(self.root, API)): "slimscope/__init__.py"}
