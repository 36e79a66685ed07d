"""The bundled results of one model, as tidy rows."""

import pandas as pd

from core.findings.numbers.frame import tidy
from core.request.stages import DEFAULT_MODEL
from core.store.bundled import read_measured


def bundled_rows(model: str = DEFAULT_MODEL) -> pd.DataFrame:
    """Return every bundled measurement of a model."""
    return tidy(one for one in read_measured().results.values() if one.variant.model == model)
