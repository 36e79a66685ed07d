"""Protocols, on which a number depends besides its variant, and matching stored numbers with requested ones."""

from collections.abc import Sequence

from core.metrics import FIDELITY
from core.results import Measurement
from core.specs import Perplexity, RunSpec, Scalar, SensitivityScan, Task


def requested(spec: RunSpec, rows: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """Return the rows that a run requests, in the order of its request."""
    texts = (
        row
        for wanted in spec.perplexity
        for row in rows
        if satisfies(row, wanted, spec.variant.dtype)
        or (spec.fidelity and compares_on(row, wanted, spec.variant.dtype))
    )
    tasks = (row for wanted in spec.tasks for row in rows if satisfies(row, wanted, spec.scoring_dtype))
    return (*texts, *tasks, *(row for row in rows if spec.latency and "batch" in row.protocol))


def satisfies(row: Measurement, wanted: Perplexity | Task | SensitivityScan, dtype: str) -> bool:
    """Return whether a stored row is the requested number in the precision `dtype`.

    The names of the requested texts and tasks are their ids, as `core.request.complete` identifies them.
    """
    if isinstance(wanted, Perplexity):
        return row.metric == "perplexity" and _on_text(row, wanted, dtype)
    if isinstance(wanted, SensitivityScan):
        return scan_protocol(wanted, dtype).items() <= row.protocol.items() and row.dataset == wanted.text.corpus
    alike = task_protocol(wanted, dtype).items() <= row.protocol.items()
    return alike and row.dataset == wanted.task


def compares_on(row: Measurement, wanted: Perplexity, dtype: str) -> bool:
    """Return whether a stored row compares with the dense model on a text, in the precision `dtype`."""
    return row.metric in FIDELITY and _on_text(row, wanted, dtype)


def _on_text(row: Measurement, wanted: Perplexity, dtype: str) -> bool:
    alike = perplexity_protocol(wanted, dtype).items() <= row.protocol.items()
    return alike and wanted.spread == row.protocol.get("spread", False) and row.dataset == wanted.corpus


def perplexity_protocol(wanted: Perplexity, dtype: str) -> dict[str, Scalar]:
    """Return the protocol of a perplexity; `windows` None means all windows."""
    protocol: dict[str, Scalar] = {"window": wanted.window, "windows": wanted.windows, "dtype": dtype}
    return protocol | ({"spread": True} if wanted.spread else {})


def scan_protocol(wanted: SensitivityScan, dtype: str) -> dict[str, Scalar]:
    """Return the protocol of a sensitivity scan; `windows` counts both its calibration and its scored windows."""
    text = wanted.text
    return {"by": wanted.by, "window": text.window, "windows": text.windows, "seed": wanted.seed, "dtype": dtype}


def task_protocol(wanted: Task, dtype: str) -> dict[str, Scalar]:
    """Return the protocol of an accuracy; `limit` None means all documents.

    `dtype` is the precision of the evaluation, which can differ from the variant's own.
    """
    how = wanted.fewshot
    return {"limit": wanted.limit, "fewshot": str(how) if how.non_defaults else how.k, "dtype": dtype}
