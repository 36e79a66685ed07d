"""Autocorrelation of the numbers of windows from the bundled long measurements, and standard errors with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import TypeAdapter

from core import paths
from core.fields import ProtocolFields
from core.specs import Frozen
from core.statistics.longrun import StandardError, consecutive

# Numbers of one variant, or differences of two on the same windows.
Of = Literal["losses", "differences", "kl", "kl differences", "agreement", "agreement differences"]
VALUES: Mapping[str, Of] = {"perplexity": "losses", "kl": "kl", "agreement": "agreement"}  # by metric
DIFFERENCES: Mapping[str, Of] = {
    "perplexity": "differences",
    "kl": "kl differences",
    "agreement": "agreement differences",
}
ErrorOf = Callable[[np.ndarray], StandardError]


class Record(Frozen):
    """Autocorrelation of the numbers of several variants on the windows of one text."""

    text: str  # a corpus id
    window: int  # tokens
    of: Of
    variants: int
    windows: int  # per variant
    whole: int  # windows of the whole text
    correlation: tuple[float, ...]  # at lags 0, 1, ... up to the cut-off


RECORDS = TypeAdapter(tuple[Record, ...])


def record(text: str, window: int, of: Of) -> Record | None:
    """Return the bundled record of a text in windows of `window` tokens, or None."""
    return _records(paths.CORRELATIONS).get((text, window, of))


def correlation_of(text: str, protocol: ProtocolFields, of: Of) -> tuple[float, ...] | None:
    """Return the autocorrelation of the windows of a perplexity protocol, or None if it is unknown.

    Windows spread over a text are several windows apart, so the result skips the lags between them.
    """
    found = record(text, protocol["window"], of)
    if found is None:
        return None
    step = max(1, found.whole // protocol["windows"]) if protocol.get("spread") else 1
    return found.correlation[::step]


def error_of(text: str, protocol: ProtocolFields, of: Of) -> ErrorOf:
    """Return the function that computes the standard error of a mean of window values under a perplexity protocol."""
    return partial(consecutive, correlation=correlation_of(text, protocol, of))


@lru_cache(maxsize=2)
def _records(file: Path) -> dict[tuple[str, int, Of], Record]:
    return {(one.text, one.window, one.of): one for one in RECORDS.validate_python(json.loads(file.read_bytes()))}
