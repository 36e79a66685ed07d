"""Short rows of results: identity, size, and numbers with their difference to the dense model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from core.cli.printing.layout import Row
from core.cli.printing.tables import (
    SHORT_KEY,
    DenseDifferences,
    Names,
    column,
    packed_words,
    shown,
    with_rows,
)
from core.notation.short import short_name
from core.results import Measurement, Result
from core.specs import ModelId, Scalar

if TYPE_CHECKING:
    from core.findings.numbers.seven import Accuracy
    from core.store.store import Store

One = TypeVar("One")
MOST_NAMED = 3  # hidden columns that the note names


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


def leading(results: Sequence[Result], names: Names) -> list[Row]:
    """Return the first cells of each row: its key, its model if there are several, and its short name."""
    several = len({names[result.variant.model_id] for result in results}) > 1
    return [
        {
            "key": result.variant.key[:SHORT_KEY],
            **({"model": names[result.variant.model_id]} if several else {}),
            "variant": short_name(result.variant),
        }
        for result in results
    ]


def overview(
    results: Sequence[Result], references: Iterable[Result], headline: Headline, store: Store, names: Names
) -> list[Row]:
    """Return one row per result with its size and its headline numbers, compared with the dense references."""
    from core.findings.numbers.differences import number_of, number_of_mean
    from core.findings.numbers.seven import ABOVE_CHANCE, MEAN

    pairs = DenseDifferences([headline.shown(one) for one in (*references, *results)], store)
    task = next((row for result in results for row in headline.accuracies(result).values()), None)
    rows = []
    for result, row in zip(results, leading(results, names), strict=True):
        size, key = result.footprint, result.variant.key
        row |= {"packed MB": packed_words(result), "bits per weight": f"{size.bits_per_weight:.2f}" if size else ""}
        if headline.text:
            text = headline.perplexity(result)
            row[headline.text] = pairs.short_cell(key, number_of(text), text.value) if text else ""
        if task and headline.protocol:
            means = headline.means(result)
            for name in (ABOVE_CHANCE, MEAN):
                cell = ""
                if name in means:
                    cell = pairs.short_cell(key, number_of_mean(headline.protocol, name), means[name])
                row[of_mean(task, name)] = cell
        rows.append(row)
    return rows


def of_mean(task: Measurement, mean: str) -> str:
    """Return the column of a mean, under the protocol of one of its tasks: `mean above chance:500`."""
    return column(task.model_copy(update={"metric": "acc"})).replace(f"acc {task.dataset}", mean)


def short_rows(results: Sequence[Result], store: Store, names: Names) -> list[Row]:
    """Return one row per result with its size and all its numbers, compared with the dense results among them."""
    from core.findings.numbers.differences import number_of

    pairs, rows = DenseDifferences(results, store), []
    columns = list(dict.fromkeys(column(one) for result in results for one in result.measurements if shown(one)))
    for result, row in zip(results, leading(results, names), strict=True):
        key = result.variant.key
        cells = {
            column(one): pairs.short_cell(key, number_of(one), one.value) for one in result.measurements if shown(one)
        }
        rows.append({**row, "packed MB": packed_words(result), **{name: cells.get(name, "") for name in columns}})
    return rows


def others_note(results: Sequence[Result], headline: Headline) -> str:
    """Name the numbers that no column shows, and the commands that show them; empty if there are none."""
    every = dict.fromkeys(column(one) for result in results for one in result.measurements if shown(one))
    seen = {column(one) for result in results for one in headline.shown(result).measurements}
    names = [name for name in every if name not in seen]
    if not names:
        return ""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return (
        f"Not shown: {', '.join(names[:MOST_NAMED])}{more}. `slimscope results KEY` shows one result in full; --tsv "
        "and --csv show all numbers."
    )


def tasks_note(headline: Headline, names: Names) -> str:
    """Name the tasks of the mean above chance for each model, and those left out; empty without accuracies."""
    from core.findings.numbers.seven import counted_words

    known = {names[model]: text for model, dense in headline.dense.items() if (text := counted_words(dense))}
    if len(set(known.values())) == 1:
        return next(iter(known.values()))
    return "\n".join(f"{model}: {text}" for model, text in known.items())
