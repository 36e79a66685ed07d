"""The configuration of a model from any source, and its shape."""

from math import prod

from core.base.errors import UserError
from core.cache import hub
from core.models.catalogue import BY_ID
from core.models.folders import convolution_shapes, encoder_of, read_json, weight_shapes
from core.models.inspection import inspected, weightless
from core.models.shape import Config, ModelShape, is_known, shape_from_config
from core.models.source import ModelSource


def load_shape(source: ModelSource) -> ModelShape:
    """Return the shape of a model from its `config.json`, which is downloaded for a hub model.

    A language model of an unknown family is built without its weights, and counted.

    A model that is not a language model must be a local folder. Its ratio counts convolution weights, whose shapes come
    from the headers of its weight files.
    """
    config = config_of(source)
    kind = encoder_of(config)
    if kind is not None:
        return _encoder(source, kind)
    return shape_from_config(config) if is_known(config) else inspected(config).shape


def _encoder(source: ModelSource, kind: str) -> ModelShape:
    if source.kind != "folder" or source.folder is None:
        raise UserError(
            f"{source.id} is a {kind}, not a language model. Such a model must be a local folder: download it and give "
            "the folder."
        )
    shapes = weight_shapes(source.folder)  # includes the few buffers of norms, such as running means
    kernels = convolution_shapes(shapes)
    weights = sum(map(prod, kernels))
    return ModelShape(
        parameters=sum(map(prod, shapes.values())),
        block_weights=weights,
        blocks=len(kernels),
        hidden=max(kernel[0] for kernel in kernels),
        ffn=max(prod(kernel[1:]) for kernel in kernels),
        vocabulary=0,
        max_window=0,
        widths=(),
        convolutions=weights,
    )


def dense_sizes(source: ModelSource) -> dict[str, int]:
    """Return the weight count of each block linear by name; the model is built without its weights."""
    from core.models.parts.sizes import linear_sizes

    return linear_sizes(weightless(config_of(source), source.id))


def config_of(source: ModelSource) -> Config:
    """Return the configuration of a source, or that of the catalogue or of the hub for a model that is not here."""
    if source.config is not None:
        return source.config
    if source.id in BY_ID and source.folder is None:
        return BY_ID[source.id].config
    path = source.folder / "config.json" if source.folder else hub.download_config(source.hub_name, source.revision)
    return read_json(path, source.id)
