"""The interval of a quantile of values that belong to consecutive windows, such as the tokens of a text."""

import numpy as np
from scipy.special import stdtrit

from core.statistics.longrun import consecutive


def quantile_interval(
    values: np.ndarray, quantile: float, confidence: float = 0.95
) -> tuple[float, float | None, float | None]:
    """Compute a quantile of all values and its confidence interval (Woodruff, 1952).

    The share of values above the quantile has a standard error over windows, which may correlate. The quantiles at both
    ends of that share's interval bound the quantile.

    Args:
        values: Values of each window, (windows, n), in the order of the text.
        quantile: In (0, 1).
        confidence: Of the interval, in (0, 1).

    Returns:
        The quantile and the ends of its interval, None without a standard error.
    """
    with np.errstate(invalid="ignore"):  # values of a window without finite logits are infinite
        found = float(np.quantile(values, quantile))
    above = (values > found).mean(1)  # (windows,)
    error = consecutive(above)
    if error.value is None:
        return found, None, None
    half = float(stdtrit(error.freedom, (1 + confidence) / 2)) * error.value if error.value else 0.0
    with np.errstate(invalid="ignore"):
        ends = np.quantile(values, np.clip([quantile - half, quantile + half], 0, 1))
    return found, float(ends[0]), float(ends[1])
