"""The one path that command line, jobs, sweeps and tests share: make a variant, measure it, store the rows.

What the store has is not computed again. Nothing here imports torch: `core.engine.execute` does the work that is left.
"""

from __future__ import annotations

from core.progress import Progress, silent
from core.protocols import missing
from core.results import Result
from core.specs import RunSpec
from core.store.store import Store


def run(spec: RunSpec, store: Store, progress: Progress = silent) -> Result:
    """Return the result that `spec` asks for, computing and storing what the store does not have yet.

    Raises `UserError` for what cannot be run.
    """
    stored = None if spec.force else store.get(spec.variant.key)
    if stored is not None:
        left = missing(spec, stored)
        if left is None:
            return stored
        spec = left
    from core.engine.execute import execute

    return execute(spec, store, progress)
