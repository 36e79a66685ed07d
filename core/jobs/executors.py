"""The choice of the executor by `SLIMSCOPE_EXECUTOR`."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec

from sqlalchemy import URL

from core.base.errors import UserError, unknown
from core.jobs.cluster.start import missing_words
from core.jobs.executor import Executor, LocalExecutor
from core.store.slots import EXECUTOR, RAY, on_cluster, slots

LOCAL = "local"


def runs_several() -> bool:
    """Return whether several jobs can run at once."""
    return on_cluster() or slots() > 1


def check_executor() -> None:
    """Raise `UserError` for an unknown name of an executor, or without the extra that it needs."""
    name = os.environ.get(EXECUTOR, LOCAL)
    if name not in (LOCAL, RAY):
        raise unknown(EXECUTOR, name, (LOCAL, RAY))
    if name == RAY and find_spec("ray") is None:
        raise UserError(missing_words())


def chosen_executor(url: URL) -> Executor:
    """Return the executor of jobs of a store, with the errors of `check_executor`."""
    check_executor()
    if not on_cluster():
        return LocalExecutor(url)
    return _on_ray(url, os.environ.get("RAY_ADDRESS"))


@cache
def _on_ray(url: URL, address: str | None) -> Executor:
    """Return the one executor on a cluster in this process, because each has a connected process of its own."""
    from core.jobs.cluster.executor import RayExecutor  # only here, as it reads models' facts

    return RayExecutor(url)
