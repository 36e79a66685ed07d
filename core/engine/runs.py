"""The one path that command line, jobs, sweeps and tests share: make a variant, measure it, store the rows.

What the store has is not computed again. Nothing here imports torch: `core.engine.execute` does the work that is left.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from core.progress import Progress, silent
from core.request.baseline import remaining_run
from core.results import Result
from core.specs import RunSpec
from core.store.store import Store, compute_lock


def run(spec: RunSpec, store: Store, progress: Progress = silent) -> Result:
    """Return the result that `spec` asks for, computing and storing what the store does not have yet of it and of its
    dense baseline.

    The baseline is last: a run that cannot be made says so at once. Raises `UserError` for what cannot be run.
    """
    for part in remaining_run(spec, store):
        from core.engine.execute import execute

        execute(part, store, progress if part.variant == spec.variant else partial(_of_dense, progress))
    return store.stored(spec.variant.key)


def run_alone(
    spec: RunSpec, store: Store, progress: Progress = silent, on_wait: Callable[[], None] | None = None
) -> Result:
    """Return what `run` returns, computed while no other process computes; a stored result does not wait.

    While another process computes, `on_wait()` is called twice a second; it may raise to give up.
    """
    if not remaining_run(spec, store):
        return store.stored(spec.variant.key)
    with compute_lock(on_wait):
        return run(spec, store, progress)


def _of_dense(progress: Progress, stage: str, done: int, total: int, detail: str = "") -> None:
    progress(stage, done, total, ", ".join(filter(None, ("dense model", detail))))
