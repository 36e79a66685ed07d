"""One result in full: what it is, what it takes up, its numbers beside dense, its texts, and the command for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.achieved import embedding_words, format_percent
from core.chain import format_chain
from core.cli.console import output, say
from core.cli.reproduce import reproduce
from core.cli.tables import DenseDifferences, Names, column, facts, measured, print_table
from core.errors import UserError
from core.registry import data_requirement, quantises
from core.results import SENSITIVITY, Measurement, Result

if TYPE_CHECKING:
    from core.analysis.differences import Samples

MOST_PARTS = 10  # of a scan that are told
READERS = {"calibration": "calibrated on", "training": "trained on"}


def describe_result(
    result: Result,
    dense: Result | None,
    samples: Samples,
    names: Names,
    first: Sequence[Measurement] | None = None,
    scans: bool = True,
) -> None:
    """Print one result: what it is, what it takes up, its texts, its numbers, also beside dense, and its worst linears.

    Args:
        result: What is printed.
        dense: The dense model that it was made of, if there is a result of that.
        samples: As `Store.samples`.
        names: Display names of models.
        first: The numbers to print, where the others are only counted; all by default.
        scans: Whether to print what scans found.
    """
    from core.analysis.reporting import UNADJUSTED

    print_table([facts(result, names)])
    if said := embedding_words(result):
        output.print(said, markup=False)
    every = [row for row in result.measurements if row.metric != SENSITIVITY]
    rows = every if first is None else first
    if texts := text_words(result, rows):
        say(texts)
    told = DenseDifferences([result] if dense is None else [dense, result], samples)
    print_table(
        [
            {
                "metric": m.metric,
                "on": column(m).partition(" ")[2],
                "value": measured(m),
                f"vs dense, {UNADJUSTED}": told.difference(result, m, verdict=True),
                "n": str(m.n),
            }
            for m in rows
        ]
    )
    if others := len(every) - len(rows):
        some, them = ("number of this variant is", "it") if others == 1 else ("numbers of this variant are", "them")
        say(f"{others} other {some} stored: `slimscope results {result.variant.key[:8]}` shows {them}.")
    if scans:
        _describe_scan(result)
    _describe_layers(result)
    print_command(
        result.model_copy(update={"measurements": tuple(m for m in result.measurements if _kept(m, rows, scans))})
    )


def _kept(row: Measurement, rows: Sequence[Measurement], scans: bool) -> bool:
    return scans if row.metric == SENSITIVITY else row in rows


def text_words(result: Result, rows: Sequence[Measurement]) -> str:
    """Say which texts and tasks stand behind a variant and some of its numbers; empty of what was made elsewhere."""
    variant, parts = result.variant, []
    if variant.is_external:
        return ""
    for kind, verb in READERS.items():
        texts = {
            f"{stage.calibration}, seed {stage.seed}" if stage.seed is not None else str(stage.calibration): None
            for stage in variant.stages
            if stage.calibration and data_requirement(stage) == kind
        }
        parts += [f"{verb} {' and '.join(texts)}"] if texts else []
    measured_on = dict.fromkeys(column(row).partition(" ")[2] for row in rows if "batch" not in row.protocol)
    parts += [f"measured on {', '.join(measured_on)}"] if measured_on else []
    said = "; ".join(parts)
    return f"{format_chain(variant.stages)}: {said}." if said else ""


def print_command(result: Result) -> None:
    """Print the command that makes a result again, or why there is none; whole, so that it can be copied."""
    try:
        say(f"To reproduce it:\n{reproduce(result)}")
    except UserError as error:
        say(f"There is no command that reproduces it: {error}")


def _describe_layers(result: Result) -> None:
    """Print the linears that the last stage left furthest from what they were."""
    layers = result.last_layers
    errors = [(layer.error, layer) for layer in layers if layer.error is not None]
    what = "convolution" if result.of_convolutions else "linear"
    rounded = any(quantises(result.variant.stages[layer.stage]) for layer in layers)  # whose zeros are codes
    worst = sorted(errors, key=lambda pair: -pair[0])[:5]
    rows = [
        {
            what: layer.name,
            **({"bits": str(layer.bits)} if rounded else {"sparsity": format_percent(layer.sparsity)}),
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
