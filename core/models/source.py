"""The source of one model."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from core.models.shape import Config
from core.specs import Frozen


class ModelSource(Frozen):
    """A model's id and revision, and the place and configuration of its files."""

    id: str
    revision: str  # `name==version` of a wheel, commit of a hub model, `sha256:` + 12 digits of a folder or file
    kind: Literal["wheel", "folder", "hub", "gguf"]
    folder: Path | None = None  # of the files, if they are on this machine; the file itself of a GGUF model
    hub_id: str | None = None
    config: Config | None = Field(default=None, repr=False)  # None: of a hub or GGUF model that was not fetched yet

    @property
    def files(self) -> Path:
        """The folder of the files, or the file of a GGUF model; a `TypeError` for a model that was not fetched."""
        if self.folder is None:
            raise TypeError(f"{self.id} was not fetched.")
        return self.folder

    @property
    def required_config(self) -> Config:
        """The configuration; a `TypeError` for a hub or GGUF model that was not fetched."""
        if self.config is None:
            raise TypeError(f"{self.id} was not fetched.")
        return self.config

    @property
    def hub_name(self) -> str:
        """The hub id; a `TypeError` for a model without one."""
        if self.hub_id is None:
            raise TypeError(f"{self.id} is not a hub model.")
        return self.hub_id
