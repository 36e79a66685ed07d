"""How long a run will take and how much memory it needs, before it starts; imports no torch.

Work is counted in floating-point operations from the model's shape and the tokens to run, and divided by the speed
that stored runs of this machine reached. Where there are none, by a cautious one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from core.errors import UserError
from core.models.facts import ModelFacts, facts
from core.models.sources import identify
from core.registry import get_stage
from core.request.cost import (
    answer_steps,
    compression_work,
    forward,
    perplexity_work,
    task_work,
    training_limit,
    training_work,
)
from core.results import Result
from core.specs import Calibration, Frozen, RunSpec, Stage, Task
from core.training.base import MICRO_TOKENS

if TYPE_CHECKING:
    from core.store.store import Store

# Operations a second where nothing was measured yet.
CPU_CORE, GPU, GPU_16_BIT = 30e9, 3e12, 15e12
START_SECONDS = 10  # importing the libraries
LOAD_BYTES = 500e6  # a second
FETCH_BYTES = 5e6  # a second
PROCESS_BYTES = 800e6  # of the libraries
LATENCY_TOKENS = 8 * 2 * 512 * (1 + 4)  # read by the latency measurement: repeats, twice, prompt, both batches
LATENCY_STEPS = 8 * 32 * 2  # decoding steps, each reading all weights once
MEMORY_RATE = 5e9  # bytes a second
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


class Estimate(Frozen):
    seconds: float
    bytes: int  # memory of the process at its peak


def history(store: Store) -> list[Result]:
    """Return what was measured on this machine: the user's own results, without the shipped numbers beside them."""
    local = store.local_keys()
    return [
        result.model_copy(
            update={
                "measurements": tuple(
                    # A number can be no older than the variant it was measured on.
                    row
                    for row in result.measurements
                    if row.details.get("created", "") >= result.variant.details.get("created", "~")
                )
            }
        )
        for result in store.results()
        if result.variant.key in local
    ]


def estimate(spec: RunSpec, results: Sequence[Result] = ()) -> Estimate:
    """Return what making the variant and measuring all of `spec` takes; `results` is this machine's `history`."""
    source = identify(spec.variant.model)
    shape = facts(source)
    size = shape.parameters * BYTES[spec.variant.dtype]
    seconds = START_SECONDS + size / LOAD_BYTES + (shape.parameters * 2 / FETCH_BYTES if source.folder is None else 0)
    speeds = _Speeds(spec, results)
    for stage in spec.variant.stages:
        if get_stage(stage.method).needs == "training":
            seconds += min(training_work(shape, stage) / speeds.of("perplexity"), training_limit(stage))
            seconds += answer_steps(stage) * size / MEMORY_RATE
        else:
            seconds += compression_work(shape, stage) / speeds.of("compress")
    for wanted in spec.perplexity:
        seconds += perplexity_work(shape, wanted) / speeds.of("perplexity")
    for task in spec.tasks:
        seconds += task_work(shape, task) / speeds.of("tasks")
    if spec.latency:
        seconds += forward(shape, LATENCY_TOKENS, 512) / speeds.of("perplexity") + LATENCY_STEPS * size / MEMORY_RATE
    most = max(_stage_bytes(shape, stage, spec.variant.dtype) for stage in spec.variant.stages)
    return Estimate(seconds=seconds, bytes=round(PROCESS_BYTES + size + most))


def _stage_bytes(shape: ModelFacts, stage: Stage, dtype: str) -> int:
    """Bytes beside the model: inputs, live activations, Gram matrix and factor; or gradients; or a teacher."""
    if stage.calibration is None:
        return 4 * max(shape.hidden * shape.ffn, 1)
    method = get_stage(stage.method)
    saved = shape.blocks * (10 * shape.hidden + 4 * shape.ffn)  # a token, for the backward pass
    if method.needs == "training":
        teacher = shape.parameters * BYTES[dtype] if getattr(method, "has_teacher", False) else 0
        return 4 * MICRO_TOKENS * saved + teacher
    if method.needs == "gradient":
        tokens = stage.calibration.window
        # The logits; a gradient, its mean and its mean square.
        return 4 * (tokens * (saved + 3 * shape.vocabulary) + 3 * shape.block_weights)
    tokens = stage.calibration.windows * stage.calibration.window
    live = 4 * 2 * shape.hidden + 3 * (shape.hidden + shape.ffn)  # inputs and outputs of the block's linears
    grams = 4 * 3 * max(shape.hidden, shape.ffn) ** 2 if method.needs == "gram" else 0
    return tokens * (shape.hidden + live) * BYTES[dtype] + grams


class _Speeds:
    """Operations a second of each kind of work, from stored rows of the same device and dtype, the likest first."""

    def __init__(self, spec: RunSpec, results: Sequence[Result]):
        self.spec = spec
        self.shapes: dict[str, ModelFacts | None] = {}
        # (kind, same model, same method, operations, seconds)
        self.seen: list[tuple[str, bool, bool, float, float]] = []
        for result in results:
            if result.variant.dtype == spec.variant.dtype and (shape := self._shape(result.variant.model)):
                with suppress(UserError):  # of a version with other methods, whose work is not known here
                    self._add(result, shape)

    def _shape(self, model: str) -> ModelFacts | None:
        if model not in self.shapes:
            try:
                self.shapes[model] = facts(identify(model))
            except UserError:  # its files may be gone; the numbers stay
                self.shapes[model] = None
        return self.shapes[model]

    def _add(self, result: Result, shape: ModelFacts) -> None:
        variant = result.variant
        likeness = variant.model == self.spec.variant.model, variant.method == self.spec.variant.stages[0].method
        stage = Stage(
            method=variant.method,
            parameters=variant.stages[0].parameters,
            calibration=Calibration.parse(variant.calibration) if variant.calibration else None,
        )
        rows = []
        # Ranking weights says nothing of the speed of running text through blocks, nor the other way round.
        same = (stage.calibration is None) == (self.spec.variant.stages[0].calibration is None)
        if same and "training" not in variant.details:  # whose seconds are those of the training
            rows.append(("compress", compression_work(shape, stage), variant.details))
        for row in result.measurements:
            if row.of_text:
                work = forward(shape, row.details.get("tokens", 0), row.protocol["window"], head=True)
                rows.append(("perplexity", work, row.details))
            elif row.metric == "acc":
                limit = row.protocol.get("limit")
                rows.append(("tasks", task_work(shape, Task(task=row.dataset, limit=limit)), row.details))
        for kind, work, details in rows:
            seconds, device = details.get("seconds"), details.get("device", "").partition(" ")[0]
            if work and seconds and device == self.spec.device:
                self.seen.append((kind, *likeness, work, seconds))

    def of(self, kind: str) -> float:
        """Return the speed over the likest rows: of this kind of work before others, of this model before others."""
        for wanted in (kind, "perplexity", "compress"):
            rows = [row for row in self.seen if row[0] == wanted]
            if rows:
                best = max(row[1:3] for row in rows)
                likest = [row for row in rows if row[1:3] == best]
                return sum(row[3] for row in likest) / sum(row[4] for row in likest)
        if self.spec.device == "cpu":
            return CPU_CORE * max(1, (os.cpu_count() or 2))
        return GPU if self.spec.variant.dtype == "float32" else GPU_16_BIT
