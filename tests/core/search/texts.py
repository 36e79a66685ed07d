"""The model and the texts of whole searches, and runs without a model."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas

from core.engine import runs
from core.models.facts import load_shape
from core.models.sources import identify_again
from core.protocols import perplexity_protocol
from core.request.expected.size import predicted_size
from core.results import Measurement, Result, Variant
from core.search.autopilot import Autopilot
from core.search.prior import rule
from core.search.question import Prepared, Question, prepare
from core.search.space import Restrictions
from core.specs import Perplexity, RunSpec, Stage, TextWindows, VariantSpec
from core.store.store import Store
from tests.core.factories import make

MODEL = "./wide"
TEXT = Perplexity(corpus="text.txt", window=32, windows=16, spread=True)
JUDGE = Perplexity(corpus="text.txt", window=64, windows=16)
CALIBRATION = TextWindows(corpus="text.txt", windows=4, window=32)


def write_wide(folder: Path) -> None:
    """Write a model with rows of 64 and 128 weights beside the tiny one, unless it is there."""
    from tests.core.tiny import tiny

    place = folder / "wide"
    if not place.exists():
        shutil.copytree(folder / "tiny", place)
        tiny("llama-gqa", hidden_size=64, intermediate_size=128, head_dim=16).save_pretrained(place)


class Clock:
    """A clock on which each call takes a minute, longer than the estimate of a trial."""

    def __init__(self):
        self.time = 0.0

    def __call__(self):
        self.time += 60
        return self.time


def pilot_of(asked: Question) -> tuple[Store, Prepared, Autopilot]:
    """Return a store and a search in it that has begun."""
    store = Store()
    prepared = prepare(asked, store)
    pilot = Autopilot(prepared, store, now=Clock())
    pilot.begin(lambda *_: 1)
    return store, prepared, pilot


def question(
    max_mb: float = 0.1, minutes: float = 1.0, methods: tuple[str, ...] = ("rtn",), only: str | None = None
) -> Question:
    """Return a question on the model, of 0.17 MB."""
    allowed = Restrictions(methods=methods, only=only)
    return Question(model=MODEL, max_mb=max_mb, minutes=minutes, restrictions=allowed)


def compute(specs: Sequence[RunSpec]) -> Iterator[tuple[RunSpec, Callable[[], Result]]]:
    """Run variants."""
    for spec in specs:
        yield spec, partial(runs.run, spec, Store())


def played(specs: Sequence[RunSpec]) -> Iterator[tuple[RunSpec, Callable[[], Result]]]:
    """Run made-up variants; one without a number is made."""
    for spec in specs:
        yield spec, partial(played_run if spec.perplexity else runs.run, spec, Store())


def played_run(spec: RunSpec, store: Store) -> Result:
    """Store what a run of a made-up model would: sizes as predicted, and losses near the rule of the prior."""
    shape = load_shape(identify_again(spec.variant.model, spec.variant.revision))
    dense = spec.variant.model_copy(update={"stages": (Stage(method="dense"),)})
    for variant in (dense, spec.variant):
        size = predicted_size(shape, variant.stages)
        known = {"key": variant.key, "model": variant.model, "revision": variant.revision, "dtype": variant.dtype}
        footprint = make().footprint.model_copy(
            update={one: getattr(size, one) for one in ("packed_bytes", "block_weights", "model_parameters")}
        )
        result = Result(variant=Variant(**known, stages=variant.stages), footprint=footprint)
        for text in spec.perplexity:
            losses = _losses(variant, text)  # nats
            frame = pandas.DataFrame({"doc_id": range(len(losses)), "perplexity": -losses})
            protocol = perplexity_protocol(text, variant.dtype)
            row = Measurement(
                metric="perplexity",
                dataset=text.corpus,
                value=float(np.exp(losses.mean())),
                n=len(losses),
                protocol=protocol,
            )
            store.put_samples(variant.key, row, frame)
            result = result.model_copy(update={"measurements": (*result.measurements, row)})
        store.put(result)
    return store.stored(spec.variant.key)


def _losses(variant: VariantSpec, text: Perplexity) -> np.ndarray:
    """Return the losses on windows, which do not depend on their number, (windows,)."""
    windows = np.arange(16)[:: 16 // text.windows]
    chance = int(variant.key[:4], 16) / 2**16
    effect = sum(rule(stage) for stage in variant.stages if stage.amount) * (0.8 + 0.4 * chance)
    return 3 + 0.1 * np.sin(windows) + effect * (1 + 0.05 * np.cos(windows + 6 * chance))
