"""Results, specs and durations as people read them."""

from collections.abc import Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from core.cli.console import output
from core.data.tasks import TASKS
from core.reached import share
from core.results import Measurement, Result
from core.specs import RunSpec

SHORT_KEY = 12  # digits of a key that are shown, and enough to delete by

Row = dict[str, str]


def summary(results: Sequence[Result]) -> list[Row]:
    """Return one row a variant with what it removes and its numbers, a column a protocol; missing ones are empty."""
    numbers = [{column(m): number(m) for m in result.measurements if shown(m)} for result in results]
    columns = sorted({name for row in numbers for name in row})
    return [
        {**_facts(result), **{name: row.get(name, "") for name in columns}}
        for result, row in zip(results, numbers, strict=True)
    ]


def _facts(result: Result) -> Row:
    variant, size = result.variant, result.footprint
    return {
        "key": variant.key[:SHORT_KEY],
        "model": variant.model,
        "method": " + ".join(filter(None, (variant.method, variant.recovery)))
        + (" (cancelled)" if variant.cut_short else ""),
        "asked": target_name(variant.ratio, variant.pattern),
        "seed": "" if variant.seed is None else str(variant.seed),
        "block weights removed": share(size.block_removed),
        "model removed": share(size.model_removed),
        "packed MB": f"{size.packed_bytes / 1e6:.1f}",
    }


def shown(measurement: Measurement) -> bool:
    """Whether a number is the one that its task is usually compared by (acc or acc_norm); all but tasks are."""
    task = TASKS.get(measurement.dataset.partition("@")[0])
    return task is None or measurement.metric == task.metric


def column(measurement: Measurement) -> str:
    """Return the name of a measurement's column: metric, data set and what of the protocol tells it from others."""
    protocol = measurement.protocol
    name = f"{measurement.metric} {measurement.dataset}"
    if measurement.of_text:
        return f"{name}@{protocol['window']}" + (f":{protocol['windows']}" if protocol.get("windows") else "")
    if "batch" in protocol:
        unit = "MB" if measurement.metric == "memory" else "ms/token"
        return f"{measurement.metric} {unit}, batch {protocol['batch']}"
    return name + (f":{protocol['limit']}" if protocol.get("limit") else "")


def number(measurement: Measurement) -> str:
    digits = 4 if measurement.metric.startswith("acc") else 2
    spread = "" if measurement.stderr is None else f" ± {measurement.stderr:.{digits}f}"
    value = measurement.value
    return (f"{value:.{digits}f}" if value < 1e5 else f"{value:.2e}") + spread


def target_name(ratio: float | None, pattern: str | None) -> str:
    return pattern or ("" if ratio is None else f"{ratio:g}")


def point_name(spec: RunSpec) -> str:
    """Return a spec in a few words."""
    stage = spec.variant.stages[0]
    seed = f"seed {stage.seed}" if stage.seed else ""
    later = [f"+ {stage.method}" for stage in spec.variant.stages[1:]]
    words = [spec.variant.model, stage.method, target_name(stage.ratio, stage.pattern), *later, seed]
    return " ".join(filter(None, words))


def duration(seconds: float) -> str:
    """Return a rough duration, such as `about 6 min`."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def print_table(rows: Sequence[Row], title: str | None = None) -> None:
    """Print rows on stdout under their names; the first column, which is what one copies, is never cut."""
    if rows:
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
        for index, name in enumerate(rows[0]):
            table.add_column(name, no_wrap=index == 0, overflow="fold")
        for row in rows:
            table.add_row(*map(escape, row.values()))
        output.print(table)


def describe_result(result: Result) -> None:
    """Print one result: what it is, what it takes up, its numbers, and its worst linears."""
    print_table([_facts(result)])
    print_table(
        [
            {"metric": m.metric, "on": column(m).partition(" ")[2], "value": number(m), "n": str(m.n)}
            for m in result.measurements
        ]
    )
    worst = sorted((layer for layer in result.layers if layer.error is not None), key=lambda layer: -layer.error)[:5]
    rows = [
        {
            "linear": layer.name,
            "sparsity": share(layer.sparsity),
            f"relative {layer.error_kind} error": f"{layer.error:.4f}",
            "note": layer.note or "",
        }
        for layer in worst
    ]
    print_table(rows, f"Highest errors of {len(result.layers)} linears")
