"""The source of one model."""

from pathlib import Path
from typing import Literal

from core.specs import Frozen


class ModelSource(Frozen):
    """A model's id and revision, and the place of its files."""

    id: str
    revision: str  # `name==version` of a wheel, commit of a hub model, `sha256:` + 12 digits of a folder
    kind: Literal["wheel", "folder", "hub"]
    folder: Path | None = None  # of the files, if they are on this machine
    hub_id: str | None = None

    @property
    def hub_name(self) -> str:
        """The hub id; a `TypeError` for a model without one."""
        if self.hub_id is None:
            raise TypeError(f"{self.id} is not a hub model.")
        return self.hub_id
