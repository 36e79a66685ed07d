"""The description of a model for the command `inspect`, and of runs before they start."""

from collections.abc import Sequence
from itertools import groupby
from shlex import quote

from core.cli.printing.layout import Row
from core.request.expected.size import size_of_variant
from core.request.inspection import Applicability, sweep_rows
from core.shipping.formats import file_columns
from core.specs import RunSpec
from core.store.store import Store


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
