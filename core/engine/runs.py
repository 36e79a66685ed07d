"""The run path of command line, jobs, sweeps and tests: create a variant, measure it, store the rows.

Stored numbers are not computed again. This module does not import torch; `core.engine.execute` computes the rest.
"""

from functools import partial

from core.base.progress import WAITING, Progress, silent
from core.request.baseline import remaining_run
from core.request.stages import check_version
from core.results import Result
from core.specs import RunSpec
from core.store.slots import compute_lock
from core.store.store import Store


def run(spec: RunSpec, store: Store, progress: Progress = silent) -> Result:
    """Compute and store the missing numbers of `spec` and its dense baseline, and return the result of `spec`.

    The baseline runs last, so that an impossible run fails at once, with a `UserError`.
    """
    if parts := remaining_run(spec, store):
        for stage in spec.variant.stages:
            check_version(stage, "This run")  # a job may come from another version of the program
        from core.engine.execute import execute
        from core.engine.session import Session

        report = [progress if part.variant == spec.variant else partial(_of_dense, progress) for part in parts]
        session = Session(parts, report[0])
        for part, its_progress in zip(parts, report, strict=True):
            execute(part, session, store, its_progress)
    return store.stored(spec.variant.key)


def run_alone(spec: RunSpec, store: Store, progress: Progress = silent) -> Result:
    """Return the result of `run`, computed while no other process computes; a stored result needs no wait.

    While another process computes, the stage `WAITING` is reported twice a second.
    """
    if not remaining_run(spec, store):
        return store.stored(spec.variant.key)
    with compute_lock(partial(progress, WAITING, 0, 1, "")):
        return run(spec, store, progress)


def _of_dense(progress: Progress, stage: str, done: int, total: int, detail: str = "") -> None:
    progress(stage, done, total, ", ".join(filter(None, ("dense model", detail))))
