"""The configuration of a model from wherever it lies, and the shape that follows from it."""

from typing import Any

from core.cache import hub
from core.models.catalogue import BY_ID
from core.models.folders import read_json
from core.models.shape import ModelFacts, shape
from core.models.sources import ModelSource


def facts(source: ModelSource) -> ModelFacts:
    """Return the shape of a model. Reads, and for a hub model fetches, no more than its `config.json`."""
    return shape(config_of(source))


def dense_sizes(source: ModelSource) -> dict[str, int]:
    """Return the weights of each block linear by its name, of a model that is built without its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from core.models.loading import sentences
    from core.models.parts.sizes import linear_sizes

    with sentences(f"The configuration of {source.id} describes no causal language model"), torch.device("meta"):
        return linear_sizes(AutoModelForCausalLM.from_config(AutoConfig.for_model(**config_of(source))))


def config_of(source: ModelSource) -> dict[str, Any]:
    """Return a model's `config.json`, or what the catalogue says of it where the file is not here."""
    if source.id in BY_ID and (source.kind == "wheel" or source.folder is None):
        return BY_ID[source.id].config
    path = source.folder / "config.json" if source.folder else hub.download_config(source.hub_name, source.revision)
    return read_json(path, source.id)
