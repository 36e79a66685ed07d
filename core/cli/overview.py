"""A short line a result: what it is, its size, and its headline numbers beside those of the dense model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from core import chain
from core.cli.headline import Headline
from core.cli.tables import SHORT_KEY, DenseDifferences, Names, Row, chain_words, column, packed_words, shown
from core.results import Result

if TYPE_CHECKING:
    from core.analysis.differences import Samples

MOST_NAMED = 3  # columns that are not shown


def leading(results: Sequence[Result], names: Names) -> list[Row]:
    """Return what each row is of: its key, its model where there are several, and its chain.

    Texts, seed and precision follow the chain where rows of one model and chain differ in them.
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
    """Return what may differ between rows of one model and chain: texts, seed and precision; empty where none is."""
    beside = chain.shared(result.variant.stages)
    known = {"calibration": beside.calibration, "train": beside.train, "seed": beside.seed}
    found = {name: "" if value is None else str(value) for name, value in known.items()}
    return {**found, "dtype": result.variant.dtype}


def overview(
    results: Sequence[Result], references: Iterable[Result], headline: Headline, samples: Samples, names: Names
) -> list[Row]:
    """Return a row a result with its size and its headline numbers, beside those of the references, dense models."""
    from core.analysis.differences import number_of, number_of_mean
    from core.analysis.seven import MEAN

    told = DenseDifferences([headline.shown(one) for one in (*references, *results)], samples)
    tasks = next((seven[0] for result in results if (seven := headline.accuracies(result))), None)
    mean_column = column(tasks).replace(f"acc {tasks.dataset}", MEAN) if tasks else ""
    rows = []
    for result, row in zip(results, leading(results, names), strict=True):
        size, key = result.footprint, result.variant.key
        row |= {"packed MB": packed_words(result), "bits per weight": f"{size.bits_per_weight:.2f}" if size else ""}
        if headline.text:
            text = headline.perplexity(result)
            row[headline.text] = told.short_cell(key, number_of(text), "perplexity", text.value) if text else ""
        if tasks and headline.protocol:
            mean, number = headline.mean(result), number_of_mean(headline.protocol)
            row[mean_column] = "" if mean is None else told.short_cell(key, number, "acc", mean)
        rows.append(row)
    return rows


def short_rows(results: Sequence[Result], samples: Samples, names: Names) -> list[Row]:
    """Return a row a result with its size and all numbers that it is given with, beside those of dense among them."""
    from core.analysis.differences import number_of

    told, rows = DenseDifferences(results, samples), []
    columns = list(dict.fromkeys(column(one) for result in results for one in result.measurements if shown(one)))
    for result, row in zip(results, leading(results, names), strict=True):
        key = result.variant.key
        cells = {
            column(one): told.short_cell(key, number_of(one), one.metric, one.value)
            for one in result.measurements
            if shown(one)
        }
        rows.append({**row, "packed MB": packed_words(result), **{name: cells.get(name, "") for name in columns}})
    return rows


def others_note(results: Sequence[Result], headline: Headline) -> str:
    """Say which numbers of the results are in no column, and which commands show them; empty where there is none."""
    there = dict.fromkeys(column(one) for result in results for one in result.measurements if shown(one))
    seen = {column(one) for result in results for one in headline.shown(result).measurements}
    names = [name for name in there if name not in seen]
    if not names:
        return ""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return (
        f"Not shown: {', '.join(names[:MOST_NAMED])}{more}. `slimscope results KEY` shows one result in full, --tsv "
        "and --csv all numbers."
    )


def _identity(result: Result, names: Names) -> tuple[str, str]:
    return names[result.variant.model_id], chain_words(result.variant)
