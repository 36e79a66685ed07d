"""The documents on which accuracies are measured: their number and the evaluation precision."""

import math
from typing import NamedTuple

import pandas as pd

from core.findings.numbers.frame import format_precision
from core.findings.rows.points import is_dense
from core.findings.rows.zeroshot import one_protocol
from core.findings.sharing import shared
from core.specs import DTYPES


class Documents(NamedTuple):
    """The number of scored documents of each task, 0 for all, and the evaluation precision."""

    limit: float
    scoring: str

    def __str__(self) -> str:
        documents = f"first {int(self.limit)} documents" if self.limit else "all documents"
        return f"{documents} of each task, {format_precision(self.scoring)}"

    @property
    def label(self) -> str:
        """The text as an option of a field."""
        return str(self).capitalize()


@shared
def documents_of(rows: pd.DataFrame) -> list[Documents]:
    """Return the documents of compressed variants, or else of all, sorted by number and precision, fp32 first."""
    compressed = rows[~is_dense(rows)]
    there = (compressed if len(compressed) else rows)[["limit", "scoring"]].drop_duplicates()
    found = [Documents(float(limit), scoring) for limit, scoring in there.itertuples(index=False)]
    return sorted(found, key=lambda one: (-(one.limit or math.inf), one.scoring != DTYPES[0], one.scoring))


@shared
def on_documents(rows: pd.DataFrame, documents: Documents) -> pd.DataFrame:
    """Return the rows of `zeroshot.scored_on` on these documents, with one protocol per data set."""
    return one_protocol(rows[(rows["limit"] == documents.limit) & (rows["scoring"] == documents.scoring)])


def first_documents(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `zeroshot.scored_on` on the first of `documents_of`, which pages show by default."""
    first = next(iter(documents_of(rows)), None)
    return rows if first is None else on_documents(rows, first)
