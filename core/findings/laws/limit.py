"""The loss of quality that the reader of a law accepts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np  # the command line imports this module at its start


class Limit(NamedTuple):
    """The worst quality to accept, relative to the dense model."""

    keep: float = 0.9  # share of the dense accuracy above chance
    times: float = 1.1  # multiple of the dense perplexity

    def worst(self, dense: np.ndarray, loss: bool) -> np.ndarray:
        """Return the worst L for each L0: a cross-entropy if `loss`, else an accuracy above chance."""
        return dense + math.log(self.times) if loss else dense * self.keep
