"""Build hook of an editable installation: it contains only the package `slimscope`; the checkout provides the rest."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

API = Path("core", "api")


class EditableHook(BuildHookInterface):
    """Hook that adds the folder `core/api` as the package `slimscope` to an editable installation."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            build_data["force_include_editable"] = {str(Path(self.root, API)): "slimscope"}
