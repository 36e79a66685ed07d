"""Results and models in words: one result in full with the command that reproduces it, and runs before they start."""

import math
from collections.abc import Sequence
from itertools import groupby
from shlex import quote
from typing import TYPE_CHECKING

from core.base.errors import UserError
from core.cli.printing.console import output, say
from core.cli.printing.layout import Row
from core.cli.printing.tables import DenseDifferences, Names, column, facts, measured, print_table
from core.notation.chain import format_chain
from core.notation.removal import embedding_words, format_percent, uncovered_words
from core.registry import data_requirement, quantises
from core.request.expected.size import size_of_variant
from core.request.inspection import Applicability, sweep_rows
from core.request.reproduce import reproduce
from core.results import SENSITIVITY, Measurement, Result
from core.shipping.formats import file_columns, file_sentence
from core.specs import RunSpec
from core.store.store import Store

if TYPE_CHECKING:
    from core.store.store import Store

MOST_PARTS = 10  # blocks or linears shown per sensitivity scan
READERS = {"calibration": "calibrated on", "training": "trained on"}


def describe_result(
    result: Result,
    dense: Result | None,
    store: Store,
    names: Names,
    first: Sequence[Measurement] | None = None,
    scans: bool = True,
) -> None:
    """Print one result: chain, size, data, numbers compared with dense, sensitivity, worst linears and command.

    Args:
        result: The result to print.
        dense: The result of its dense model, if there is one.
        store: The store that has them.
        names: Display names of models.
        first: The numbers to print; others are only counted. Default: all.
        scans: Whether to print layer sensitivities.
    """
    from core.findings.numbers.reporting import UNADJUSTED

    print_table([facts(result, names)])
    files = file_sentence(result.variant, result.footprint)
    for sentence in filter(None, (files, uncovered_words(result), embedding_words(result))):
        output.print(sentence, markup=False)
    every = [row for row in result.measurements if row.metric != SENSITIVITY]
    rows = every if first is None else first
    if texts := text_words(result, rows):
        say(texts)
    pairs = DenseDifferences([result] if dense is None else [dense, result], store)
    print_table(
        [
            {
                "metric": m.metric,
                "on": column(m).partition(" ")[2],
                "value": measured(m),
                f"vs dense, {UNADJUSTED}": pairs.difference(result, m, verdict=True),
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
    printed = (m for m in result.measurements if (scans if m.metric == SENSITIVITY else m in rows))
    print_command(result.model_copy(update={"measurements": tuple(printed)}))


def text_words(result: Result, rows: Sequence[Measurement]) -> str:
    """Name the data that a variant and some of its numbers come from; empty for external variants."""
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
    return f"{format_chain(variant.stages)}: {'; '.join(parts)}." if parts else ""


def print_command(result: Result) -> None:
    """Print the command that reproduces a result, or why none does."""
    try:
        say(f"To reproduce it:\n{reproduce(result)}")
    except UserError as error:
        say(f"This variant cannot be reproduced: {error}")


def _describe_layers(result: Result) -> None:
    """Print the linears with the highest errors of the last stage."""
    layers = result.last_layers
    errors = [(layer.error, layer) for layer in layers if layer.error is not None]
    quantised = any(quantises(result.variant.stages[layer.stage]) for layer in layers)  # zeros are codes there
    worst = sorted(errors, key=lambda pair: -pair[0])[:5]
    rows = [
        {
            "linear": layer.name,
            **({"bits": str(layer.bits)} if quantised else {"sparsity": format_percent(layer.sparsity)}),
            f"relative {layer.error_kind} error": f"{error:.4f}",
            "note": layer.note or "",
        }
        for error, layer in worst
    ]
    print_table(rows, f"Highest errors of {len(layers)} linears")


def _describe_scan(result: Result) -> None:
    """Print the most sensitive blocks or linears of each scan."""
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


def families(suited: Sequence[Applicability]) -> list[Row]:
    """Return one row per family and reason, with the methods."""
    rows = []
    for family, members in groupby(suited, lambda one: one.family):
        by_reason: dict[str | None, list[str]] = {}
        for one in members:
            by_reason.setdefault(one.refusal, []).append(one.method)
        for reason, methods in by_reason.items():
            runs = "yes" if reason is None else f"no: {reason}"
            rows.append({"family": family, "methods": ", ".join(methods), "runs": runs})
    return rows


def planned_rows(specs: Sequence[RunSpec], chains: Sequence[str], store: Store) -> list[Row]:
    """Return the rows of `sweep_rows` with the size of each variant as a file, by format."""
    rows = sweep_rows(specs, chains, store)
    return [
        row | file_columns(spec.variant, size_of_variant(spec.variant)) for spec, row in zip(specs, rows, strict=True)
    ]


def sweep_command(model: str, chains: Sequence[str], dtype: str, partial: bool) -> str:
    """Return the command of a sweep over some chains."""
    options = [*(f"--chain {chain}" for chain in chains), *(["--partial"] if partial else [])]
    return f"slimscope sweep --models {quote(model)} --dtype {dtype} {' '.join(options)}"
