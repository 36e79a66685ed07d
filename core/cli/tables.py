"""Results as tables."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.markup import escape
from rich.table import Table

from core import chain
from core.cli.console import messages, output
from core.data.cards import TASKS
from core.reached import embedding_words, share
from core.registry import rounds
from core.removal import block_share, model_share
from core.results import SENSITIVITY, Measurement, Result
from core.specs import ModelId, Perplexity
from core.words import number, shots

if TYPE_CHECKING:
    from core.analysis.differences import Samples

MOST_PARTS = 10  # of a scan that are told
SHORT_KEY = 12  # digits of a key that are shown, and enough to delete by
SUMMARY_NOTE = (
    "After a value: its paired difference to dense, in brackets with the unadjusted 95 % interval, and p adjusted by "
    "Holm over the variants of the table."
)

Row = dict[str, str]
Names = Mapping[ModelId, str]  # display names


def summary(results: Sequence[Result], samples: "Samples", names: Names) -> list[Row]:
    """Return one row a variant with what it removes and its numbers, a column a protocol; missing ones are empty.

    `names` are the models' display names.

    Beside a number stands its difference to that of the dense model, as `SUMMARY_NOTE` says, where both are here and
    can be paired, and elsewhere its standard error.
    """
    told = Told(results, samples)
    numbers = [{column(m): told.cell(result, m) for m in result.measurements if shown(m)} for result in results]
    columns = sorted({name for row in numbers for name in row})
    return [
        {**_facts(result, names), **{name: row.get(name, "") for name in columns}}
        for result, row in zip(results, numbers, strict=True)
    ]


def _facts(result: Result, names: Names) -> Row:
    variant, size = result.variant, result.footprint
    packed = variant.details.get("packed_mb") if size is None else size.packed_bytes / 1e6
    seed = chain.shared(variant.stages).seed
    return {
        "key": variant.key[:SHORT_KEY],
        "model": names[variant.model_id],
        "chain": chain.written(variant.stages) + (" (cancelled)" if variant.cut_short else ""),
        "seed": "" if seed is None else str(seed),
        "block weights removed": share(block_share(result)) if size else "",
        "model removed": share(model_share(result)) if size else "",
        "bits per weight": f"{size.bits_per_weight:.2f}" if size else "",
        "packed MB": "" if packed is None else f"{packed:.1f}",
    }


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
        return f"{measurement.metric} {Perplexity(corpus=measurement.dataset, **text)}"
    if "batch" in protocol:
        unit = "MB" if measurement.metric == "memory" else "ms/token"
        return f"{measurement.metric} {unit}, batch {protocol['batch']}"
    name += f":{protocol['limit']}" if protocol.get("limit") else ""
    name += f" {shots(protocol['fewshot'])}" if protocol.get("fewshot") else ""
    dtype = protocol.get("dtype", "float32")
    return name if dtype == "float32" else f"{name} {dtype}"


def measured(measurement: Measurement) -> str:
    """Return a measured value with its standard error, where that is known."""
    known = [value for value in (measurement.value, measurement.stderr) if value is not None]
    return " ± ".join(written(measurement.metric, value) for value in known)


def written(metric: str, value: float) -> str:
    """Write a value of a metric, large ones short."""
    decimals = 4 if metric.startswith("acc") else 2
    return f"{value:.{decimals}f}" if value < 1e5 else number(value)


class Told:
    """What results gain or lose against the dense models among them."""

    def __init__(self, results: Sequence[Result], samples: "Samples"):
        from core.analysis.differences import NUMBER, beside_dense

        rows = beside_dense(results, samples).dropna(subset="verdict").to_dict("records")
        self._rows = {(row["key"], *(row[name] for name in NUMBER)): row for row in rows}

    def difference(self, result: Result, measurement: Measurement, verdict: bool = False) -> str:
        """Return a difference with interval and p, and with its verdict if wanted; empty where there is no pair."""
        from core.analysis.differences import number_of
        from core.analysis.told import adjusted_words, figures, said

        row = self._rows.get((result.variant.key, *number_of(measurement)))
        if row is None:
            return ""
        unit = " points" if measurement.metric.startswith("acc") else ""
        return figures(row) + unit + adjusted_words(row) + (f", {said(row)}" if verdict else "")

    def cell(self, result: Result, measurement: Measurement) -> str:
        """Return a value with its difference, or else with its standard error."""
        found = self.difference(result, measurement)
        return f"{written(measurement.metric, measurement.value)}, {found}" if found else measured(measurement)


def warn_few(results: Iterable[Result]) -> None:
    """Say on stderr which numbers that were measured here rest on few windows or documents."""
    from core.analysis.differences import PAIRED
    from core.analysis.few import few_words

    rows = [row for result in results for row in result.measurements if row.metric in PAIRED]
    if said := few_words((row.dataset, row.n) for row in rows if row.origin == "measured"):
        messages.print(said, markup=False)


def print_table(rows: Sequence[Row], title: str | None = None, note: str | None = None) -> None:
    """Print rows on stdout under their names, and a note under them.

    The first column, which is what one copies, is never cut.
    """
    if rows:
        table = Table(title=title and escape(title), title_justify="left", box=box.SIMPLE_HEAD)
        table.caption, table.caption_justify = note, "left"
        for index, name in enumerate(rows[0]):
            table.add_column(escape(name), no_wrap=index == 0, overflow="fold")
        for row in rows:
            table.add_row(*map(escape, row.values()))
        output.print(table)


def as_json(result: Result, indent: int | None = None) -> str:
    """Return a result as JSON, its variant with its chain and what is given beside it."""
    written = json.loads(result.model_dump_json())
    beside = chain.shared(result.variant.stages)
    texts = {"calibration": beside.calibration, "train": beside.train}
    written["variant"] |= {"chain": chain.written(result.variant.stages)}
    written["variant"] |= {name: None if text is None else str(text) for name, text in texts.items()}
    written["variant"] |= {"seed": beside.seed}
    return json.dumps(written, indent=indent, ensure_ascii=False)


def plain(row: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a row for JSON, which has neither NaN nor infinity."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }


def describe_result(result: Result, dense: Result | None, samples: "Samples", names: Names) -> None:
    """Print one result: what it is, what it takes up, its numbers, also beside dense, and its worst linears."""
    from core.analysis.told import UNADJUSTED

    print_table([_facts(result, names)])
    if said := embedding_words(result):
        output.print(said, markup=False)
    told = Told([result] if dense is None else [dense, result], samples)
    print_table(
        [
            {
                "metric": m.metric,
                "on": column(m).partition(" ")[2],
                "value": measured(m),
                f"vs dense, {UNADJUSTED}": told.difference(result, m, verdict=True),
                "n": str(m.n),
            }
            for m in result.measurements
            if m.metric != SENSITIVITY
        ]
    )
    _describe_scan(result)
    layers = result.last_layers
    errors = [(layer.error, layer) for layer in layers if layer.error is not None]
    what = "convolution" if result.of_convolutions else "linear"
    rounded = any(rounds(result.variant.stages[layer.stage]) for layer in layers)  # whose zeros are codes
    worst = sorted(errors, key=lambda pair: -pair[0])[:5]
    rows = [
        {
            what: layer.name,
            **({"bits": str(layer.bits)} if rounded else {"sparsity": share(layer.sparsity)}),
            f"relative {layer.error_kind} error": f"{error:.4f}",
            "note": layer.note or "",
        }
        for error, layer in worst
    ]
    print_table(rows, f"Highest errors of {len(layers)} {what}s")


def _describe_scan(result: Result) -> None:
    """Print of each scan the parts that matter most."""
    scans: dict[tuple[str, str], list[Measurement]] = {}
    for row in result.measurements:
        if row.metric == SENSITIVITY:
            scans.setdefault((row.protocol["by"], row.dataset), []).append(row)
    for (by, corpus), parts in scans.items():
        most = sorted(parts, key=lambda row: -row.value)[:MOST_PARTS]
        rows = [
            {
                by: row.protocol["part"],
                "loss rises by": f"{row.value:.4f}" + ("" if row.stderr is None else f" ± {row.stderr:.4f}"),
                "perplexity": f"x {math.exp(row.value):.4f}",
            }
            for row in most
        ]
        print_table(rows, f"Most sensitive of {len(parts)} {by}s, each compressed alone, on {corpus}")
