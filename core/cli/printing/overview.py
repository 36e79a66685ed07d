"""Short rows of results: identity, size, and numbers with their difference to the dense model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from core.cli.printing.headline import Headline
from core.cli.printing.layout import Row
from core.cli.printing.tables import SHORT_KEY, DenseDifferences, Names, chain_words, column, packed_words, shown
from core.notation import chain
from core.results import Measurement, Result

if TYPE_CHECKING:
    from core.store.store import Store

MOST_NAMED = 3  # hidden columns that the note names


def leading(results: Sequence[Result], names: Names) -> list[Row]:
    """Return the first cells of each row: its key, its model if there are several, and its chain.

    Data, seed and precision follow the chain if they differ between rows of one model and chain.
    """
    several = len({names[result.variant.model_id] for result in results}) > 1
    twins: dict[tuple[str, str], list[dict[str, str]]] = {}
    for result in results:
        twins.setdefault(_identity(result, names), []).append(circumstances(result))
    rows = []
    for result in results:
        own, others = circumstances(result), twins[_identity(result, names)]
        differing = [f"{name} {own[name]}" for name in own if len({other[name] for other in others}) > 1 and own[name]]
        written = ", ".join([chain_words(result.variant), *differing])
        model = {"model": names[result.variant.model_id]} if several else {}
        rows.append({"key": result.variant.key[:SHORT_KEY], **model, "chain": written})
    return rows


def circumstances(result: Result) -> dict[str, str]:
    """Return the data, seed and precision of a result, which its chain does not name; empty if there are none."""
    shared = chain.common_defaults(result.variant.stages)
    known = {"calibration": shared.calibration, "train": shared.train, "seed": shared.seed}
    texts = {name: "" if value is None else str(value) for name, value in known.items()}
    return {**texts, "dtype": result.variant.dtype}


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


def _identity(result: Result, names: Names) -> tuple[str, str]:
    return names[result.variant.model_id], chain_words(result.variant)
