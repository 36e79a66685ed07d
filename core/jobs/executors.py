"""The choice of the executor by `SLIMSCOPE_EXECUTOR`."""

from __future__ import annotations

import os

from sqlalchemy import URL

from core.errors import unknown
from core.jobs.executor import Executor, LocalExecutor

VARIABLE = "SLIMSCOPE_EXECUTOR"
LOCAL, RAY = "local", "ray"


def chosen_executor(url: URL) -> Executor:
    """Return the executor of jobs of a store; a `UserError` for an unknown name, or without the extra that it needs."""
    name = os.environ.get(VARIABLE, LOCAL)
    if name == LOCAL:
        return LocalExecutor(url)
    if name == RAY:
        from core.jobs.cluster.executor import RayExecutor  # only here, as it reads models' facts

        return RayExecutor(url)
    raise unknown(VARIABLE, name, (LOCAL, RAY))
