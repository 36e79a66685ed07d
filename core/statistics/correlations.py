"""Autocorrelation of the numbers of windows from the bundled long measurements, and standard errors with it.

A text without a record has its own one in a measurement that is long enough. In a shorter one, the interval is widened
by the largest factor of the bundled records.
"""

import json
import math
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import NewType

import numpy as np
from pydantic import TypeAdapter

from core.base import paths
from core.fields import Details, ProtocolFields
from core.metrics import MEANS
from core.specs import Frozen
from core.statistics.longrun import StandardError, autocorrelation, consecutive, inflation

Of = NewType("Of", str)  # one of these numbers, by metric: of one variant, or differences of two on the same windows
VALUES = {"perplexity": Of("losses"), **{name: Of(name) for name in MEANS}}
DIFFERENCES = {"perplexity": Of("differences"), **{name: Of(f"{name} differences") for name in MEANS}}
ErrorOf = Callable[[np.ndarray], StandardError]
# A measurement of as many windows and tokens has its own record.
OWN_WINDOWS, OWN_TOKENS = 64, 64 * 2048
# Detail of a number whose standard error, and so its interval, is widened.
INTERVAL, WIDENED = "interval", "widened: no record of this text"


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


def widening(text: str, protocol: ProtocolFields, of: Of, n: int) -> float:
    """Return the factor of the squared standard error of n windows; 1 for a text with a record, or with its own one."""
    window = protocol["window"]
    known = any((one.text, one.window) == (text, window) for one in _records(paths.CORRELATIONS).values())
    return 1.0 if known or _is_long(n, window) else largest_factor(window, of, n)


def largest_factor(window: int, of: Of, n: int, without: str = "") -> float:
    """Return the largest variance of a mean of n windows among the bundled records, as a multiple of independent ones.

    Records of the same quantity and window length count, or of any length if there are none, but not those of the text
    `without`.
    """
    alike = [one for one in _records(paths.CORRELATIONS).values() if one.of == of and one.text != without]
    records = [one for one in alike if one.window == window] or alike
    return max((inflation(n, one.correlation) for one in records), default=1.0)


def error_of(text: str, protocol: ProtocolFields, of: Of) -> ErrorOf:
    """Return the function that computes the standard error of a mean of window values under a perplexity protocol."""
    correlation = correlation_of(text, protocol, of)
    if correlation is not None:
        return partial(consecutive, correlation=correlation)

    def error(values: np.ndarray) -> StandardError:
        n = len(values)
        return own(values) if _is_long(n, protocol["window"]) else widened(values, widening(text, protocol, of, n))

    return error


def own(values: np.ndarray) -> StandardError:
    """Compute the standard error of the mean of many consecutive values, (n,), with their own autocorrelation."""
    if not np.isfinite(values).all() or not np.ptp(values):
        return consecutive(values)
    return consecutive(values, autocorrelation(values[None]).tolist() or [1.0])


def widened(values: np.ndarray, factor: float) -> StandardError:
    """Compute the standard error of the mean of few consecutive values, (n,), with a factor of its square."""
    found = consecutive(values)
    return found if found.value is None else found._replace(value=math.sqrt(factor) * found.value)


def interval_note(text: str, protocol: ProtocolFields, of: Of, n: int) -> Details:
    """Return the details of a number of n windows: a note if its interval is widened."""
    return {INTERVAL: WIDENED} if widening(text, protocol, of, n) > 1 else {}


def _is_long(n: int, window: int) -> bool:
    return n >= OWN_WINDOWS and n * window >= OWN_TOKENS


@lru_cache(maxsize=2)
def _records(file: Path) -> dict[tuple[str, int, Of], Record]:
    return {(one.text, one.window, one.of): one for one in RECORDS.validate_python(json.loads(file.read_bytes()))}
