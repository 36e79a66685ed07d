"""The models that the process of the answers holds in memory, within a number, a size and a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.answers.question import MOST_COMPARED
from core.base.memory import machine_bytes, return_freed_memory
from core.specs import VariantSpec

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MOST_LOADED = 1 + MOST_COMPARED  # models in memory
MEMORY_SHARE = 1 / 3  # of the machine's memory that they may take together
IDLE_SECONDS = 300.0  # after which an unused model is freed


@dataclass
class Loaded:
    """A model in memory with its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    size: int  # bytes of its weights
    last_used: float = 0.0  # of the clock


class LoadedModels:
    """At most `most` models with `most_bytes` together; a single larger one is held alone.

    A new model takes the place of the one whose last use is longest ago.
    """

    def __init__(
        self,
        load: Callable[[VariantSpec], Loaded],
        most: int = MOST_LOADED,
        most_bytes: int | None = None,
        idle_seconds: float = IDLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._load = load
        self._most = most
        self._most_bytes = int(machine_bytes() * MEMORY_SHARE) if most_bytes is None else most_bytes
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._models: dict[str, Loaded] = {}  # by key, the longest unused first

    @property
    def keys(self) -> list[str]:
        """The keys of the models in memory, the longest unused first."""
        return list(self._models)

    def has_room(self, used: Collection[str]) -> bool:
        """Return whether one more model fits beside those in use, if it is as large as the largest of them."""
        return len(used) < self._most and self._fits([self._models[key].size for key in used])

    def get(self, spec: VariantSpec, used: Collection[str] = ()) -> Loaded:
        """Return a model, loaded if necessary; others are freed for it, except those in use.

        Raises:
            UserError: The model cannot be loaded.
        """
        known = self._models.pop(spec.key, None)
        if known is None:
            self._make_room(used)
            known = self._load(spec)
        known.last_used = self._clock()
        self._models[spec.key] = known
        return known

    def free_idle(self) -> None:
        """Free the models that were not used for the idle time."""
        now = self._clock()
        self._free([key for key, one in self._models.items() if now - one.last_used >= self._idle_seconds])

    def mark_used(self) -> None:
        """Start the idle time of the loaded models again, as after an answer."""
        for one in self._models.values():
            one.last_used = self._clock()

    def _make_room(self, used: Collection[str]) -> None:
        unused = [key for key in self._models if key not in used]
        while unused and not self._allows_another():
            self._free([unused.pop(0)])

    def _allows_another(self) -> bool:
        return len(self._models) < self._most and self._fits([one.size for one in self._models.values()])

    def _fits(self, sizes: list[int]) -> bool:
        return sum(sizes) + max(sizes, default=0) <= self._most_bytes

    def _free(self, keys: list[str]) -> None:
        for key in keys:
            del self._models[key]
        if keys:
            return_freed_memory()
