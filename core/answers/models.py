"""The models that the process of the answers holds in memory, within a number and a size; nothing is compressed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from core.answers.question import MOST_COMPARED
from core.base.errors import UserError
from core.base.memory import machine_bytes, return_freed_memory
from core.models.sources import identify_again, load_model
from core.models.terms import check_here
from core.notation.chain import format_chain
from core.request.stages import build_stage
from core.specs import RunSpec, VariantSpec

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from core.engine.session import Session

MOST_LOADED = 1 + MOST_COMPARED  # models in memory
MEMORY_SHARE = 1 / 3  # of the machine's memory that they may take together


class Loaded(NamedTuple):
    """A model in memory with its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    size: int  # bytes of its weights


def load(spec: VariantSpec) -> Loaded:
    """Load the dense model or a variant from the cache.

    Raises:
        UserError: The model is not on this machine, or the variant is not in the cache.
    """
    from core.engine.variants import load_cached
    from core.evaluation.packed import held_bytes

    check_here(identify_again(spec.model, spec.revision))
    session = _session(spec.model, spec.revision)
    if spec.is_dense:
        model = load_model(session.source, spec.dtype)
    elif cached := load_cached(spec, references=False):
        model = cached[0]
    else:
        raise UserError(f"{format_chain(spec.stages)} is not in the cache any more; make it again by its job.")
    return Loaded(model, session.tokenizer, held_bytes(model))


@lru_cache(maxsize=2)
def _session(model: str, revision: str) -> Session:
    """Return the source and the tokenizer of a model, which its variants share."""
    from core.engine.session import Session

    return Session([RunSpec(variant=VariantSpec(model=model, revision=revision, stages=(build_stage("dense"),)))])


class LoadedModels:
    """At most `most` models with `most_bytes` together; a single larger one is held alone.

    A new model takes the place of the one whose last use is longest ago.
    """

    def __init__(
        self,
        load: Callable[[VariantSpec], Loaded] = load,
        most: int = MOST_LOADED,
        most_bytes: int | None = None,
    ):
        self._load, self._most = load, most
        self._most_bytes = int(machine_bytes() * MEMORY_SHARE) if most_bytes is None else most_bytes
        self._models: dict[str, Loaded] = {}  # by key, the longest unused first

    @property
    def keys(self) -> list[str]:
        """The keys of the models in memory, the longest unused first."""
        return list(self._models)

    def has_room(self, used: Collection[str]) -> bool:
        """Return whether one more model fits beside those in use, if it is as large as the largest of them."""
        sizes = [self._models[key].size for key in used]
        return len(sizes) < self._most and sum(sizes) + max(sizes, default=0) <= self._most_bytes

    def get(self, spec: VariantSpec, used: Collection[str] = ()) -> Loaded:
        """Return a model, loaded if necessary; others are freed for it, except those in use.

        Raises:
            UserError: The model cannot be loaded.
        """
        known = self._models.pop(spec.key, None)
        if known is None:
            unused = [key for key in self._models if key not in used]
            while unused and not self.has_room(self._models):
                self.free([unused.pop(0)])
            known = self._load(spec)
        self._models[spec.key] = known
        return known

    def free(self, keys: Collection[str]) -> None:
        """Free some of the models in memory."""
        for key in keys:
            del self._models[key]
        if keys:
            return_freed_memory()
