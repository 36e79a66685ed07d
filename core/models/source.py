"""Where one model comes from."""

from pathlib import Path
from typing import Literal

from core.specs import Frozen


class ModelSource(Frozen):
    id: str
    revision: str  # `name==version` of a wheel, commit of a hub model, `sha256:` + 12 digits of a folder
    kind: Literal["wheel", "folder", "hub"]
    folder: Path | None = None  # the files, where they are on this machine
    hub_id: str | None = None

    @property
    def hub_name(self) -> str:
        """The hub id of a model that comes from there."""
        if self.hub_id is None:
            raise TypeError(f"{self.id} is no model of the hub.")
        return self.hub_id
