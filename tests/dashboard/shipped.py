"""What ships with the project, as tidy rows of one model."""

import pandas as pd

from core.analysis.frame import tidy
from core.request.stages import DEFAULT_MODEL
from core.store.bundled import read_measured


def shipped_rows(model: str = DEFAULT_MODEL) -> pd.DataFrame:
    """Return every shipped measurement of a model."""
    return tidy(one for one in read_measured().results.values() if one.variant.model == model)
