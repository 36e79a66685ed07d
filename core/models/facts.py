"""The configuration of a model from any source, and its shape."""

from core.cache import hub
from core.models.catalogue import BY_ID
from core.models.folders import check_language_model, read_json
from core.models.inspection import inspected, weightless
from core.models.shape import Config, ModelShape, is_known, shape_from_config
from core.models.source import ModelSource


def load_shape(source: ModelSource) -> ModelShape:
    """Return the shape of a model from its `config.json`, which is downloaded for a hub model.

    A language model of an unknown family is built without its weights, and counted.
    """
    config = config_of(source)
    return shape_from_config(config) if is_known(config) else inspected(config).shape


def dense_sizes(source: ModelSource) -> dict[str, int]:
    """Return the weight count of each block linear by name; the model is built without its weights."""
    from core.models.parts.sizes import linear_sizes

    return linear_sizes(weightless(config_of(source), source.id))


def config_of(source: ModelSource) -> Config:
    """Return the configuration of a source, or that of the catalogue or of the hub for a model that is not here.

    Raises `UserError` if the model is no causal language model.
    """
    if source.config is not None:
        return source.config
    if source.id in BY_ID and source.folder is None:
        return BY_ID[source.id].config
    path = source.folder / "config.json" if source.folder else hub.download_config(source.hub_name, source.revision)
    config = read_json(path, source.id)
    check_language_model(config, source.id)
    return config
