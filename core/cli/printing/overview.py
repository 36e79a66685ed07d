"""Short rows of results: identity, size, and numbers with their difference to the dense model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from core.cli.printing.headline import Headline
from core.cli.printing.layout import Row
from core.cli.printing.tables import SHORT_KEY, DenseDifferences, Names, chain_words, column, packed_words, shown
from core.notation import chain
from core.results import Result

if TYPE_CHECKING:
    from core.analysis.differences import Samples

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
    shared = chain.shared(result.variant.stages)
    known = {"calibration": shared.calibration, "train": shared.train, "seed": shared.seed}
    texts = {name: "" if value is None else str(value) for name, value in known.items()}
    return {**texts, "dtype": result.variant.dtype}


def overview(
    results: Sequence[Result], references: Iterable[Result], headline: Headline, samples: Samples, names: Names
) -> list[Row]:
    """Return one row per result with its size and its headline numbers, compared with the dense references."""
    from core.analysis.differences import number_of, number_of_mean
    from core.analysis.seven import MEAN

    pairs = DenseDifferences([headline.shown(one) for one in (*references, *results)], samples)
    tasks = next((seven[0] for result in results if (seven := headline.accuracies(result))), None)
    mean_column = column(tasks).replace(f"acc {tasks.dataset}", MEAN) if tasks else ""
    rows = []
    for result, row in zip(results, leading(results, names), strict=True):
        size, key = result.footprint, result.variant.key
        row |= {"packed MB": packed_words(result), "bits per weight": f"{size.bits_per_weight:.2f}" if size else ""}
        if headline.text:
            text = headline.perplexity(result)
            row[headline.text] = pairs.short_cell(key, number_of(text), "perplexity", text.value) if text else ""
        if tasks and headline.protocol:
            mean, number = headline.mean(result), number_of_mean(headline.protocol)
            row[mean_column] = "" if mean is None else pairs.short_cell(key, number, "acc", mean)
        rows.append(row)
    return rows


def short_rows(results: Sequence[Result], samples: Samples, names: Names) -> list[Row]:
    """Return one row per result with its size and all its numbers, compared with the dense results among them."""
    from core.analysis.differences import number_of

    pairs, rows = DenseDifferences(results, samples), []
    columns = list(dict.fromkeys(column(one) for result in results for one in result.measurements if shown(one)))
    for result, row in zip(results, leading(results, names), strict=True):
        key = result.variant.key
        cells = {
            column(one): pairs.short_cell(key, number_of(one), one.metric, one.value)
            for one in result.measurements
            if shown(one)
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


def _identity(result: Result, names: Names) -> tuple[str, str]:
    return names[result.variant.model_id], chain_words(result.variant)
