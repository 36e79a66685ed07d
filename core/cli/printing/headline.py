"""The headline numbers of a list of results: the perplexity and the mean accuracies that most of them have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from core.cli.printing.tables import column, with_rows
from core.results import Measurement, Result
from core.specs import ModelId, Scalar

if TYPE_CHECKING:
    from core.findings.numbers.seven import Accuracy

One = TypeVar("One")


class Headline(NamedTuple):
    """The perplexity and the accuracies that a list shows."""

    text: str | None  # the name of the perplexity's column
    protocol: tuple[Scalar, ...] | None  # of the tasks, a key of `core.findings.numbers.seven.by_protocol`
    dense: Mapping[ModelId, Mapping[str, Accuracy]]  # the dense accuracies of each model under this protocol

    def perplexity(self, result: Result) -> Measurement | None:
        """Return the perplexity of a result, if possible in the precision of the variant."""
        rows = [row for row in result.measurements if row.of_text and column(row) == self.text]
        return min(rows, key=lambda row: row.protocol.get("dtype") != result.variant.dtype, default=None)

    def accuracies(self, result: Result) -> dict[str, Measurement]:
        """Return the accuracies of a result in the papers' seven tasks."""
        from core.findings.numbers.seven import by_protocol

        return {} if self.protocol is None else by_protocol(result.measurements).get(self.protocol, {})

    def means(self, result: Result) -> dict[str, float]:
        """Return a result's mean above chance and mean of seven, in [0, 1], as far as its tasks are measured."""
        from core.data.cards import SEVEN
        from core.findings.numbers.seven import ABOVE_CHANCE, MEAN, counted_tasks, mean, mean_above_chance

        rows, tasks = self.accuracies(result), counted_tasks(self.dense.get(result.variant.model_id, {}))
        means = {ABOVE_CHANCE: (mean_above_chance, tasks), MEAN: (mean, SEVEN)}
        return {
            name: of([rows[task] for task in names])[0]
            for name, (of, names) in means.items()
            if names and rows.keys() >= set(names)
        }

    def shown(self, result: Result) -> Result:
        """Return a result with only its headline numbers."""
        text = self.perplexity(result)
        return with_rows(result, [*([text] if text else []), *self.accuracies(result).values()])


def headline_of(results: Sequence[Result], every: Iterable[Result]) -> Headline:
    """Return the perplexity and the protocol of seven tasks that most results have; `every` has the dense models."""
    from core.findings.numbers.seven import accuracies_of, by_protocol, sevens

    texts = ({column(row): None for row in result.measurements if row.of_text} for result in results)
    protocol = _commonest(sevens(result.measurements) for result in results)
    models = {result.variant.model_id for result in results} if protocol else set()
    dense = {
        one.variant.model_id: accuracies_of(by_protocol(one.measurements).get(protocol or (), {}))
        for one in every
        if one.variant.model_id in models and one.variant.key == one.variant.dense_key
    }
    return Headline(_commonest(texts), protocol, dense)


def _commonest(groups: Iterable[Iterable[One]]) -> One | None:
    counts = Counter(one for group in groups for one in group)
    return max(counts, key=counts.__getitem__, default=None)  # the first of several
