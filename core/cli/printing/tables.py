"""Results as tables."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from core.cli.printing.console import messages, output
from core.cli.printing.layout import Row, folded, layout
from core.data.cards import TASKS
from core.metrics import DISTANCES, metric
from core.notation import chain
from core.notation.formatting import format_fewshot, format_number
from core.notation.removal import block_share, format_percent, model_share
from core.results import SENSITIVITY, Measurement, Result, Variant
from core.specs import DTYPES, UNKNOWN, ModelId

if TYPE_CHECKING:
    from pandas import DataFrame

    from core.store.store import Store

SHORT_KEY = 12  # digits of a key in tables, enough for every command
SUMMARY_NOTE = (
    "After a value: its paired difference to dense, the unadjusted 95 % interval in brackets, and p. "
    "Holm's method adjusts p over the variants of the table."
)
SHORT_NOTE = (
    "After a value: its paired difference to dense, as a factor of perplexity or in points of accuracy. "
    "In parentheses: not significant after Holm's adjustment over the rows shown. "
    "`slimscope compare` gives intervals and p."
)

Name = TypeVar("Name")
Value = TypeVar("Value")
Names = Mapping[ModelId, str]  # display names


def summary(results: Sequence[Result], store: "Store", names: Names) -> list[Row]:
    """Return one row per variant with `facts` and one column per number; missing numbers are empty.

    A number has its paired difference to dense, as `SUMMARY_NOTE` explains, or else its standard error. `names` are
    display names of models.
    """
    pairs = DenseDifferences(results, store)
    numbers = [{column(m): pairs.cell(result, m) for m in result.measurements if shown(m)} for result in results]
    columns = sorted({name for row in numbers for name in row})
    return [
        {**facts(result, names), **{name: row.get(name, "") for name in columns}}
        for result, row in zip(results, numbers, strict=True)
    ]


def facts(result: Result, names: Names) -> Row:
    """Return the identity, removed shares and size of a result; `names` are display names of models."""
    variant, size = result.variant, result.footprint
    seed = chain.common_defaults(variant.stages).seed
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
    """Return the chain of a variant, marked if its training was cancelled."""
    return chain.format_chain(variant.stages) + (" (cancelled)" if variant.cut_short else "")


def packed_megabytes(result: Result) -> float | None:
    """Return the packed size in MB of 10^6 bytes; None if unknown."""
    size = result.footprint
    return result.variant.details.get("packed_mb") if size is None else size.packed_bytes / 1e6


def packed_words(result: Result) -> str:
    """Format the packed size in MB; empty if unknown."""
    packed = packed_megabytes(result)
    return "" if packed is None else f"{packed:.1f}"


def shown(measurement: Measurement) -> bool:
    """Return whether tables show a number: all but layer sensitivities, and only the main metric of a task."""
    return measurement.metric != SENSITIVITY and usual(measurement.dataset, measurement.metric)


def usual(dataset: str, metric: str) -> bool:
    """Return whether a metric is the main one of a task (acc or acc_norm); True for other data sets."""
    task = TASKS.get(dataset.partition("@")[0])
    return task is None or metric == task.metric


def column(measurement: Measurement) -> str:
    """Return the column name of a measurement: metric, data set and the distinctive parts of its protocol."""
    protocol = measurement.protocol
    name = f"{measurement.metric} {measurement.dataset}"
    if measurement.on_windows:
        name = f"{measurement.metric} {measurement.text}"
        product = protocol.get("dtype", UNKNOWN) not in (*DTYPES, UNKNOWN)  # quantised, such as `float32 x int8`
        return f"{name} {protocol['dtype']}" if product else name
    if "batch" in protocol:
        unit = metric(measurement.metric).unit.replace(" per ", "/")
        return f"{measurement.metric} {unit}, batch {protocol['batch']}"
    name += f":{protocol['limit']}" if protocol.get("limit") else ""
    name += f" {format_fewshot(protocol['fewshot'])}" if protocol.get("fewshot") else ""
    dtype = protocol.get("dtype", "float32")
    return name if dtype == "float32" else f"{name} {dtype}"


def measured(measurement: Measurement) -> str:
    """Return a measured value with its standard error or, of a distance to dense, its 95 % interval, if known."""
    from core.findings.numbers.paired import distance_interval
    from core.findings.numbers.reporting import interval_words

    write = partial(written, measurement.metric)
    if measurement.metric in DISTANCES:
        interval = interval_words(*distance_interval(measurement), write)
        return " ".join(part for part in (write(measurement.value), interval) if part)
    known = [value for value in (measurement.value, measurement.stderr) if value is not None]
    return " ± ".join(map(write, known))


def written(name: str, value: float) -> str:
    """Format a value of the metric of a name; abbreviate large values."""
    one = metric(name)
    return format_number(value) if one.unit == "nats" or not value < 1e5 else f"{value:.{4 if one.percent else 2}f}"


class DenseDifferences:
    """Paired differences of results to the dense models among them."""

    def __init__(self, results: Sequence[Result], store: "Store"):
        from core.findings.numbers.differences import NUMBER, differences_to_dense
        from core.findings.seeds import Seeds

        seeds = Seeds(store)
        rows = differences_to_dense(results, store.samples, seeds).dropna(subset="verdict").to_dict("records")
        self._rows = {(row["key"], *(row[name] for name in NUMBER)): row for row in rows}

    def short_cell(self, key: str, number: tuple[str, str, str], value: float) -> str:
        """Return a value with its difference to dense, as `SHORT_NOTE` explains, if the pair exists.

        Args:
            key: The key of the variant.
            number: The number's identity by `core.findings.numbers.differences.number_of` or `number_of_mean`.
            value: An accuracy in [0, 1], a perplexity, a latency in ms or a memory in MB.
        """
        from core.findings.numbers.reporting import form_of
        from core.findings.numbers.seven import ABOVE_CHANCE
        from core.findings.numbers.verdicts import SIGNIFICANT

        dataset, name, _ = number
        unit = "points" if dataset == ABOVE_CHANCE else "%"
        text = f"{100 * value:.1f} {unit}" if metric(name).on == "documents" else written(name, value)
        row = self._rows.get((key, *number))
        if row is None:
            return text
        change, _ = form_of(name).words(row)
        return f"{text}, {change}" if row["verdict"] in SIGNIFICANT else f"{text}, ({change})"

    def difference(self, result: Result, measurement: Measurement, verdict: bool = False) -> str:
        """Return a difference with interval and p, and optionally its verdict; empty without a pair."""
        from core.findings.numbers.differences import number_of
        from core.findings.numbers.reporting import adjusted_words, format_difference, marked_verdict

        row = self._rows.get((result.variant.key, *number_of(measurement)))
        if row is None:
            return ""
        unit = " points" if metric(measurement.metric).percent else ""
        return format_difference(row) + unit + adjusted_words(row) + (f", {marked_verdict(row)}" if verdict else "")

    def cell(self, result: Result, measurement: Measurement) -> str:
        """Return a value with its difference, or else with its standard error."""
        change = self.difference(result, measurement)
        return f"{written(measurement.metric, measurement.value)}, {change}" if change else measured(measurement)


def with_rows(result: Result, rows: Sequence[Measurement]) -> Result:
    """Return a result with only some of its numbers."""
    return result.model_copy(update={"measurements": tuple(rows)})


def warn_few(results: Iterable[Result]) -> None:
    """Warn on stderr about the standard errors of numbers measured here: of few windows or documents, or widened."""
    from core.findings.numbers.few import few_of
    from core.findings.numbers.paired import PAIRED

    rows = [row for result in results for row in result.measurements if row.metric in PAIRED]
    if warning := few_of(row for row in rows if row.origin == "measured"):
        messages.print(warning, markup=False)


def print_table(rows: Sequence[Row], title: str | None = None, note: str | None = None) -> None:
    """Print rows on stdout as tables no wider than `output`, with a title above and a note below.

    Columns that do not fit follow in further tables, which repeat the first column and omit empty rows. A first column
    without spaces is not wrapped, because users copy it.
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
        others = list(widths)[1:]
        for row in rows:
            if len(tables) == 1 or any(row[name] for name in others):
                table.add_row(*(Text(folded(row[name], width)) for name, width in widths.items()))
        output.print(table)
    if note:
        output.print(note, markup=False)


def print_tsv(rows: Sequence[Row]) -> None:
    """Print a header and rows as tab-separated values, for `cut`, `sort` and spreadsheets."""
    from core.findings.numbers.sheets import harmless

    for cells in (*map(list, rows[:1]), *(row.values() for row in rows)):
        typer.echo("\t".join(harmless(" ".join(cell.split())) for cell in cells))


def as_json(result: Result, indent: int | None = None) -> str:
    """Return a result as JSON; its variant includes the chain and the options that its stages share."""
    written = json.loads(result.model_dump_json())
    shared = chain.common_defaults(result.variant.stages)
    texts = {"calibration": shared.calibration, "train": shared.train}
    written["variant"] |= {"chain": chain.format_chain(result.variant.stages)}
    written["variant"] |= {name: None if text is None else str(text) for name, text in texts.items()}
    written["variant"] |= {"seed": shared.seed}
    return json.dumps(written, indent=indent, ensure_ascii=False)


def print_numbers(frame: "DataFrame", json_list: bool) -> None:
    """Print a table with all digits, as a JSON list or as CSV."""
    from core.findings.numbers.sheets import csv_text

    if json_list:
        rows = [plain(row) for row in frame.to_dict("records")]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        typer.echo(csv_text(frame), nl=False)


def plain(row: Mapping[Name, Value]) -> dict[Name, Value | None]:
    """Return a row with None for NaN and infinity, which JSON lacks."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }
