"""Results as tables."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from core import chain
from core.achieved import format_percent
from core.cli.console import messages, output
from core.cli.layout import Row, folded, layout
from core.data.cards import TASKS
from core.formatting import format_fewshot, format_number
from core.removal import block_share, model_share
from core.results import SENSITIVITY, Measurement, Result, Variant
from core.specs import DTYPES, UNKNOWN, ModelId, Perplexity

if TYPE_CHECKING:
    from core.analysis.differences import Samples

SHORT_KEY = 12  # digits of a key that are shown, and enough to delete by
SUMMARY_NOTE = (
    "After a value: its paired difference to dense, in brackets with the unadjusted 95 % interval, and p adjusted by "
    "Holm over the variants of the table."
)
SHORT_NOTE = (
    "After a value: its paired difference to dense, a factor of perplexities or points of accuracies, in brackets "
    "where it is not significant after Holm over the rows shown. `slimscope compare` gives intervals and p."
)

Names = Mapping[ModelId, str]  # display names


def summary(results: Sequence[Result], samples: "Samples", names: Names) -> list[Row]:
    """Return one row a variant with what it removes and its numbers, a column a protocol; missing ones are empty.

    `names` are the models' display names.

    Beside a number stands its difference to that of the dense model, as `SUMMARY_NOTE` says, where both are here and
    can be paired, and elsewhere its standard error.
    """
    told = DenseDifferences(results, samples)
    numbers = [{column(m): told.cell(result, m) for m in result.measurements if shown(m)} for result in results]
    columns = sorted({name for row in numbers for name in row})
    return [
        {**facts(result, names), **{name: row.get(name, "") for name in columns}}
        for result, row in zip(results, numbers, strict=True)
    ]


def facts(result: Result, names: Names) -> Row:
    """Return what a result is and what it takes up; `names` are display names of models."""
    variant, size = result.variant, result.footprint
    seed = chain.shared(variant.stages).seed
    return {
        "key": variant.key[:SHORT_KEY],
        "model": names[variant.model_id],
        "chain": chain_words(variant),
        "seed": "" if seed is None else str(seed),
        "block weights removed": format_percent(block_share(result)) if size else "",
        "model removed": format_percent(model_share(result)) if size else "",
        "bits per weight": f"{size.bits_per_weight:.2f}" if size else "",
        "packed MB": packed_words(result),
    }


def chain_words(variant: Variant) -> str:
    """Return the chain of a variant, and whether its training was cancelled."""
    return chain.format_chain(variant.stages) + (" (cancelled)" if variant.cut_short else "")


def packed_megabytes(result: Result) -> float | None:
    """Return the packed size in MB of 10^6 bytes; None where it is not known."""
    size = result.footprint
    return result.variant.details.get("packed_mb") if size is None else size.packed_bytes / 1e6


def packed_words(result: Result) -> str:
    """Write the packed size in MB; empty where it is not known."""
    packed = packed_megabytes(result)
    return "" if packed is None else f"{packed:.1f}"


def shown(measurement: Measurement) -> bool:
    """Whether a number is the one that its task is usually compared by (acc or acc_norm); all but tasks are.

    What a scan found of each part is a table of its own.
    """
    return measurement.metric != SENSITIVITY and usual(measurement.dataset, measurement.metric)


def usual(dataset: str, metric: str) -> bool:
    """Return `shown` of a number by its data set and metric."""
    task = TASKS.get(dataset.partition("@")[0])
    return task is None or metric == task.metric


def column(measurement: Measurement) -> str:
    """Return the name of a measurement's column: metric, data set and what of the protocol tells it from others."""
    protocol = measurement.protocol
    name = f"{measurement.metric} {measurement.dataset}"
    if measurement.of_text:
        text = {name: protocol[name] for name in ("window", "windows", "spread") if name in protocol}
        name = f"{measurement.metric} {Perplexity(corpus=measurement.dataset, **text)}"
        product = protocol.get("dtype", UNKNOWN) not in (*DTYPES, UNKNOWN)  # of codes, such as `float32 x int8`
        return f"{name} {protocol['dtype']}" if product else name
    if "batch" in protocol:
        unit = "MB" if measurement.metric == "memory" else "ms/token"
        return f"{measurement.metric} {unit}, batch {protocol['batch']}"
    name += f":{protocol['limit']}" if protocol.get("limit") else ""
    name += f" {format_fewshot(protocol['fewshot'])}" if protocol.get("fewshot") else ""
    dtype = protocol.get("dtype", "float32")
    return name if dtype == "float32" else f"{name} {dtype}"


def measured(measurement: Measurement) -> str:
    """Return a measured value with its standard error, where that is known."""
    known = [value for value in (measurement.value, measurement.stderr) if value is not None]
    return " ± ".join(written(measurement.metric, value) for value in known)


def written(metric: str, value: float) -> str:
    """Write a value of a metric, large ones short."""
    decimals = 4 if metric.startswith("acc") else 2
    return f"{value:.{decimals}f}" if value < 1e5 else format_number(value)


class DenseDifferences:
    """What results gain or lose against the dense models among them."""

    def __init__(self, results: Sequence[Result], samples: "Samples"):
        from core.analysis.differences import NUMBER, differences_to_dense

        rows = differences_to_dense(results, samples).dropna(subset="verdict").to_dict("records")
        self._rows = {(row["key"], *(row[name] for name in NUMBER)): row for row in rows}

    def short_cell(self, key: str, number: tuple[str, str, str], metric: str, value: float) -> str:
        """Return a value with its difference to dense, as `SHORT_NOTE` says, where the pair could be made.

        Args:
            key: The variant's.
            number: What `core.analysis.differences.number_of` gives of the measurement, or `number_of_mean`.
            metric: As of a measurement.
            value: An accuracy in [0, 1], a perplexity, a latency in ms or a memory in MB.
        """
        from core.analysis.reporting import point_words, ratio_words
        from core.analysis.verdicts import SIGNIFICANT

        accuracy = metric.startswith("acc")
        text = f"{100 * value:.1f} %" if accuracy else written(metric, value)
        row = self._rows.get((key, *number))
        if row is None:
            return text
        change = f"x {ratio_words(row['ratio'])}" if metric == "perplexity" else point_words(row["difference"])
        return f"{text}, {change}" if row["verdict"] in SIGNIFICANT else f"{text}, ({change})"

    def difference(self, result: Result, measurement: Measurement, verdict: bool = False) -> str:
        """Return a difference with interval and p, and with its verdict if wanted; empty where there is no pair."""
        from core.analysis.differences import number_of
        from core.analysis.reporting import adjusted_words, format_difference, verdict_text

        row = self._rows.get((result.variant.key, *number_of(measurement)))
        if row is None:
            return ""
        unit = " points" if measurement.metric.startswith("acc") else ""
        return format_difference(row) + unit + adjusted_words(row) + (f", {verdict_text(row)}" if verdict else "")

    def cell(self, result: Result, measurement: Measurement) -> str:
        """Return a value with its difference, or else with its standard error."""
        found = self.difference(result, measurement)
        return f"{written(measurement.metric, measurement.value)}, {found}" if found else measured(measurement)


def with_rows(result: Result, rows: Sequence[Measurement]) -> Result:
    """Return a result with some of its numbers alone."""
    return result.model_copy(update={"measurements": tuple(rows)})


def warn_few(results: Iterable[Result]) -> None:
    """Say on stderr which numbers that were measured here rest on few windows or documents."""
    from core.analysis.differences import PAIRED
    from core.analysis.few import few_words

    rows = [row for result in results for row in result.measurements if row.metric in PAIRED]
    if said := few_words((row.dataset, row.n) for row in rows if row.origin == "measured"):
        messages.print(said, markup=False)


def print_table(rows: Sequence[Row], title: str | None = None, note: str | None = None) -> None:
    """Print rows on stdout under their names, and a note under them; no line is wider than `output`.

    Columns that do not fit stand in further tables, with the first column, and the rows that say anything there. A
    first column without spaces, which is what one copies, is not wrapped.
    """
    if not rows:
        return
    if title:
        output.print(title, markup=False)
    tables = layout(rows, output.width)
    for place, widths in enumerate(tables):
        if place:
            output.print()
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for name, width in widths.items():
            table.add_column(Text(name), width=width, overflow="fold")
        said = list(widths)[1:]
        for row in rows:
            if len(tables) == 1 or any(row[name] for name in said):
                table.add_row(*(Text(folded(row[name], width)) for name, width in widths.items()))
        output.print(table)
    if note:
        output.print(note, markup=False)


def print_tsv(rows: Sequence[Row]) -> None:
    """Print rows as tab-separated values: a header, and a line a row, for `cut`, `sort` and spreadsheets."""
    from core.analysis.sheets import harmless

    for cells in (*map(list, rows[:1]), *(row.values() for row in rows)):
        typer.echo("\t".join(harmless(" ".join(cell.split())) for cell in cells))


def as_json(result: Result, indent: int | None = None) -> str:
    """Return a result as JSON, its variant with its chain and what is given beside it."""
    written = json.loads(result.model_dump_json())
    beside = chain.shared(result.variant.stages)
    texts = {"calibration": beside.calibration, "train": beside.train}
    written["variant"] |= {"chain": chain.format_chain(result.variant.stages)}
    written["variant"] |= {name: None if text is None else str(text) for name, text in texts.items()}
    written["variant"] |= {"seed": beside.seed}
    return json.dumps(written, indent=indent, ensure_ascii=False)


def plain(row: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a row for JSON, which has neither NaN nor infinity."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }
