"""The papers' values as results, which pages and exports treat like measured ones.

A paper's variant is a stage with a label and an amount. Its dense numbers, too, stay separate from the measured ones.
Only the Published page shows accuracies on tasks that the catalogue lacks, or whose normalisation the paper omits.
"""

from collections.abc import Hashable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from core.amount import Pattern
from core.base import paths
from core.data.cards import TASKS
from core.models.catalogue import BY_ID
from core.notation.chain import DENSE
from core.results import Measurement, Result, Variant
from core.specs import PUBLISHED, UNKNOWN, RatioKind, Stage, VariantSpec
from core.store import bundled

PERPLEXITY = "perplexity"
Row = Mapping[Hashable, Any]  # Any: each column of the table has its own type
TUNED = "LoRA"  # the papers' label of recovery


def paper_results() -> dict[str, Result]:
    """Return a result for each variant in the papers' tables whose model is in the catalogue, by its key."""
    return _read(bundled.stamp(paths.SHIPPED_PUBLISHED, "*.csv"))


@lru_cache(maxsize=2)
def _read(_files: bundled.Stamp) -> dict[str, Result]:
    results: dict[str, Result] = {}
    for row in bundled.published().to_dict("records"):
        known = row["metric"] == PERPLEXITY or row["dataset"] in TASKS
        if known and row["measure"] and row["model"].lower() in BY_ID:
            result = _result(row)
            key = result.variant.key
            results[key] = results[key].updated(result) if key in results else result
    return results


def _result(row: Row) -> Result:
    model, stages = row["model"].lower(), _stages(row)
    spec = VariantSpec(model=model, revision=PUBLISHED, stages=stages)
    source = {name: row[name] for name in ("paper", "table", "note", "url")}
    runs = (source,) * len(stages)
    variant = Variant(key=spec.key, model=model, revision=PUBLISHED, dtype=spec.dtype, stages=stages, stage_runs=runs)
    return Result(variant=variant, footprint=None, measurements=(_measurement(row),))


def _stages(row: Row) -> tuple[Stage, ...]:
    if row["method"].lower() == DENSE:
        return (Stage(method=DENSE),)
    pattern = Pattern.parse(row["ratio_kind"]) if ":" in row["ratio_kind"] else None
    kind: RatioKind = "parameters" if row["ratio_kind"] == "structured" else "sparsity"
    label = {"label": row["method"]}
    first = Stage(method=PUBLISHED, ratio=row["ratio"], ratio_kind=kind, amount=pattern, parameters=label)
    return (first, Stage(method=PUBLISHED, parameters={"label": TUNED})) if row["tuned"] else (first,)


def _measurement(row: Row) -> Measurement:
    source = f"{row['paper']}, {row['table']}"
    if row["metric"] == PERPLEXITY:
        protocol = {"window": int(row["window"]), "windows": None, "dtype": UNKNOWN, "paper": source}
        value, n = row["value"], 0
    else:
        protocol = {"limit": None, "fewshot": int(row["fewshot"]), "dtype": UNKNOWN, "paper": source}
        value, n = row["value"] / 100, TASKS[row["dataset"]].documents
    return Measurement(
        metric=row["measure"], dataset=row["dataset"], value=value, n=n, protocol=protocol, origin="published"
    )


def models_of(results: Iterable[Result]) -> list[str]:
    """Return the models of results, smallest first."""
    return sorted({one.variant.model for one in results}, key=lambda model: BY_ID[model].parameters)
