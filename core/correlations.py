"""The autocorrelation of losses in the texts that long measurements ship of, and the standard errors that follow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter

from core import paths
from core.longrun import StandardError, consecutive
from core.specs import Frozen

Of = Literal["losses", "differences"]  # of one variant, or of two on the same windows
ErrorOf = Callable[[np.ndarray], StandardError]


class Record(Frozen):
    """What the losses of several variants on the windows of one text show."""

    text: str  # a corpus id
    window: int  # tokens
    of: Of
    variants: int
    windows: int  # of each variant
    whole: int  # windows in the whole text
    correlation: tuple[float, ...]  # at lags 0, 1, ... up to its cut-off


RECORDS = TypeAdapter(tuple[Record, ...])


def record(text: str, window: int, of: Of) -> Record | None:
    """Return the record of a text in windows of so many tokens; None where none ships."""
    return _records(paths.CORRELATIONS).get((text, window, of))


def correlation_of(text: str, protocol: Mapping[str, Any], of: Of) -> tuple[float, ...] | None:
    """Return the autocorrelation of the windows that the protocol of a perplexity reads; None where none is known.

    Windows that are spread over a text are several of its windows apart.
    """
    found = record(text, protocol["window"], of)
    if found is None:
        return None
    step = max(1, found.whole // protocol["windows"]) if protocol.get("spread") else 1
    return found.correlation[::step]


def error_of(text: str, protocol: Mapping[str, Any], of: Of) -> ErrorOf:
    """Return what gives the standard error of the mean of a text's windows under the protocol of a perplexity."""
    return partial(consecutive, correlation=correlation_of(text, protocol, of))


@lru_cache(maxsize=2)
def _records(file: Path) -> dict[tuple[str, int, Of], Record]:
    return {(one.text, one.window, one.of): one for one in RECORDS.validate_python(json.loads(file.read_bytes()))}
