"""The bundled measurements of exported files: their distance to the dense model, computed with the file's weights."""

from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from core.base import paths
from core.specs import Frozen


class MeasuredFile(Frozen):
    """A file of a variant, and its distance to the dense model (`slimscope fidelity`)."""

    key: str  # of the variant
    format: str  # label of a `core.shipping.base.Format`
    type: str  # as users write it
    bytes: int  # of the file, or of all files of a folder
    text: str  # the windows, in the notation of `core.specs.Perplexity`
    n: int  # windows
    dtype: str  # of the computation
    ratio: float  # perplexity over dense
    ratio_low: float | None  # ends of its 95 % interval
    ratio_high: float | None
    kl: float  # nats per token


Files = dict[tuple[str, str], MeasuredFile]  # by key of the variant and label of the format
LINE = TypeAdapter(MeasuredFile)


def measured_files() -> Files:
    """Return the bundled measurements."""
    return _read(paths.SHIPPED_FILES)


@cache
def _read(path: Path) -> Files:
    lines = path.read_bytes().splitlines() if path.is_file() else []
    return {(one.key, one.format): one for one in map(LINE.validate_json, lines)}
