"""Racing: a chain is measured on few windows first, and on more only while it can still win.

After each rung, the interval of the paired difference to the best chain decides. It is corrected for the number of
rungs, because each one is another chance of a false decision. Few windows say little about their own variance, so it is
pooled with an expected one: the difference of two chains varies between windows in proportion to their loss.
"""

import math

import numpy as np

RUNGS = (2, 4, 16)  # windows
# Chance that any rung eliminates a chain that is as good as a preset best one. It is higher if the best one is the
# lowest of several on the same windows, as in a search, because its low loss is partly luck.
FALSE = 0.05
EXPECTED = 0.01, 0.15  # expected standard deviation between windows: nats, and a share of the loss over dense
FREEDOM = 4  # windows that the expectation counts as


def loses(losses: np.ndarray, best: np.ndarray) -> bool:
    """Return whether a chain is worse than the best one.

    Args:
        losses: The losses of the chain minus those of the dense model on the windows of a rung, (n,) in nats.
        best: Those of the best chain on the same windows.
    """
    from scipy.special import stdtrit

    differences = losses - best
    n, mean = len(differences), float(np.mean(differences))
    if not math.isfinite(mean):
        return not mean < 0
    if mean <= 0:
        return False
    expected = EXPECTED[0] + EXPECTED[1] * max(0.0, float(np.mean(losses)))
    freedom = n - 1 + FREEDOM
    variance = (float(np.sum((differences - mean) ** 2)) + FREEDOM * expected**2) / freedom
    most = float(stdtrit(freedom, 1 - FALSE / len(RUNGS)))
    return mean > most * math.sqrt(variance / n)
