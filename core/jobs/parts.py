"""Parts that runs share: the dense baseline, and the variants of the first stages of a chain.

A job waits while another one computes a part that both need. So each part is computed once, and all others at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from core.cache.storage import shared_storage
from core.request.baseline import baseline, remaining_run
from core.specs import Frozen, RunSpec
from core.store.store import Store


class Parts(Frozen):
    """What a run computes that other runs may need."""

    dense: RunSpec | None  # the measurements of the dense model
    variants: frozenset[str]  # keys of compressed variants: its own, and those of its first stages


@lru_cache(maxsize=4096)  # a supervisor looks at each queued job twice a second
def parts_of(text: str) -> Parts:
    """Return the parts of a run, given as JSON."""
    spec = RunSpec.model_validate_json(text)
    alone = {"force": False, "threads": None, "memory": None}  # what does not change the numbers
    dense = spec if spec.variant.is_dense else baseline(spec)
    keys = (prefix.key for prefix in spec.variant.prefixes[1:] if not prefix.is_dense)
    return Parts(dense=dense and dense.model_copy(update=alone), variants=frozenset(keys))


def must_wait(job: str, running: Iterable[str], store: Store, local: bool) -> bool:
    """Return whether a job (JSON of its run) needs a part that a running one has not made yet.

    Models are shared by the jobs of one machine (`local`), or by all that have a storage.
    """
    mine = parts_of(job)
    models_shared = local or shared_storage() is not None
    for other in map(parts_of, running):
        if mine.dense is not None and mine.dense == other.dense and remaining_run(mine.dense, store):
            return True
        if models_shared and any(store.get(key) is None for key in mine.variants & other.variants):
            return True
    return False
