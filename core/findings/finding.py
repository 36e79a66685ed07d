"""The form of every answer: a sentence, and the rows that it looked at."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True, repr=False)
class Finding:
    """An answer, which prints as its sentence.

    Attributes:
        rows: What it looked at, a row each.
        sentence: The answer.
    """

    rows: pd.DataFrame
    sentence: str

    def __repr__(self) -> str:
        return self.sentence
