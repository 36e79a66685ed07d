"""The choice of the executor by `SLIMSCOPE_EXECUTOR`."""

from __future__ import annotations

import os

from sqlalchemy import URL

from core.errors import unknown
from core.jobs.executor import Executor, LocalExecutor
from core.store.slots import slots

VARIABLE = "SLIMSCOPE_EXECUTOR"
LOCAL, RAY = "local", "ray"


def runs_several() -> bool:
    """Return whether several jobs can run at once."""
    return os.environ.get(VARIABLE, LOCAL) == RAY or slots() > 1


def chosen_executor(url: URL) -> Executor:
    """Return the executor of jobs of a store; a `UserError` for an unknown name, or without the extra that it needs."""
    name = os.environ.get(VARIABLE, LOCAL)
    if name == LOCAL:
        return LocalExecutor(url)
    if name == RAY:
        from core.jobs.cluster.executor import RayExecutor  # only here, as it reads models' facts

        return RayExecutor(url)
    raise unknown(VARIABLE, name, (LOCAL, RAY))
