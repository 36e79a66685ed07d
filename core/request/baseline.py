"""The part of a run that is not stored yet, and the dense baseline with which its numbers are compared."""

from collections.abc import Iterable, Mapping

from core.base.paths import cached_variant
from core.methods.terms import GRIDS
from core.metrics import FIDELITY
from core.protocols import compares_on, satisfies
from core.registry import leaves
from core.request.stages import build_stage
from core.results import Measurement, Result
from core.specs import Dtype, Perplexity, RunSpec, Task
from core.store.samples import lost, read_samples
from core.store.store import Store


def keys_of(specs: Iterable[RunSpec]) -> set[str]:
    """Return the keys of the variants of some runs and of their dense baselines."""
    return {wanted.variant.key for spec in specs for wanted in (spec, baseline(spec)) if wanted is not None}


def remaining_run(spec: RunSpec, store: Store | Mapping[str, Result]) -> list[RunSpec]:
    """Return the missing parts of a run and of its dense baseline."""
    both = (wanted for wanted in (spec, baseline(spec)) if wanted is not None)
    parts = (missing_part(wanted, None if wanted.force else store.get(wanted.variant.key)) for wanted in both)
    return [part for part in parts if part is not None]


def baseline(spec: RunSpec) -> RunSpec | None:
    """Return the dense model's run with the texts, windows and tasks of `spec`, for comparison.

    The result is None if `spec` measures nothing or the variant is the dense model.
    """
    dense = spec.variant.model_copy(update={"stages": (build_stage("dense"),)})
    if dense.key == spec.variant.key or not (spec.perplexity or spec.tasks or spec.latency):
        return None
    own = ("fidelity", "scan", "save", "format", "precision", "cached")  # not of the dense model
    unsaved = {name: RunSpec.model_fields[name].default for name in own}
    return spec.model_copy(update={"variant": dense, **unsaved, "force": False})


def numbers_of(spec: RunSpec, stored: Result) -> list[Measurement]:
    """Return the stored numbers that a run wanted on its texts and tasks."""
    wanted: list[tuple[Perplexity | Task, Dtype]] = [(text, spec.variant.dtype) for text in spec.perplexity]
    wanted += [(task, spec.scoring_dtype) for task in spec.tasks]
    return [row for row in stored.measurements if any(satisfies(row, *one) for one in wanted)]


def missing_part(spec: RunSpec, stored: Result | None) -> RunSpec | None:
    """Return the part of `spec` that is not in `stored`, or None if everything is.

    A number whose samples are in a damaged file counts as missing, and in a `paired` run one without samples, too.
    """
    if stored is None:
        return spec
    rows, dtype, key = stored.measurements, spec.variant.dtype, stored.variant.key

    def usable(row: Measurement) -> bool:
        return read_samples(key, row) is not None if spec.paired else not lost(key, row)

    def answered(wanted: Perplexity | Task, precision: str) -> bool:
        return any(satisfies(row, wanted, precision) and usable(row) for row in rows)

    def compared(text: Perplexity) -> bool:
        return {row.metric for row in rows if compares_on(row, text, dtype) and usable(row)} == set(FIDELITY)

    perplexity = tuple(p for p in spec.perplexity if not answered(p, dtype) or (spec.fidelity and not compared(p)))
    tasks = tuple(t for t in spec.tasks if not answered(t, spec.scoring_dtype))
    latency = spec.latency and not any(row.metric == "prefill" for row in rows)
    if latency and any(leaves(stage) & GRIDS for stage in spec.variant.stages):
        perplexity = spec.perplexity  # the packed weights, whose latency is measured, have a perplexity of their own
    scan = spec.scan if spec.scan and not any(satisfies(row, spec.scan, dtype) for row in rows) else None
    cached = spec.cached and not cached_variant(key).is_dir()
    if not (perplexity or tasks or latency or scan or spec.save or cached):
        return None
    return spec.model_copy(update={"perplexity": perplexity, "tasks": tasks, "latency": latency, "scan": scan})
