"""Computation of a run: create the variant, measure it, and store each number as soon as it is known."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from itertools import chain
from statistics import mean, stdev
from typing import NamedTuple
from uuid import uuid4

import pandas as pd
import torch
from torch import Tensor
from transformers import PreTrainedModel

from core.base.errors import CancelledError, UserError
from core.base.memory import reuse_freed_memory
from core.base.paths import cache_dir
from core.base.progress import Progress
from core.base.window_start import start_protocol
from core.cache.shelf import Shelf
from core.context import Context, StageInput
from core.engine.amounts import target_of
from core.engine.circumstances import circumstances
from core.engine.scan import measure_sensitivity
from core.engine.session import Session
from core.engine.variants import make_variant
from core.evaluation.dense_outputs import DenseOutputs
from core.evaluation.divergence import DenseText
from core.evaluation.fewshot.dense import DenseModel
from core.evaluation.latency import latency
from core.evaluation.outcomes import text_rows
from core.evaluation.packed import packed
from core.evaluation.perplexity import perplexity
from core.fields import Details
from core.models.facts import load_shape
from core.models.parts.blocks import find_blocks, move, select
from core.models.parts.precision import in_precision
from core.protocols import scan_protocol
from core.registry import leaves
from core.request.execution import choose_execution
from core.request.expected.estimate import stages_to_run
from core.request.resolve import scan_method
from core.results import SENSITIVITY, Measurement, Result
from core.shipping.export import export
from core.specs import Perplexity, RunSpec, SensitivityScan, VariantSpec
from core.store.store import Store


class Outcome(NamedTuple):
    """Measurements that belong together, and the samples of the first one, if it has any."""

    rows: list[Measurement]
    samples: pd.DataFrame | None = None


def measure(model: PreTrainedModel, spec: RunSpec, session: Session, progress: Progress) -> Iterator[Outcome]:
    """Measure what a run requests of its variant, which is on the device of the session."""
    yield from _perplexities(model, spec, spec.variant.dtype, session, progress)
    if spec.tasks:
        yield from _tasks(model, spec, session, progress)
    if spec.latency:
        hooked = any("runtime" in leaves(stage) for stage in spec.variant.stages)
        with nullcontext() if hooked else packed(model) as precision:  # packing replaces modules, and so their hooks
            if precision:  # packed weights are faster, but may have another perplexity
                yield from _perplexities(model, spec, precision, session, progress)
            for row in latency(model, precision or spec.variant.dtype, progress):
                yield Outcome([row])


def _perplexities(
    model: PreTrainedModel, spec: RunSpec, dtype: str, session: Session, progress: Progress
) -> Iterator[Outcome]:
    windows = {text: session.scored[text].windows for text in spec.perplexity}
    by_block = _pass_key(spec, session)
    dense = _dense_texts(spec, windows, session, progress) if spec.fidelity and dtype == spec.variant.dtype else None
    for reading in perplexity(model, windows, progress, dense, by_block=by_block):
        corpus, tokens = session.scored[reading.text].corpus, windows[reading.text].numel()
        yield Outcome(text_rows(reading, corpus, tokens, session.tokenizer, dtype), reading.samples)


def _pass_key(spec: RunSpec, session: Session) -> str | None:
    """Return the key under which the passes of a streamed model resume; None for a model in memory."""
    if session.shelf is None:
        return None
    return f"{spec.variant.key} {uuid4()}" if spec.force else spec.variant.key  # a forced run resumes none


def _dense_texts(
    spec: RunSpec, windows: Mapping[Perplexity, Tensor], session: Session, progress: Progress
) -> dict[Perplexity, DenseText]:
    """Return what the dense model computed on each text, and compute it where it is not cached."""
    dtype = spec.variant.dtype
    streams = session.shelf is not None
    load = partial(session.load_model, dtype, session.device, progress, streams)
    outputs = DenseOutputs(spec.variant.prefixes[0].key, dtype, load, streams)
    return {text: outputs.of(tokens, progress, str(text)) for text, tokens in windows.items()}


def _tasks(model: PreTrainedModel, spec: RunSpec, session: Session, progress: Progress) -> Iterator[Outcome]:
    from core.evaluation.zeroshot import evaluate

    load = partial(session.load_model, "float32", session.device, progress)
    by_block, cache = _pass_key(spec, session), cache_dir()
    dense = DenseModel(spec.variant.prefixes[0].key, load, session.tokenizer)
    with in_precision(model, spec.scoring_dtype):
        tasks = {task: session.tasks[task] for task in spec.tasks}
        found = evaluate(model, session.tokenizer, tasks, spec.scoring_dtype, progress, cache, dense, by_block)
        for outcome in found:
            yield Outcome(outcome.measurements, outcome.samples)


def sensitivities(
    variant: VariantSpec, wanted: SensitivityScan, session: Session, progress: Progress
) -> Iterator[Outcome]:
    """Measure the sensitivity of each part in nats per token, with the standard error of the paired differences."""
    started = time.perf_counter()
    [stage] = variant.stages
    method = scan_method(variant.stages)
    if method is None:
        raise TypeError(f"{stage.method} has no method to measure layer sensitivity with.")
    model = session.load_model(variant.dtype, progress=progress)
    blocks = find_blocks(model)
    linears = select(list(blocks.all_linears()), stage.layers, len(blocks.holder))
    given = StageInput(stage, session.scanned, variant.prefixes[0].key, decoder=blocks)
    context = Context(session.device, progress)
    rises = measure_sensitivity(
        model, method, target_of(stage, stage.required_ratio), linears, given, context, wanted.by
    )
    details: Details = {"seconds": round(time.perf_counter() - started, 3)}
    rows = [
        Measurement(
            metric=SENSITIVITY,
            dataset=wanted.text.corpus,
            value=mean(rise),
            stderr=stdev(rise) / len(rise) ** 0.5 if len(rise) > 1 else None,
            n=len(rise),
            protocol=scan_protocol(wanted, variant.dtype) | start_protocol(session.tokenizer) | {"part": name},
            details=details,
        )
        for name, rise in rises.items()
    ]
    yield Outcome(rows)


def execute(spec: RunSpec, session: Session, store: Store, progress: Progress) -> None:
    """Create the variant, and measure and store everything in `spec`; stream the model if it exceeds the memory."""
    reuse_freed_memory()
    if spec.threads is not None:
        torch.set_num_threads(spec.threads)
    shape = load_shape(session.source)
    execution = choose_execution(spec, stages_to_run(spec), shape)
    if execution.refusal:
        raise UserError(execution.refusal)
    result = store.get(spec.variant.key)
    session.memory = execution.budget
    session.shelf = Shelf(execution.disk, session.weights) if execution.streams else None
    outcomes: list[Iterable[Outcome]] = []
    if result is None or not spec.only_scans:
        model, result = make(spec, session, store, progress)
        move(model, session.device)
        outcomes.append(measure(model, spec, session, progress))
    if spec.scan:
        outcomes.append(sensitivities(spec.variant, spec.scan, session, progress))
    how: Details = {"execution": "streaming"} if session.shelf else {}
    for rows, samples in chain.from_iterable(outcomes):
        known = [
            row.model_copy(update={"details": circumstances(None, spec.device) | how | row.details}) for row in rows
        ]
        if samples is not None:  # before the numbers, as paired differences need them
            store.put_samples(spec.variant.key, known[0], samples)
        store.put(result.model_copy(update={"measurements": tuple(known)}))
    if spec.save and session.export:
        stored = store.stored(spec.variant.key)  # last, as the card needs all numbers
        move(model, torch.device("cpu"))  # formats pack weights with numpy
        export(model, session.tokenizer, stored, *session.export, progress)  # in another precision it changes the model


def make(spec: RunSpec, session: Session, store: Store, progress: Progress) -> tuple[PreTrainedModel, Result]:
    """Create the variant or load it from the cache, store its result, and return the model, on the CPU, and the result.

    Raises `UserError` if the variant cannot be created. After a `CancelledError`, the best weights of a recovery are
    cached and their result stored.
    """
    try:
        model, result = make_variant(spec.variant, session, progress, spec.force, store.put)
    except CancelledError as stop:
        if stop.kept:
            store.put(stop.kept)
        raise
    store.put(result)
    return model, result
