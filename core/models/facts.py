"""The configuration of a model from wherever it lies, and the shape that follows from it."""

import json
from typing import Any

from core.cache import hub
from core.models.catalogue import BY_ID
from core.models.shape import ModelFacts, shape
from core.models.sources import ModelSource


def facts(source: ModelSource) -> ModelFacts:
    """Return the shape of a model. Reads, and for a hub model fetches, no more than its `config.json`."""
    return shape(config_of(source))


def config_of(source: ModelSource) -> dict[str, Any]:
    """Return a model's `config.json`, or what the catalogue says of it where the file is not here."""
    if source.folder:
        return json.loads((source.folder / "config.json").read_text())
    if source.id in BY_ID:
        return BY_ID[source.id].config
    return json.loads(hub.download_config(source.hub_id, source.revision).read_text())
