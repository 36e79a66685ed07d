"""The two headline numbers of a list of results: the perplexity and the mean accuracy that most of them have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from core.cli.printing.tables import column, with_rows
from core.results import Measurement, Result
from core.specs import Scalar

One = TypeVar("One")


class Headline(NamedTuple):
    """The perplexity and the mean of seven accuracies that a list shows."""

    text: str | None  # the name of the perplexity's column
    protocol: tuple[Scalar, ...] | None  # of the seven tasks, a key of `core.analysis.seven.sevens`

    def perplexity(self, result: Result) -> Measurement | None:
        """Return the perplexity of a result, if possible in the precision of the variant."""
        rows = [row for row in result.measurements if row.of_text and column(row) == self.text]
        return min(rows, key=lambda row: row.protocol.get("dtype") != result.variant.dtype, default=None)

    def accuracies(self, result: Result) -> list[Measurement]:
        """Return the seven accuracies of a result; empty if any is missing."""
        from core.analysis.seven import sevens

        return [] if self.protocol is None else sevens(result.measurements).get(self.protocol, [])

    def mean(self, result: Result) -> float | None:
        """Return the mean of the seven accuracies, in [0, 1]."""
        from core.analysis.seven import mean

        rows = self.accuracies(result)
        return mean(rows)[0] if rows else None

    def shown(self, result: Result) -> Result:
        """Return a result with only its headline numbers."""
        text = self.perplexity(result)
        return with_rows(result, [*([text] if text else []), *self.accuracies(result)])


def headline_of(results: Sequence[Result]) -> Headline:
    """Return the perplexity and the protocol of seven tasks that most results have."""
    from core.analysis.seven import sevens

    texts = ({column(row): None for row in result.measurements if row.of_text} for result in results)
    protocols = (sevens(result.measurements) for result in results)
    return Headline(_commonest(texts), _commonest(protocols))


def _commonest(groups: Iterable[Iterable[One]]) -> One | None:
    counts = Counter(one for group in groups for one in group)
    return max(counts, key=counts.__getitem__, default=None)  # the first of several
